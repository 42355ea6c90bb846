"""What the gate asks of a candidate. Importing this imports Great Expectations: some seconds.

Only `gate.py` imports it, in a thread, while data is still being extracted.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import starmap
from typing import Any, Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.contracts import Contract
from headwater.contracts.contract import FORGOTTEN, Conservation
from headwater.quality.asked import Asked, percent, quoted, share_of
from headwater.quality.blocks import PRICED, SqlExpectation
from headwater.quality.expectations import Answer, Question, Suites
from headwater.quality.freshness import RULE, freshness_check
from headwater.quality.measures import CANDIDATE, ExpectAggregate, ExpectRecounted, ExpectValue
from headwater.quality.rules import in_words, value_rules, values_broken
from headwater.quality.unusual import DRIFT, asked_of_days, asked_of_new_rows, profiles
from headwater.quality.verdict import Candidate, Check, first_line, unjudged

_AGE: Final = "_age_s"
_BROKEN: Final = "_breaks_"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Questioner:
    """Puts every question of a candidate's contract and limits to Great Expectations, in one suite."""

    def __init__(self, session: SparkSession) -> None:
        self._session = session
        self._suites = Suites(session)

    def checks(self, candidate: Candidate) -> tuple[list[Check], dict[str, Any]]:
        """One check for each question, answered or not; and the profiles to keep with the candidate's version."""
        frame = _asked_about(candidate)
        views, asked = _asked(candidate)
        views[CANDIDATE] = frame
        try:
            for name, parent in views.items():
                parent.createOrReplaceTempView(name)
            questions = [Question(each.rule, each.expectation) for each in asked]
            answers = self._suites.answers(candidate.contract.table, frame, questions)
        finally:
            for name in views:
                self._session.catalog.dropTempView(name)
        rows = answers["volume"].observed if "volume" in answers else None
        found = {rule.removesuffix(DRIFT): each.found for rule, each in answers.items() if rule.endswith(DRIFT)}
        checks = [_check(each, answers.get(each.rule), rows) for each in asked]
        said = {rule: answer.validation for rule, answer in answers.items()}
        return [replace(check, validation=said.get(check.rule)) for check in checks], profiles(candidate, found)


def _asked(candidate: Candidate) -> tuple[dict[str, DataFrame], list[Asked]]:
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
    asked += [*_volume(candidate), *asked_of_days(candidate), *_freshness(candidate), *_pricing(candidate)]
    asked += [*asked_of_new_rows(candidate), *starmap(_expectation, candidate.limits.expectations.items())]
    return views, asked


def _uniqueness(rule: str, columns: Sequence[str]) -> Asked:
    key = ", ".join(map(quoted, columns))
    given = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in columns)
    # One 64-bit hash is counted many times faster than wide text, and never hides a key that stands twice. That two
    # keys share one is rare but possible, so what it finds is counted again by two hashes.
    hashes = f"xxhash64({key})"
    quick = f"SELECT count(1) - count(DISTINCT {hashes}) FROM {{batch}} WHERE {given}"  # noqa: S608 - names are the contract's
    twice = f"SELECT 1 FROM {{batch}} WHERE {given} GROUP BY {hashes}, xxhash64('second', {key}) HAVING count(1) > 1"  # noqa: S608 - as above
    named = ", ".join(columns)
    what = "keys" if rule == "key:unique" else "values"
    return Asked(
        rule,
        ExpectRecounted(query=quick, exactly=f"SELECT count(1) FROM ({twice})", max_value=0),  # noqa: S608 - as above
        "critical",
        "none twice",
        lambda found: f"{found:.0f} {what} ({named}) stand more than once" if found else f"every {named} stands once",
    )


def _values(contract: Contract) -> list[Asked]:
    """What a contract allows of single values: of Silver the row rules saw to it, a Gold table is asked."""
    if contract.layer != "gold":
        return []
    return [
        Asked(
            rule.name,
            ExpectAggregate(aggregate=f"count_if({quoted(_BROKEN + rule.name)})", max_value=0),
            "critical",
            "in no row",
            partial(_told_of_value, in_words(rule.name, contract)),
        )
        for rule in value_rules(contract)
    ]


def _told_of_value(wrong: str, found: float) -> str:
    return f"{wrong} in {found:.0f} rows" if found else f"in no row {wrong}"


def _presence(column: str) -> Asked:
    return Asked(
        f"{column}:required",
        ExpectAggregate(aggregate=share_of(f"{quoted(column)} IS NULL"), max_value=0),
        "critical",
        "missing in none",
        lambda missing: f"{column} is missing in {percent(missing)} of the rows",
    )


def _reference(column: str, parent: str, view: str) -> Asked:
    given = f"{quoted(column)} IS NOT NULL AND CAST({quoted(column)} AS STRING) <> '{FORGOTTEN}'"
    # Compared by a hash: of some million parents none is taken for another by chance, and it is twice as fast.
    child = f"SELECT DISTINCT xxhash64({quoted(column)}) AS child FROM {{batch}} WHERE {given}"  # noqa: S608 - as above
    query = (
        f"SELECT count(1) FROM ({child}) LEFT ANTI JOIN (SELECT xxhash64(known) AS known FROM {view}) ON known = child"  # noqa: S608 - as above
    )
    return Asked(
        f"{column}:reference",
        ExpectValue(query=query, max_value=0),
        "critical",
        f"all in {parent}",
        lambda found: (
            f"{found:.0f} values of {column} are not in {parent}" if found else f"every {column} is in {parent}"
        ),
    )


