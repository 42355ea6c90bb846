"""What may look unusual in the rows that a batch brings: days, missing values, outliers, near-duplicates, drift.

All but the days are asked of the *new* rows alone.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from headwater.quality import histogram
from headwater.quality.asked import Asked, percent, quoted
from headwater.quality.blocks import Outliers
from headwater.quality.days import Usual
from headwater.quality.measures import (
    ExpectFewOutliers,
    ExpectNoDrift,
    ExpectShare,
    ExpectUsualDays,
)
from headwater.quality.new_rows import are_new, content, is_compared, spread
from headwater.quality.span import HISTORY, dated_since
from headwater.quality.verdict import Candidate

DAILY: Final = "volume:day"
DRIFT: Final = ":drift"
_REMEMBERED: Final = 13
"""Earlier versions together weigh so many times the newest in a profile, so that it follows a change in some weeks."""
_FEWEST: Final = 1_000
"""Rows as which a smaller version counts in that."""


def asked_of_days(candidate: Candidate) -> list[Asked]:
    """Whether each business day of the batch has about as many rows as its weekday usually has."""
    daily, span = candidate.limits.daily, candidate.span
    if daily.column is None:
        return []
    limit = f"{daily.min_ratio:g} to {daily.max_ratio:g} times the usual rows of its weekday"
    column, kind = daily.column, candidate.contract.column(daily.column).type
    usual = Usual(span.days[0], span.last, daily.min_ratio, daily.max_ratio, daily.min_usual)
    since = usual.first - HISTORY
    before = dated_since(column, kind, span.last + timedelta(days=1)).replace(">=", "<")
    where = "1 = 0" if span.why_not_daily else f"{dated_since(column, kind, since)} AND {before}"
    day = f"CAST(CAST({quoted(column)} AS DATE) AS STRING)"
    expectation = ExpectUsualDays(
        query=f"SELECT {day} AS day, count(1) AS found FROM {{batch}} WHERE {where} GROUP BY {day}",  # noqa: S608 - names are the contract's
        days=[] if span.why_not_daily else [each.isoformat() for each in span.days],
        usual=usual.as_json,
        instead=span.why_not_daily,
        min_value=daily.min_ratio,
        max_value=daily.max_ratio,
    )
    return [Asked(DAILY, expectation, daily.severity, limit, str, of_rows=False)]


def asked_of_new_rows(candidate: Candidate) -> list[Asked]:
    """Every warning of the limits."""
    return [
        *_missing(candidate),
        *(_outliers(candidate, column, how) for column, how in candidate.limits.outliers.items()),
        *_near_duplicates(candidate),
        *(_drift(candidate, column) for column in candidate.limits.drift.columns),
    ]


def profiles(candidate: Candidate, found: Mapping[str, Any]) -> dict[str, Any]:
    """The profiles to keep with the candidate's version: what was found of it, by column, on top of those before."""
    kept = {}
    for column in candidate.limits.drift.columns:
        if (pairs := found.get(column)) is None:
            continue
        new, before = histogram.from_pairs(pairs), histogram.from_pairs(candidate.profiles.get(column, []))
        most = _REMEMBERED * max(sum(new.values()), _FEWEST)
        kept[column] = histogram.as_pairs(histogram.merged(before, new, most))
    return kept


def _missing(candidate: Candidate) -> list[Asked]:
    missing = candidate.limits.missing
    counts = ", ".join(f"count_if({quoted(column)} IS NULL)" for column in missing.max_share)
    query = f"SELECT count(1), {counts} FROM {{batch}} WHERE {are_new(candidate)}"  # noqa: S608 - names are the contract's
    return [
        Asked(
            f"{column}:missing",
            ExpectShare(query=query, position=position, max_value=share),
            missing.severity,
            f"at most {share:g}",
            partial(_told_of_missing, column, share),
        )
        for position, (column, share) in enumerate(missing.max_share.items())
    ]


def _told_of_missing(column: str, limit: float, share: float) -> str:
    return f"{column} is missing in {percent(share)} of the new rows; limit {limit:.2%}"


def _outliers(candidate: Candidate, column: str, how: Outliers) -> Asked:
    query = spread(candidate, column, how.per)
    expectation = ExpectFewOutliers(query=query, how=how.model_dump(mode="json"), max_value=how.max_share)
    return Asked(f"{column}:outliers", expectation, how.severity, f"at most {how.max_share:g}", str)


def _near_duplicates(candidate: Candidate) -> list[Asked]:
    if (near := candidate.limits.near_duplicates) is None:
        return []
    contract = candidate.contract
    kept = f"(SELECT {content(contract, near)} AS content FROM {{batch}} WHERE {are_new(candidate)})"  # noqa: S608 - as above
    groups = f"(SELECT count(1) AS alike FROM {kept} WHERE {is_compared(candidate)} GROUP BY content)"  # noqa: S608 - as above
    query = f"SELECT coalesce(sum(alike), 0), coalesce(sum(alike - 1), 0) FROM {groups}"  # noqa: S608 - as above
    expectation = ExpectShare(query=query, position=0, max_value=near.max_share)
    but = ", ".join([*contract.key, *near.ignore])
    limit = f"{near.max_share:.2%}"
    return [
        Asked(
            "near_duplicates",
            expectation,
            near.severity,
            f"at most {near.max_share:g}",
            lambda share: f"{percent(share)} of the new rows equal another one but for {but}; limit {limit}",
        )
    ]


def _drift(candidate: Candidate, column: str) -> Asked:
    drift, outliers = candidate.limits.drift, candidate.limits.outliers.get(column)
    query = spread(candidate, column, outliers.per if outliers else None)
    expectation = ExpectNoDrift(
        query=query, before=candidate.profiles.get(column), enough=drift.min_rows, max_value=drift.max_psi
    )
    limit = f"a stability index of at most {drift.max_psi:g}"
    return Asked(
        column + DRIFT,
        expectation,
        drift.severity,
        limit,
        lambda index: (
            f"{column} of the new rows is spread otherwise than before: index {index:.3f}; limit {drift.max_psi:g}"
            if index > drift.max_psi
            else f"{column} is spread as before: index {index:.3f}; limit {drift.max_psi:g}"
        ),
    )
