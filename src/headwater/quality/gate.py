"""The last step before a commit: may this candidate be published? What cannot be judged may not."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from headwater.contracts.schema_contracts import UNHELD
from headwater.quality.rules import PARSE, in_words
from headwater.quality.shares import NULLED, REFUSED
from headwater.quality.verdict import Candidate, Check, Verdict, first_line, span_text, unjudged

if TYPE_CHECKING:
    from headwater.quality.questions import Questioner

_LOG = logging.getLogger("headwater.quality")


class Gate:
    """Judges candidates, one at a time, with Great Expectations on their own PySpark session."""

    def __init__(self, timeout: timedelta) -> None:
        self._timeout = timeout
        self._import: Future[type[Questioner]] | None = None
        self._questioner: Questioner | None = None
        self._one_at_a_time = threading.Lock()
        self._stuck: str | None = None

    def warm(self) -> None:
        """Begin to import Great Expectations in the background: it takes seconds, best while data is extracted."""
        self._imported()

    def judge(self, candidate: Candidate) -> Verdict:
        """Hold a candidate against its contract and its limits.

        Nothing is raised for a candidate that fails: the verdict says so. A check that raises, is not evaluated or
        does not end in time fails as critical, whatever its own severity.
        """
        checks, profiles = self._candidate_checks(candidate)
        checks = [*_unheld(candidate), *_batch_checks(candidate), *checks]
        return Verdict(candidate.contract.table, tuple(checks), profiles)

    def _candidate_checks(self, candidate: Candidate) -> tuple[list[Check], dict[str, Any]]:
        table = candidate.contract.table
        with self._one_at_a_time:
            if self._stuck is not None:
                return [unjudged("gate:timeout", f"not judged, since the checks of {self._stuck} have not ended")], {}
            judging = _in_thread(f"judge-{table}", lambda: self._answered(candidate))
            try:
                return judging.result(self._timeout.total_seconds())
            except FutureTimeout:
                # Its thread cannot be stopped, and may still change the session's views under the next judgement.
                self._stuck = table
                return [unjudged("gate:timeout", f"the checks did not end within {span_text(self._timeout)}")], {}
            except Exception as error:  # noqa: BLE001 - whatever breaks the gate must close it
                _LOG.warning("%s: the gate could not judge", table, exc_info=error)
                return [unjudged("gate:error", f"{type(error).__name__}: {first_line(error)}")], {}

    def _imported(self) -> "Future[type[Questioner]]":
        if self._import is None:
            self._import = _in_thread("import-great-expectations", _import)
        return self._import

    def _answered(self, candidate: Candidate) -> tuple[list[Check], dict[str, Any]]:
        if self._questioner is None:
            self._questioner = self._imported().result()(candidate.rows.sparkSession)
        return self._questioner.checks(candidate)


def _import() -> "type[Questioner]":
    from headwater.quality.questions import Questioner

    return Questioner


def _batch_checks(candidate: Candidate) -> list[Check]:
    """Of what came in, the share that broke each row rule; a rule that no row broke is not worth a line."""
    if (batch := candidate.batch) is None:
        return []
    checks = []
    for rule in (PARSE, *sorted(batch.broken)):
        share, limit = batch.share(rule), candidate.limits.refused_share(rule)
        rows, of = (batch.rejected, batch.rows + batch.rejected) if rule == PARSE else (batch.broken[rule], batch.rows)
        detail = f"{in_words(rule, candidate.contract)} in {rows} of {of} rows, which is {share:.2%}; limit {limit:.2%}"
        checks.append(Check(REFUSED + rule, "critical", share, f"at most {limit:g}", share <= limit, detail))
    for rule, rows in sorted(batch.nulled.items()):
        detail = (
            f"{in_words(rule, candidate.contract)} in {rows} rows, where it was set to null (validation_mode: loose)"
        )
        checks.append(Check(NULLED + rule, "warning", rows, "none", success=False, detail=detail))
    samples = [batch.sample(check.rule) for check in checks]
    return [
        replace(check, keys=sample.keys, records=sample.records) for check, sample in zip(checks, samples, strict=True)
    ]


def _unheld(candidate: Candidate) -> list[Check]:
    """That a table is not held to its contract is told with every verdict on it."""
    if candidate.contract.held:
        return []
    return [Check("contract:held", "warning", None, "held to its contract", success=False, detail=UNHELD)]


_Result = TypeVar("_Result")


def _in_thread(name: str, work: Callable[[], _Result]) -> "Future[_Result]":
    """Do it in a thread that does not keep the process alive."""
    future: Future[_Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
