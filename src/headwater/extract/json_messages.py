"""JSON messages to columns: one row or one refusal per message, whatever its bytes.

Arrow's JSON reader is not used: it shifts rows where a message holds two objects or none, and dies of a `null`.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc

from headwater.contracts import Column
from headwater.engine import memory
from headwater.extract.from_text import typed

_INTEGERS = ("BIGINT", "UBIGINT")
"""How DuckDB names the type of a JSON number that is written without fraction and exponent."""


@dataclass(frozen=True)
class ParsedMessages:
    """What messages hold, and which of them are rows.

    Attributes:
        columns: the contract's columns of the rows.
        unknown: fields that the contract does not know, as text by their own names.
        shown: every field that a row has.
        rows: the places of the rows among the messages.
        refused: why each other message is none.
    """

    columns: dict[str, pa.Array]
    unknown: dict[str, pa.Array]
    shown: frozenset[str]
    rows: list[int]
    refused: dict[int, str]


class JsonMessages:
    """Reads messages that are JSON objects into the columns of a contract; closes its cursor of DuckDB at exit."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._known = {column.name for column in columns}
        self._query = _query(columns)
        self._connection = memory.cursor()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def parse(self, values: list[bytes | None]) -> ParsedMessages:
        """Say what messages hold, and why one is refused.

        A field is found by its column's name. In a string column, and where the contract does not know the field, a JSON
        string is its text, any other value its JSON text written compactly; an absent field and `null` are null. An
        integer column takes integers only.
        """
        refused: dict[int, str] = {}
        texts = _texts(values, refused)
        found = self._asked(pa.table({"text": texts}), self._query)
        odd = pc.fill_null(pc.not_equal(found["kind"], "OBJECT"), fill_value=True)
        for row in pc.indices_nonzero(odd).to_pylist():
            kind = found["kind"][row].as_py()
            refused.setdefault(row, f"not an object but {kind.lower()}" if kind else "not JSON")
        objects = [row for row in range(len(values)) if row not in refused] if refused else list(range(len(values)))
        if refused:
            found, texts = found.take(pa.array(objects, pa.int64())), texts.take(pa.array(objects, pa.int64()))
        columns, misfits = self._fields(found)
        names = self._names(found)
        unknown = self._values(texts, names)
        empty = [name for name, array in columns.items() if array.null_count == len(array)]
        shown = frozenset({*columns, *names} - set(empty)) | self._present(texts, empty)
        if misfits:
            kept = pa.array([place for place in range(len(objects)) if place not in misfits], pa.int64())
            columns = {name: array.take(kept) for name, array in columns.items()}
            unknown = {name: array.take(kept) for name, array in unknown.items()}
            refused |= {objects[place]: reason for place, reason in misfits.items()}
            objects = [objects[place] for place in kept.to_pylist()]
        return ParsedMessages(columns, unknown, shown, objects, refused)

    def _names(self, found: pa.Table) -> list[str]:
        """The fields beside the contract's that messages have."""
        more = found.filter(pc.not_equal(found["rest"], "{}")).select(["rest"])
        if not more.num_rows:
            return []
        names = self._asked(more, "SELECT DISTINCT unnest(json_keys(rest)) AS name FROM asked ORDER BY name")
        return list(names["name"].to_pylist())

    def _values(self, texts: pa.Array, names: Sequence[str]) -> dict[str, pa.Array]:
        """Fields of objects as text; a field's name may be anything, and so is told as a JSON pointer."""
        if not names:
            return {}
        pointers = ["/" + name.replace("~", "~0").replace("/", "~1") for name in names]
        query = "SELECT json_extract_string(text, $pointers::VARCHAR[]) AS found FROM asked"
        found = self._asked(pa.table({"text": texts}), query, pointers=pointers)
        lists = found["found"].combine_chunks()
        return {name: pc.list_element(lists, place).cast(pa.string()) for place, name in enumerate(names)}

    def _present(self, texts: pa.Array, names: Sequence[str]) -> frozenset[str]:
        """Those of the contract's fields that an object has, if only as `null`."""
        if not names or not len(texts):
            return frozenset(names)
        exist = ", ".join(f"""bool_or(json_exists(text, '$."{name}"')) AS "{name}\"""" for name in names)
        [found] = self._asked(pa.table({"text": texts}), f"SELECT {exist} FROM asked").to_pylist()  # noqa: S608 - the contract's names
        return frozenset(name for name in names if found[name])

    def _asked(self, objects: pa.Table, query: str, **params: object) -> pa.Table:
        self._connection.register("asked", objects)
        try:
            return self._connection.sql(query, params=params or None).to_arrow_table()
        finally:
            self._connection.unregister("asked")

    def _fields(self, found: pa.Table) -> tuple[dict[str, pa.Array], dict[int, str]]:
        """Each column's texts as its type, and why a message does not fit."""
        refused: dict[int, str] = {}
        fields: dict[str, pa.Array] = {}
        for place, column in enumerate(self._columns):
            text = found[f"text_{place}"].combine_chunks()
            if pa.types.is_integer(column.arrow_type):
                kind = found[f"kind_{place}"].combine_chunks()
                integer = pc.is_in(kind, pa.array([*_INTEGERS, "NULL", None], pa.string()))
                for row in pc.indices_nonzero(pc.invert(integer)).to_pylist():
                    refused[row] = (
                        f"{column.name} is {_shown(text[row].as_py(), kind[row].as_py())}, which is no integer"
                    )
                text = pc.if_else(integer, text, pa.scalar(None, pa.string()))
            fields[column.name] = text
        columns, misfits = typed(self._columns, fields)
        return columns, misfits | refused


