"""Whom a change of contracts breaks: the tables made from what changed, by column where that can be known."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from pyspark.sql.types import DataType

from headwater.contracts import Contract, Contracts
from headwater.contracts.difference import Change, changes
from headwater.quality.typed import differences, fits
from headwater.run.trial import Failed, Trials
from headwater.transform.table import TableFunction


@dataclass(frozen=True)
class Broken:
    """Somebody whom a change breaks; `column` is None where only the table is known. `via` is what they read."""

    table: str
    column: str | None
    how: str


@dataclass(frozen=True)
class ChangeEffect:
    """A change and whom it breaks; it may break readers outside the lake's tables too, so `breaking` says more."""

    change: Change
    breaking: bool
    breaks: tuple[Broken, ...] = ()


_Columns = dict[tuple[str, str | None], str]
"""Columns (of a table; None for all that it has) that a change reaches, and how."""


@dataclass
class ContractDiff:
    """Compares `before` with `after`, over the functions of this project; other tables are as in `before`."""

    trials: Trials
    functions: Mapping[str, TableFunction]
    before: Contracts
    after: Contracts

    def effects(self) -> list[ChangeEffect]:
        """Every change, in the order of the tables, and whom it breaks."""
        names = dict.fromkeys([*self.before, *self.after])
        found = [each for name in names for each in changes(self.before.get(name), self.after.get(name))]
        return [self._effect(change) for change in found]

    def _effect(self, change: Change) -> ChangeEffect:
        name = change.table.partition(".")[2]
        own = self._own(change, name)
        if change.breaks == "no" and (change.column is None or change.kind not in ("widened", "added")):
            return ChangeEffect(change, breaking=False)
        reached = self._reached(change, name)
        broken = (*own, *(self._told(place, how) for place, how in reached.items()))
        return ChangeEffect(change, change.breaks == "always" or bool(broken), broken)

    def _told(self, place: tuple[str, str | None], how: str) -> Broken:
        table, column = place
        return Broken(self._contracts[table].table, column, how)

    @cached_property
    def _contracts(self) -> Contracts:
        return {**self.after, **self.before}

    def _own(self, change: Change, name: str) -> list[Broken]:
        """Whether the table's own function still returns what its contract says after this change."""
        if name not in self.functions or name not in self.before or name not in self.after or change.column is None:
            return []
        if change.kind not in ("added", "removed", "widened", "narrowed", "retyped"):
            return []
        try:
            held = self.trials.returned(name, self.before)
        except Failed:
            return []
        altered = self._altered(change, name)[name]
        expected = {column for column, _ in differences(self.before[name], held)}
        found = [(column, did) for column, did in differences(altered, held) if column not in expected]
        return [Broken(change.table, None, f"cannot be made as it is: its function {did}") for _, did in found]

    def _reached(self, change: Change, name: str) -> _Columns:
        """Every column that the change reaches: what is made from it, and what is made from that."""
        found: _Columns = {}
        if change.column and change.kind in ("added", "widened", "narrowed", "retyped", "removed"):
            self._direct(change, name, found)
        if change.kind not in ("added", "widened"):
            self._by_lineage(change, name, found)
        self._onward(found)
        return found

    def _direct(self, change: Change, name: str, found: _Columns) -> None:
        """Run each function that reads the table on inputs so changed, and see what becomes of it."""
        altered = self._altered(change, name)
        for reader, function in self.functions.items():
            if name not in function.inputs or reader not in self.before:
                continue
            was = self._returned(reader)
            if was is None:
                continue
            try:
                now = self.trials.returned(reader, altered)
            except Failed as failed:
                why = "needs it" if change.kind == "removed" else f"fails with it: {failed}"
                for column in self._columns_from(reader, {(name, change.column)}):
                    found[reader, column] = f"{why}; its table cannot be computed any more"
                continue
            contract = self.before[reader]
            for column, did in differences(contract, now):
                if (column, did) not in differences(contract, was):
                    found[reader, column] = f"its function {did}"
            found.update(_refusing(contract, was, now))
            for check in contract.conserved:
                wrong = self.trials.is_answered(check.query, contract, altered)
                if wrong and not self.trials.is_answered(check.query, contract, self.before):
                    found[reader, None] = f"cannot be asked for its {check.name}: {wrong}"

    def _by_lineage(self, change: Change, name: str, found: _Columns) -> None:
        """Who reads the changed column (or, for the whole table, the table) at all."""
        for reader, function in self.functions.items():
            if name in function.inputs and reader in self.before:
                origin = change.table if change.column is None else f"{change.table}.{change.column}"
                start = {(name, change.column)}
                columns = self._columns_from(reader, start) if change.column else [None]
                for column in columns:
                    found.setdefault((reader, column), _made(origin, column, of_column=change.column is not None))
        for child, contract in self.before.items():
            for key in contract.foreign_keys:
                if key.parent == name and change.column in (None, key.parent_column):
                    found.setdefault((child, key.column), f"refers to {key.parent}.{key.parent_column}")

    def _onward(self, found: _Columns) -> None:
        """Add what is made from what was found, until there is nothing new."""
        fresh = dict(found)
        while fresh:
            reached: _Columns = {}
            for reader, function in self.functions.items():
                if reader not in self.before:
                    continue
                for table, column in fresh:
                    if table not in function.inputs:
                        continue
                    through = self.before[table].table + (f".{column}" if column else "")
                    columns = self._columns_from(reader, {(table, column)}) if column else [None]
                    for each in columns:
                        if (reader, each) not in found:
                            reached.setdefault((reader, each), _made(through, each, of_column=column is not None))
            found.update(reached)
            fresh = reached

    def _columns_from(self, reader: str, wanted: set[tuple[str, str | None]]) -> list[str | None]:
        """The columns of a table that are made from those wanted; [None] if it needs them in no column's plan."""
        made = self._made_from.get(reader)
        if made is None:
            return [None]
        columns: list[str | None] = [
            column for column, read in made.items() if read & wanted and column in self.before[reader].column_names
        ]
        return columns or ([None] if any(self._needs(reader, table, column) for table, column in wanted) else [])

    def _needs(self, reader: str, table: str, column: str | None) -> bool:
        """Whether a function fails without a column: it reads it while it is called, where no plan shows it."""
        if column is None:
            return True
        fewer = tuple(each for each in self.before[table].columns if each.name != column)
        try:
            self.trials.returned(reader, {**self.before, table: replace(self.before[table], columns=fewer)})
        except Failed:
            return True
        return False

    @cached_property
    def _made_from(self) -> Mapping[str, Mapping[str, frozenset[tuple[str, str]]]]:
        return dict(self._lineage())

    def _lineage(self) -> Iterator[tuple[str, Mapping[str, frozenset[tuple[str, str]]]]]:
        for name, function in self.functions.items():
            if all(each in self.before for each in (name, *function.inputs)):
                try:
                    yield name, self.trials.made_from(name, self.before)
                except Failed:
                    continue

    def _returned(self, reader: str) -> dict[str, DataType] | None:
        if any(each not in self.before for each in self.functions[reader].inputs):
            return None
        try:
            return self.trials.returned(reader, self.before)
        except Failed:
            return None

    def _altered(self, change: Change, name: str) -> dict[str, Contract]:
        """The contracts as they were, but for this one change of one column."""
        before, after = self.before[name], self.after[name]
        columns = [each for each in before.columns if each.name != change.column]
        if change.column in after.column_names:
            now = after.column(str(change.column))
            place = next((i for i, each in enumerate(before.columns) if each.name == change.column), len(columns))
            columns.insert(place, now)
        return {**self.before, name: replace(before, columns=tuple(columns))}


def _refusing(contract: Contract, was: Mapping[str, DataType], now: Mapping[str, DataType]) -> _Columns:
    """Columns of a Silver table whose values fitted their type before and may not fit it now."""
    if contract.layer != "silver":
        return {}
    types = {each.name: each.type for each in contract.columns if each.name in was and each.name in now}
    return {
        (contract.name, name): f"is computed as {now[name].simpleString()}; what does not fit {kind} is refused"
        for name, kind in types.items()
        if fits(was[name], kind) and not fits(now[name], kind)
    }


def _made(origin: str, column: str | None, *, of_column: bool) -> str:
    """That something is made from what changed; and where a column's readers are known by their table alone, that too."""
    unknown = of_column and column is None
    return f"is made from {origin}" + ("; in which columns, its function's plan does not tell" if unknown else "")
