"""Forgets a person: takes the person's rows and values out of every table of the lake, its history and its ledger.

What is searched where, what becomes of it, and what is not searched: `docs/privacy.md`.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Contract
from headwater.engine import Attempt, Commit, File, Found, Head
from headwater.engine.files import sweep_drafts
from headwater.errors import ConfigurationError, LakeError
from headwater.masking.masks import KEYED
from headwater.masking.tokens import TOKENS
from headwater.masking.traces import Marks, Traces
from headwater.run.context import Context
from headwater.run.person import Person, Place, personal_columns, places
from headwater.run.plan import everything_below
from headwater.run.tables import lake_table
from headwater.state import StateStore

_IN_WORDS = frozenset({"reason", "detail", "text"})
"""The fields of the ledger that hold sentences; in others a name of the person is the name of something else."""


@dataclass(frozen=True)
class Forgotten:
    """What became of one table: rows that went, rows that stay without the person, and whether its history ended."""

    table: str
    gone: int
    changed: int
    history: bool


@dataclass
class _Seen:
    """What was found in one table."""

    place: Place
    head: Head
    found: Found | None = None
    gone: int = 0
    changed: int = 0

    @property
    def touched(self) -> bool:
        return bool(self.gone or self.changed)


@dataclass
class Forgetting:
    """One piece of work: looks first, and then, under the leases of all tables, forgets.

    `store` is the ledger, which must answer: what is broken off is gone on with by whoever forgets next.
    """

    context: Context
    store: StateStore
    persons: Sequence[Person]
    why: str
    _traces: list[Traces] = field(default_factory=list)
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _shared: set[str] = field(default_factory=set)

    def look(self) -> list[Forgotten]:
        """What would become of each table that tells of the persons, or is made of one that does.

        Raises:
            ConfigurationError: the reason tells of a person: it would stay in the audit.
            LakeError: no table has a row of one of them or refers to one, and nothing is left of an earlier attempt.
        """
        self._traces = [self._traces_of(person) for person in self.persons]
        if any(traces.tells_of(self.why) for traces in self._traces):
            raise ConfigurationError("--why is kept: say it without the person's key, name or address")
        self._seen, self._shared = {}, set()
        for place in places(self.context, self.persons):
            if (head := self.context.engine.head(place.table)) is not None:
                self._seen[place.table.path] = self._looked(place, head)
        if not any(seen.touched for seen in self._seen.values()) and not self.store.unfinished_forgettings():
            told = ", ".join(sorted({person.contract.name for person in self.persons}))
            raise LakeError(
                f"no row of any table has this key of {told} or refers to it: nothing is left to forget, or the key is "
                f"misspelt"
            )
        return self._told()

    def forget(self) -> list[Forgotten]:
        """Forget the persons, and say what became of each table. Broken off and repeated it comes to the same.

        Raises as `look` does.
            TableIsHeld: a run works on a table, and went on for longer than we wait.
            CommitRefused: a table moved meanwhile; the same command goes on.
        """
        context = self.context
        with ExitStack() as leases:
            for name in sorted(context.contracts):
                leases.enter_context(context.lease(name))
            told = self.look()
            unfinished = self.store.unfinished_forgettings()
            ending = {each.table for each in told} | {t for one in unfinished.values() for t in one.get("tables", ())}
            by = context.holder.who
            record = {
                "began": context.began.isoformat(),
                "by": by,
                "why": self.why,
                "keys_of": sorted(person.contract.table for person in self.persons),
                "tables": sorted(ending),
            }
            self.store.record_forgetting(context.run_id, record)
            # The persons' own Bronze rows come last: from them another attempt learns what to look for.
            for last in (False, True):
                for path, seen in self._seen.items():
                    if path in ending and seen.place.own_bronze is last:
                        self._forget_in(seen, by)
                if not last:
                    self._scrub()
            counts = {each.table: {"gone": each.gone, "changed": each.changed} for each in told}
            for run_id, one in {**unfinished, context.run_id: record | {"counts": counts}}.items():
                self.store.record_forgetting(run_id, {**one, "ended": True})
        return told

    @property
    def others(self) -> int:
        """How many rows of other people, in the persons' own tables, have the same e-mail address or phone number."""
        own = {person.contract.path for person in self.persons}
        return sum(seen.changed for path, seen in self._seen.items() if path in own)

    def _traces_of(self, person: Person) -> Traces:
        """What the person's own rows in Bronze say."""
        values = {pair for contract in person.bronze for pair in self._values(person, contract)}
        hashes = {
            (kind, each)
            for masks in self.context.masking.masks.values()
            for mask in masks.values()
            if mask.rule in KEYED
            for kind, value in values
            if kind == mask.kind
            for each in mask.masked(pa.array([value.strip(), value.strip().lower()], pa.string())).to_pylist()
        }
        return Traces(person.key, person.names(self.context.contracts), frozenset(values), frozenset(hashes))

    def _values(self, person: Person, contract: Contract) -> set[tuple[str, str]]:
        table, key = lake_table(contract), person.column_of(contract)
        head = self.context.engine.head(table)
        if head is None:
            return set()
        kinds = personal_columns(contract, head.schema.names)
        found = set[tuple[str, str]]()
        for batch in self.context.engine.scan(table, head.version, [key, *kinds]):
            own = batch.filter(pc.equal(pc.utf8_trim_whitespace(batch[key].cast(pa.string())), person.key))
            for name, kind in kinds.items():
                found |= {(kind, str(value)) for value in own[name].to_pylist() if value is not None}
        return found

    def _looked(self, place: Place, head: Head) -> _Seen:
        seen = _Seen(place, head)

        def look(batch: pa.RecordBatch) -> bool:
            marks = self._marks(batch, place)
            seen.gone += marks.gone
            seen.changed += marks.changed
            self._shared |= marks.shared
            return bool(marks)

        seen.found = self.context.engine.find(place.table, look)
        return seen

    def _marks(self, batch: pa.RecordBatch, place: Place) -> Marks:
        if place.table.path == TOKENS.path:
            return Marks(pc.sum(self._own_tokens(batch)).as_py() or 0, 0)
        marks = [traces.marks(batch, spot) for traces, spot in zip(self._traces, place.spots, strict=True)]
        shared = frozenset().union(*(each.shared for each in marks)) if place.is_bronze else frozenset[str]()
        return Marks(sum(each.gone for each in marks), sum(each.changed for each in marks), shared)

    def _without(self, place: Place) -> Callable[[pa.RecordBatch], pa.RecordBatch]:
        def without(batch: pa.RecordBatch) -> pa.RecordBatch:
            if place.table.path == TOKENS.path:
                return batch.filter(pc.invert(self._own_tokens(batch)))
            for traces, spot in zip(self._traces, place.spots, strict=True):
                batch = traces.without(batch, spot)
            return batch

        return without

    def _own_tokens(self, batch: pa.RecordBatch) -> pa.Array:
        """Tokens of what identifies, and those of names and addresses that nobody else has."""

        def own(value: str | None) -> bool:
            loose = value is not None and value.strip().lower() not in self._shared
            return value is not None and any(traces.owns(value, loose=loose) for traces in self._traces)

        return pa.array([own(value) for value in batch["value"].to_pylist()], pa.bool_())

    def _told(self) -> list[Forgotten]:
        ending = self._ending()
        return [
            Forgotten(path, seen.gone, seen.changed, history=path in ending)
            for path, seen in self._seen.items()
            if path in ending
        ]

    def _ending(self) -> set[str]:
        """The tables whose history ends: what tells of the persons, what may once have, and all that is made of these."""
        reached = {contract.name for person in self.persons for contract in (person.contract, *person.bronze)}
        reached |= {seen.place.contract.name for seen in self._seen.values() if seen.touched and seen.place.contract}
        contracts, functions = self.context.contracts, self.context.functions
        reached |= {below for name in reached for below in everything_below(name, contracts, functions)}
        return {
            path
            for path, seen in self._seen.items()
            if seen.touched or seen.place.contract is None or seen.place.contract.name in reached
        }

    def _forget_in(self, seen: _Seen, by: str) -> None:
        """Write one table without the persons and end its history; a writer who slept over it is refused from now on."""
        context, table, head = self.context, seen.place.table, seen.head
        if seen.place.contract is not None:
            context.leases.check(seen.place.contract.name)
        said = {name: value for name, value in head.metadata.items() if name != "digest"}
        said |= {name: self._scrubbed(str(value), loose=True) for name, value in said.items() if name == "why"}
        said["forgot"] = {"run_id": context.run_id, "at": context.began.isoformat(), "by": by, "why": self.why}
        commit = Commit(table.app_id, head.txn + 1, head.inputs or {}, said)
        found = seen.found or Found(head.version, ())
        whole = replace(table, schema=head.schema)
        context.engine.rewrite(whole, found, self._without(seen.place), Attempt(context.run_id, commit.version), commit)

        def given_up(file: File) -> bool:
            attempt = Attempt.of(file.path)
            return attempt is None or attempt.first <= commit.version

        context.engine.begin_anew(table, given_up)

    def _scrubbed(self, text: str, *, loose: bool) -> str:
        for traces in self._traces:
            text = traces.scrubbed(text, loose=loose)
        return text

    def _scrub(self) -> None:
        """Put what the ledger and this machine's logs say through the same, and remove what dead processes left here."""
        self.store.scrub(lambda name, text: self._scrubbed(text, loose=name in _IN_WORDS))
        sweep_drafts()
        for log in sorted((self.context.settings.state / "logs").glob("*.log")):
            told = log.read_text(encoding="utf-8", errors="replace")
            if (scrubbed := self._scrubbed(told, loose=True)) != told:
                log.write_text(scrubbed, encoding="utf-8")


def forgotten_document(told: Sequence[Forgotten]) -> list[dict[str, Any]]:
    """What became of the tables, for machines."""
    return [{"table": e.table, "gone": e.gone, "changed": e.changed, "history_ended": e.history} for e in told]
