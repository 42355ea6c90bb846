"""What changed between two contracts of one table, and whom each change can break."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from headwater.contracts.contract import Column, Contract
from headwater.contracts.types import widens

Breaks: TypeAlias = Literal["no", "readers", "always"]
"""Whom a change breaks: nobody, whoever reads the column, or also those who write the table or hold to it."""


@dataclass(frozen=True)
class Change:
    """One difference; `column` is None where it is about the table as a whole."""

    table: str
    column: str | None
    kind: str
    said: str
    breaks: Breaks


def changes(before: Contract | None, after: Contract | None) -> list[Change]:
    """Every difference between two contracts of a table; None where there is no contract."""
    if before is None or after is None:
        present = before or after
        if present is None:
            return []
        gone = after is None
        said = "the table has no contract any more" if gone else "the table is new"
        return [Change(present.table, None, "removed" if gone else "added", said, "always" if gone else "no")]
    return [
        Change(after.table, column, kind, said, breaks)
        for column, kind, said, breaks in (*_of_table(before, after), *_of_columns(before, after))
    ]


_Found: TypeAlias = tuple[str | None, str, str, Breaks]


def _of_table(before: Contract, after: Contract) -> Iterator[_Found]:
    facts: list[tuple[str, object, object, Breaks]] = [
        ("layer", before.layer, after.layer, "always"),
        ("place", before.path, after.path, "always"),
        ("key", _names(before.key), _names(after.key), "always"),
        ("cursor", before.cursor, after.cursor, "always"),
        ("tie-break", before.tie_break, after.tie_break, "always"),
        ("deletion", before.deletion, after.deletion, "always"),
        ("partition", _names(before.partition_by), _names(after.partition_by), "always"),
        ("owner", before.owner, after.owner, "no"),
    ]
    for kind, was, now, breaks in facts:
        if was != now:
            yield None, kind, f"{kind}: {was or 'none'} -> {now or 'none'}", breaks
    kept = {each.name: each.query for each in before.conserved}
    keeps = {each.name: each.query for each in after.conserved}
    for name in sorted(kept.keys() | keeps.keys()):
        if kept.get(name) != keeps.get(name):
            how = "added" if name not in kept else "removed" if name not in keeps else "changed"
            yield None, "conservation", f"the check {name} is {how}", "readers" if how == "removed" else "no"
    yield from _of_promise(before, after)


def _of_promise(before: Contract, after: Contract) -> Iterator[_Found]:
    was, now = before.promise, after.promise
    if (was.max_age, was.of) != (now.max_age, now.of):
        weaker = was.max_age is not None and (now.max_age is None or now.max_age > was.max_age)
        said = f"freshness: {_age(before)} -> {_age(after)}"
        yield None, "freshness", said, "readers" if weaker or was.of != now.of else "no"
    if (was.min_rows, was.max_rows) != (now.min_rows, now.max_rows):
        weaker = (was.min_rows or 0) > (now.min_rows or 0)
        said = f"rows: {was.min_rows} to {was.max_rows} -> {now.min_rows} to {now.max_rows}"
        yield None, "volume", said, "readers" if weaker else "no"


def _age(contract: Contract) -> str:
    promise = contract.promise
    return "none" if promise.max_age is None else f"{promise.of or contract.cursor} at most {promise.max_age} old"


def _of_columns(before: Contract, after: Contract) -> Iterator[_Found]:
    held = {column.name: column for column in before.columns}
    holds = {column.name: column for column in after.columns}
    for name, column in held.items():
        if name not in holds:
            yield name, "removed", f"{name} is removed", "always"
        else:
            yield from _of_column(column, holds[name], after.layer)
    for name, column in holds.items():
        if name not in held:
            demanded = " and required" if column.required else ""
            yield name, "added", f"{name} is added: {column.type}{demanded}", "no"
    refers = {key.column: f"{key.parent}.{key.parent_column}" for key in before.foreign_keys}
    refer = {key.column: f"{key.parent}.{key.parent_column}" for key in after.foreign_keys}
    for name in sorted(refers.keys() | refer.keys()):
        was, now = refers.get(name), refer.get(name)
        if was != now and name in holds:
            said = f"{name} referred to {was or 'nothing'}, now to {now or 'nothing'}"
            yield name, "reference", said, "readers" if now is None else "always"


def _of_column(was: Column, now: Column, layer: str) -> Iterator[_Found]:
    name = was.name
    if was.type != now.type:
        wider, narrower = widens(was.type, now.type), widens(now.type, was.type)
        kind = "widened" if wider else "narrowed" if narrower else "retyped"
        yield name, kind, f"{name} is {kind}: {was.type} -> {now.type}", "no" if wider else "always"
    if was.required != now.required:
        lacks = "a source without it is refused" if layer == "bronze" else "rows without it are refused"
        said = f"required now: {lacks}" if now.required else "optional now: it may be missing"
        yield name, "required", f"{name} is {said}", "always" if now.required else "readers"
    if was.unique != now.unique:
        said = "unique now" if now.unique else "no longer unique"
        yield name, "unique", f"{name} is {said}", "always" if now.unique else "readers"
    yield from _of_values(was, now)
    if was.classification != now.classification:
        shown = was.classification is not None and now.classification is None
        effect = "it is shown where it was masked" if shown else "masking may change what is read"
        said = f"{name} is classified {now.classification or 'no more'}, was {was.classification or 'not'}: {effect}"
        yield name, "classification", said, "always" if shown else "readers"
    if was.description != now.description:
        yield name, "description", f"{name} is described anew", "no"


def _of_values(was: Column, now: Column) -> Iterator[_Found]:
    name = was.name
    if set(was.allowed) != set(now.allowed):
        less, more = [v for v in was.allowed if v not in now.allowed], [v for v in now.allowed if v not in was.allowed]
        if not was.allowed or not now.allowed:
            said = f"only {', '.join(now.allowed)} now" if now.allowed else "any value now"
            yield name, "allowed values", f"{name} allows {said}", "always" if now.allowed else "readers"
        else:
            parts = [f"no longer allows {', '.join(less)}"] if less else []
            parts += [f"also allows {', '.join(more)}"] if more else []
            yield name, "allowed values", f"{name} {' and '.join(parts)}", "always" if less else "readers"
    if was.bounds != now.bounds:
        said = f"{' and '.join(was.bounds) or 'unbounded'} -> {' and '.join(now.bounds) or 'unbounded'}"
        yield name, "range", f"{name}: {said}", "readers" if _is_loosened(was, now) else "always"
    if was.lengths != now.lengths:
        looser = (now.min_length or 0) <= (was.min_length or 0) and _above(now.max_length, was.max_length)
        said = f"{' and '.join(was.lengths) or 'of any length'} -> {' and '.join(now.lengths) or 'of any length'}"
        yield name, "length", f"{name}: {said}", "readers" if looser else "always"
    if was.pattern != now.pattern:
        said = f"pattern {was.pattern or 'none'} -> {now.pattern or 'none'}"
        yield name, "pattern", f"{name}: {said}", "readers" if now.pattern is None else "always"


def _is_loosened(was: Column, now: Column) -> bool:
    """Whether every value that was in range still is."""
    ends = ("minimum", "exclusive_minimum", "maximum", "exclusive_maximum")
    for end in ends:
        bound, before = getattr(now, end), getattr(was, end)
        if bound is None or bound == before:
            continue
        if before is None or (bound > before) == end.endswith("minimum"):
            return False
    return True


def _above(now: int | None, was: int | None) -> bool:
    return now is None or (was is not None and now >= was)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names)