def _query(columns: Sequence[Column]) -> str:
    """A list of paths is looked up in one pass over a text; a path of its own would parse the text once more."""
    paths = [f"""'$."{column.name}"'""" for column in columns]
    integers = [place for place, column in enumerate(columns) if pa.types.is_integer(column.arrow_type)]
    texts = [f"texts[{place + 1}] AS text_{place}" for place in range(len(paths))]
    kinds = [f"kinds[{number + 1}] AS kind_{place}" for number, place in enumerate(integers)]
    looked_up = [f"CASE WHEN kind = 'OBJECT' THEN json_extract_string(text, [{', '.join(paths)}]) END AS texts"]
    # What is left without the contract's fields, which is nothing for nearly all; to list every message's would cost more.
    without = json.dumps(dict.fromkeys(column.name for column in columns))
    looked_up.append(f"CASE WHEN kind = 'OBJECT' THEN json_merge_patch(text, '{without}')::VARCHAR END AS rest")
    if integers:
        numbers = ", ".join(paths[place] for place in integers)
        looked_up.append(f"CASE WHEN kind = 'OBJECT' THEN json_type(text, [{numbers}]) END AS kinds")
    # Names are the contract's. Rows keep their order.
    return (
        f"SELECT kind, rest, {', '.join([*texts, *kinds])} FROM (SELECT kind, {', '.join(looked_up)} FROM ("  # noqa: S608
        "SELECT text, CASE WHEN json_valid(text) THEN json_type(text) END AS kind FROM asked))"
    )


def _texts(values: list[bytes | None], refused: dict[int, str]) -> pa.Array:
    """The values as text; null where there is none or it is not UTF-8, which is then said in `refused`."""
    array = pa.array(values, pa.binary())
    for row in pc.indices_nonzero(array.is_null()).to_pylist():
        refused[row] = "a tombstone: it has no value"
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        texts: list[str | None] = []
        for row, value in enumerate(values):
            try:
                texts.append(None if value is None else value.decode())
            except UnicodeDecodeError:
                refused[row] = "not UTF-8"
                texts.append(None)
        return pa.array(texts, pa.string())


def _shown(text: str, kind: str) -> str:
    short = text if len(text) <= 80 else text[:80] + "…"
    return f'"{short}"' if kind == "VARCHAR" else short