def _conservation(conserved: Conservation) -> Asked:
    told = conserved.query.replace("${table}", "{batch}")
    query = f"SELECT count(1) FROM ({told}) AS told(lost) WHERE lost <> 0 OR lost IS NULL"  # noqa: S608 - the contract's own
    return Asked(
        f"{conserved.name}:conserved",
        ExpectValue(query=query, max_value=0),
        "critical",
        "nothing lost",
        lambda found: f"not so: {conserved.description}" if found else conserved.description,
        of_rows=False,
    )


def _volume(candidate: Candidate) -> list[Asked]:
    volume, standing = candidate.limits.volume, candidate.standing_rows
    limit = (
        f"{volume.min_rows} rows or more" if volume.max_rows is None else f"{volume.min_rows} to {volume.max_rows} rows"
    )
    asked = [
        Asked(
            "volume",
            ExpectAggregate(aggregate="count(1)", min_value=volume.min_rows, max_value=volume.max_rows),
            volume.severity,
            limit,
            lambda rows: f"{rows:.0f} rows; limit {limit}",
            of_rows=False,
        )
    ]
    if standing:
        least = math.ceil(standing * (1 - volume.max_shrink))
        asked.append(
            Asked(
                "volume:shrink",
                ExpectAggregate(aggregate="count(1)", min_value=least),
                volume.severity,
                f"at least {least} rows",
                lambda rows: f"{rows:.0f} rows where {standing} stand; it may lose {volume.max_shrink:.0%} at once",
                of_rows=False,
            )
        )
    return asked


def _freshness(candidate: Candidate) -> list[Asked]:
    if (limit := candidate.limits.freshness) is None:
        return []
    check = partial(freshness_check, candidate.contract, candidate.limits)
    return [
        Asked(
            RULE,
            ExpectAggregate(aggregate=f"min({_AGE})", max_value=limit.max_age.total_seconds()),
            limit.severity,
            check(timedelta()).limit,
            lambda age: check(timedelta(seconds=age)).detail,
        )
    ]


def _pricing(candidate: Candidate) -> list[Asked]:
    if (unpriced := candidate.limits.unpriced) is None:
        return []
    limit = f"{unpriced.max_share:.2%}"
    return [
        Asked(
            "unpriced",
            ExpectAggregate(aggregate=share_of(f"{quoted(PRICED)} IS NULL"), max_value=unpriced.max_share),
            unpriced.severity,
            f"at most {unpriced.max_share:g}",
            lambda missing: f"{PRICED} is missing in {percent(missing)} of the rows; limit {limit}",
        )
    ]


def _expectation(name: str, told: SqlExpectation) -> Asked:
    described = f" ({told.description})" if told.description else ""
    return Asked(
        f"expectation:{name}",
        ExpectValue(query=f"SELECT * FROM (\n{told.query}\n)", max_value=told.max_rows),  # noqa: S608 - the operator's own
        told.severity,
        f"at most {told.max_rows} rows",
        lambda found: f"{found:g} bad rows{described}; limit {told.max_rows}",
        of_rows=False,
    )


def _asked_about(candidate: Candidate) -> DataFrame:
    """The candidate as queries see it: its columns, what a Gold row breaks, and the age of each row if that is asked."""
    contract, limits = candidate.contract, candidate.limits
    if missing := sorted(set(contract.column_names) - set(candidate.rows.columns)):
        raise ValueError(f"the candidate lacks {', '.join(missing)}")
    columns = [F.col(name) for name in contract.column_names]
    if contract.layer == "gold":
        broken = values_broken(candidate.rows, contract)
        columns += [condition.alias(_BROKEN + rule.name) for rule, condition in broken.items()]
    if limits.freshness is not None and (dated := limits.freshness.column or contract.cursor):
        at = F.lit((candidate.at - _EPOCH) // timedelta(microseconds=1))
        told = F.unix_micros(F.col(dated).cast("timestamp"))
        # A row of the year 2100 would make a source that fell silent look fresh for ever: what lies ahead has no age.
        columns.append(F.when(told <= at, (at - told) / F.lit(1e6)).alias(_AGE))
    return candidate.rows.select(*columns)


def _check(asked: Asked, answer: Answer | None, rows: float | None) -> Check:
    rule = asked.rule
    if answer is None or answer.error is not None:
        return unjudged(rule, "not evaluated" if answer is None else first_line(answer.error), asked.limit)
    if rows == 0 and asked.of_rows:
        return Check(rule, asked.severity, None, asked.limit, success=True, detail="there are no rows")
    if answer.observed is None and answer.said is None:
        return unjudged(rule, "nothing could be observed", asked.limit)
    said = answer.said or asked.say(answer.observed or 0.0)
    return Check(rule, asked.severity, answer.observed, asked.limit, answer.success, said)
