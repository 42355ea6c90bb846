"""Mistakes with cursors, made on purpose, each of which the model notices."""

from dataclasses import dataclass

from tests.mutants.catalogue import ALL
from tests.mutants.mutant import Mutant


@dataclass(frozen=True)
class CursorMutant:
    """A mutant, and the source whose histories show it."""

    mutant: Mutant
    source: str


def _salesforce(name: str, old: str, new: str) -> CursorMutant:
    return CursorMutant(Mutant(name, "extract/salesforce.py", old, new, ("salesforce_contacts",)), "salesforce")


MUTANTS = (
    _salesforce("page-from-the-last-record", "AND Id > '{record_id}'", "AND Id >= '{record_id}'"),
    _salesforce(
        "page-without-tie-break",
        " AND ({self.cursor} > {instant} OR ({self.cursor} = {instant} AND Id > '{record_id}'))",
        " AND {self.cursor} > {instant}",
    ),
    _salesforce(
        "page-by-offset",
        "self.query.page(self.window, self._last, self.settings.page_records)",
        'self.query.page(self.window, None, self.settings.page_records) + f" OFFSET {len(self._told)}"',
    ),
    CursorMutant(ALL["no-overlap"], "redshift"),
    CursorMutant(
        Mutant(
            "until-by-our-own-clock",
            "run/bronze.py",
            "now = self.context.at if clock is None else min(self.context.at, clock)",
            "now = self.context.at",
            ("redshift_behavior",),
        ),
        "redshift",
    ),
    CursorMutant(
        Mutant(
            "largest-cursor-as-watermark",
            "extract/base_extractor.py",
            "zip([start, *inner], [*inner, end], strict=True)",
            "zip([start, *inner], [*inner, span.newest + datetime.resolution], strict=True)",
            ("redshift_behavior",),
        ),
        "redshift",
    ),
    CursorMutant(
        Mutant(
            "windows-that-share-their-edge",
            "extract/redshift_behavior.py",
            '"FROM {table} WHERE {c} >= %s AND {c} < %s"',
            '"FROM {table} WHERE {c} >= %s AND {c} <= %s"',
            ("redshift_behavior",),
        ),
        "redshift",
    ),
    CursorMutant(
        Mutant(
            "watermark-of-a-failed-window",
            "run/bronze.py",
            "txn, position = txn + 1, reduce(positions.after, parts, position)",
            "txn, position = txn + 1, reduce(positions.after, due[-1], position)",
            ("redshift_behavior",),
        ),
        "redshift",
    ),
)
