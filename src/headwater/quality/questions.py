"""What the gate asks of a candidate. Importing this imports Great Expectations: some seconds.

Only `gate.py` imports it, in a thread, while data is still being extracted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.contracts.contract import FORGOTTEN, Conservation
from headwater.quality.expectations import (
    Answer,
    Question,
    Suites,
    at_least,
    no_nulls,
    no_rows,
    rows_between,
    smallest_at_most,
)
from headwater.quality.freshness import RULE, freshness_check
from headwater.quality.limits import PRICED, Severity
from headwater.quality.rules import in_words, value_rules, values_broken
from headwater.quality.verdict import Candidate, Check, first_line, unjudged

_AGE: Final = "_age_s"
_BROKEN: Final = "_breaks_"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Asked:
    """A question with what a failure of it means: `say` words what was observed, or its `complement`, a share.

    One that is `of_rows` holds where there are none.
    """

    question: Question
    severity: Severity
    limit: str
    say: Callable[[float], str]
    complement: bool = False
    of_rows: bool = True


class Questioner:
    """Puts every question of a candidate's contract and limits to Great Expectations, in one suite."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session
        self._suites = Suites(session)

    def checks(self, candidate: Candidate) -> list[Check]:
        """One check for each question, answered or not."""
        views, asked = _asked(candidate)
        try:
            for name, parent in views.items():
                parent.createOrReplaceTempView(name)
            questions = [each.question for each in asked]
            answers = self._suites.answers(candidate.contract.table, _narrow(candidate), questions)
        finally:
            for name in views:
                self._session.catalog.dropTempView(name)
        rows = answers["volume"].observed if "volume" in answers else None
        checks = [_check(each, answers.get(each.question.rule), rows) for each in asked]
        said = {rule: answer.validation for rule, answer in answers.items()}
        return [replace(check, validation=said.get(check.rule)) for check in checks]


def _asked(candidate: Candidate) -> tuple[dict[str, DataFrame], list[_Asked]]:
    """Every question to the candidate, and the views that their queries name."""
    contract = candidate.contract
    asked = [_uniqueness("key:unique", contract.key)] if contract.key else []
    asked += [_uniqueness(f"{column.name}:unique", (column.name,)) for column in contract.columns if column.unique]
    asked += [_presence(column.name) for column in contract.columns if column.required or column.name in contract.key]
    asked += _values(contract)
    views = {}
    for foreign_key in contract.foreign_keys:
        if (parent := candidate.parents.get(foreign_key.parent)) is not None:
            view = f"gate_{contract.name}_{foreign_key.column}"
            views[view] = parent.select(F.col(foreign_key.parent_column).alias("known"))
            asked.append(_reference(foreign_key.column, foreign_key.parent, view))
    if contract.conserved:
        views |= candidate.inputs
        asked += [_conservation(each) for each in contract.conserved]
    return views, [*asked, *_volume(candidate), *_freshness(candidate), *_pricing(candidate)]


def _uniqueness(rule: str, columns: Sequence[str]) -> _Asked:
    key = ", ".join(map(_quoted, columns))
    given = " AND ".join(f"{_quoted(name)} IS NOT NULL" for name in columns)
    # Two 64-bit hashes group many times faster than wide text, and tell keys apart as surely.
    hashes = f"xxhash64({key}), xxhash64('second', {key})"
    query = f"SELECT 1 AS key FROM {{batch}} WHERE {given} GROUP BY {hashes} HAVING count(*) > 1"  # noqa: S608 - names are the contract's
    named = ", ".join(columns)
    what = "keys" if rule == "key:unique" else "values"
    return _Asked(
        no_rows(rule, query),
        "critical",
        "none twice",
        lambda found: f"{found:.0f} {what} ({named}) stand more than once" if found else f"every {named} stands once",
    )


def _values(contract: Contract) -> list[_Asked]:
    """What a contract allows of single values: of Silver the row rules saw to it, a Gold table is asked."""
    if contract.layer != "gold":
        return []
    return [
        _Asked(
            no_rows(rule.name, f"SELECT 1 AS broken FROM {{batch}} WHERE {_quoted(_BROKEN + rule.name)}"),  # noqa: S608 - as above
            "critical",
            "in no row",
            partial(_told_of_value, in_words(rule.name, contract)),
        )
        for rule in value_rules(contract)
    ]


def _told_of_value(wrong: str, found: float) -> str:
    return f"{wrong} in {found:.0f} rows" if found else f"in no row {wrong}"


def _presence(column: str) -> _Asked:
    return _Asked(
        no_nulls(f"{column}:required", column),
        "critical",
        "missing in none",
        lambda missing: f"{column} is missing in {_percent(missing)} of the rows",
        complement=True,
    )


