"""Removes the files of a lake that nobody reads any more and that nobody can commit any more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from headwater.contracts import Contract
from headwater.engine import Attempt, File, Table
from headwater.engine.files import sweep_drafts
from headwater.masking.tokens import TOKENS
from headwater.run.context import Context
from headwater.run.tables import evidence_table, lake_table, quarantine_table, rejects_table

SHORTEST = timedelta(days=1)
"""How long whoever reads an older version, or sleeps over a merge, is waited for at least."""


@dataclass(frozen=True)
class Vacuumed:
    """How many files of a table were removed, or would be, and how many bytes they take."""

    table: str
    files: int
    bytes: int


def vacuum(
    context: Context, names: Sequence[str], keep: timedelta, *, alone: bool = False, dry_run: bool = False
) -> Iterator[Vacuumed]:
    """Vacuum tables, each under its lease with the tables beside it, and say of each what went.

    What no version names that was the newest within `keep` goes, and what no writer that lives can commit. `alone`
    says that nobody else is at work: then also files go that do not tell whose they are.

    Raises:
        TableIsHeld: a run works on a table, and went on for longer than we wait.
    """
    since = context.began - keep
    evidence = None
    for name in names:
        contract = context.contracts[name]
        evidence = evidence_table(contract)
        with context.lease(name):
            for table in _tables(contract):
                given_up = _GivenUp(context, table, _patience(context, keep, alone=alone), alone=alone)
                yield _told(table.name, context.engine.vacuum(table, since, given_up, dry_run=dry_run))
    # Every table's step writes these: no lease keeps them away, and no file of the evidence tells whose it is.
    shared = [] if evidence is None else [evidence]
    shared += [TOKENS] if context.engine.head(TOKENS) is not None else []
    for table in shared:
        given_up = _GivenUp(context, table, _patience(context, keep, alone=alone), alone=alone)
        yield _told(table.path, context.engine.vacuum(table, since, given_up, dry_run=dry_run))
    if not dry_run:
        sweep_drafts()
        context.state.sweep()


def _tables(contract: Contract) -> list[Table]:
    """A table and what lies beside it."""
    beside = {"bronze": [rejects_table(contract)], "silver": [quarantine_table(contract)]}
    return [lake_table(contract), *beside.get(contract.layer, [])]


def _patience(context: Context, keep: timedelta, *, alone: bool) -> datetime:
    """A file that does not tell whose it is was given up if it is older."""
    return context.began - (keep if alone else max(keep, SHORTEST))


@dataclass
class _GivenUp:
    """Tells of a file that no version ever named whether its writer can't commit it any more."""

    context: Context
    table: Table
    patience: datetime
    alone: bool
    _ended: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        head = self.context.engine.head(self.table)
        self._txn, self._by = (head.txn, head.metadata.get("run_id")) if head else (0, None)

    def __call__(self, file: File) -> bool:
        attempt = Attempt.of(file.path)
        if attempt is None:
            return file.modified <= self.patience
        if attempt.first <= self._txn and self._by not in (None, attempt.run_id):
            return True
        return self._has_ended(attempt.run_id)

    def _has_ended(self, run_id: str) -> bool:
        if run_id not in self._ended:
            ended = self.context.state.has_ended(run_id)
            self._ended[run_id] = self.alone if ended is None else ended
        return self._ended[run_id]


def _told(table: str, removed: Sequence[File]) -> Vacuumed:
    return Vacuumed(table, len(removed), sum(file.bytes for file in removed))