def _reference(column: str, parent: str, view: str) -> _Asked:
    name = _quoted(column)
    given = f"{name} IS NOT NULL AND CAST({name} AS STRING) <> '{FORGOTTEN}'"
    children = f"SELECT DISTINCT {name} AS child FROM {{batch}} WHERE {given}"  # noqa: S608 - as above
    query = f"SELECT child FROM ({children}) LEFT ANTI JOIN {view} ON known = child"  # noqa: S608 - as above
    return _Asked(
        no_rows(f"{column}:reference", query),
        "critical",
        f"all in {parent}",
        lambda found: (
            f"{found:.0f} values of {column} are not in {parent}" if found else f"every {column} is in {parent}"
        ),
    )


def _conservation(conserved: Conservation) -> _Asked:
    told = conserved.query.replace("${table}", "{batch}")
    query = f"SELECT * FROM ({told}) AS told(lost) WHERE lost <> 0 OR lost IS NULL"  # noqa: S608 - the contract's own
    return _Asked(
        no_rows(f"{conserved.name}:conserved", query),
        "critical",
        "nothing lost",
        lambda found: f"not so: {conserved.description}" if found else conserved.description,
        of_rows=False,
    )


def _volume(candidate: Candidate) -> list[_Asked]:
    volume, standing = candidate.limits.volume, candidate.standing_rows
    limit = (
        f"{volume.min_rows} rows or more" if volume.max_rows is None else f"{volume.min_rows} to {volume.max_rows} rows"
    )
    asked = [
        _Asked(
            rows_between("volume", volume.min_rows, volume.max_rows),
            volume.severity,
            limit,
            lambda rows: f"{rows:.0f} rows; limit {limit}",
            of_rows=False,
        )
    ]
    if standing:
        least = math.ceil(standing * (1 - volume.max_shrink))
        asked.append(
            _Asked(
                rows_between("volume:shrink", least, None),
                volume.severity,
                f"at least {least} rows",
                lambda rows: f"{rows:.0f} rows where {standing} stand; it may lose {volume.max_shrink:.0%} at once",
                of_rows=False,
            )
        )
    return asked


def _freshness(candidate: Candidate) -> list[_Asked]:
    if (limit := candidate.limits.freshness) is None:
        return []
    check = partial(freshness_check, candidate.contract, candidate.limits)
    return [
        _Asked(
            smallest_at_most(RULE, _AGE, limit.max_age.total_seconds()),
            limit.severity,
            check(timedelta()).limit,
            lambda age: check(timedelta(seconds=age)).detail,
        )
    ]


def _pricing(candidate: Candidate) -> list[_Asked]:
    if (unpriced := candidate.limits.unpriced) is None:
        return []
    limit = f"{unpriced.max_share:.2%}"
    return [
        _Asked(
            at_least("unpriced", PRICED, 1 - unpriced.max_share),
            unpriced.severity,
            f"at most {unpriced.max_share:g}",
            lambda missing: f"{PRICED} is missing in {_percent(missing)} of the rows; limit {limit}",
            complement=True,
        )
    ]


def _narrow(candidate: Candidate) -> DataFrame:
    """The columns that are asked about, and the age of each row where freshness is."""
    contract, limits = candidate.contract, candidate.limits
    names = {column.name for column in contract.columns if column.required}
    names |= {*contract.key, *(foreign_key.column for foreign_key in contract.foreign_keys)}
    names |= {column.name for column in contract.columns if column.unique}
    names |= {PRICED} if limits.unpriced else set()
    dated = None if limits.freshness is None else limits.freshness.column or contract.cursor
    names |= {dated} if dated else set()
    names |= set(contract.column_names) if contract.conserved else set()
    if missing := sorted(names - set(candidate.rows.columns)):
        raise ValueError(f"the candidate lacks {', '.join(missing)}")
    columns = [F.col(name) for name in contract.column_names if name in names]
    if contract.layer == "gold":
        broken = values_broken(candidate.rows, contract)
        columns += [condition.alias(_BROKEN + rule.name) for rule, condition in broken.items()]
    if dated:
        at = F.lit((candidate.at - _EPOCH) // timedelta(microseconds=1))
        told = F.unix_micros(F.col(dated).cast("timestamp"))
        # A row of the year 2100 would make a source that fell silent look fresh for ever: what lies ahead has no age.
        columns.append(F.when(told <= at, (at - told) / F.lit(1e6)).alias(_AGE))
    return candidate.rows.select(*(columns or [F.col(contract.column_names[0])]))


def _check(asked: _Asked, answer: Answer | None, rows: float | None) -> Check:
    rule = asked.question.rule
    if answer is None or answer.error is not None:
        return unjudged(rule, "not evaluated" if answer is None else first_line(answer.error), asked.limit)
    if rows == 0 and asked.of_rows:
        return Check(rule, asked.severity, None, asked.limit, success=True, detail="there are no rows")
    if answer.observed is None:
        return unjudged(rule, "nothing could be observed", asked.limit)
    observed = round(1 - answer.observed, 12) if asked.complement else answer.observed
    return Check(rule, asked.severity, observed, asked.limit, answer.success, asked.say(observed))


def _quoted(name: str) -> str:
    return f"`{name}`"


def _percent(share: float) -> str:
    return "0 %" if share == 0 else f"{max(share, 0.0001):.2%}"
