"""What a table of a dataset shows at an instant, as DuckDB queries over its Parquet file.

A file holds every version of every row with `_visible_at` and `_deleted_at`. Per key the version with the greatest
`_visible_at` not after the clock counts (at a tie the later in the file), unless it is deleted by then. A row whose key
is null has no other version: it stands for itself. The queries give the columns of a documented file in their documented
types, however wide the file has them, and of any other file integers as BIGINT and a column of nothing as VARCHAR;
timestamps in UTC without a zone.
"""

# ruff: noqa: S608 - statements are put together from the names of the dataset's tables and columns

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headwater.sandbox.datasets.columns_check import serves
from headwater.sandbox.datasets.folder import SOURCE_SCHEMAS

_INTERNAL = ("_visible_at", "_deleted_at")


@dataclass(frozen=True)
class VersionedTable:
    """One Parquet file of row versions; `key` names the columns that identify a row."""

    file: Path
    key: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The source's own columns, in the order of `served`."""
        return [name for name in self.schema.names if name not in _INTERNAL]

    @property
    def schema(self) -> pa.Schema:
        """The types of the columns as the source has them."""
        return served(self.file)

    def at(self, instant: datetime) -> str:
        """A query for the rows that stand at `instant`."""
        return self._standing(instant, f"_visible_at <= {timestamp(instant)}")

    def changed_keys(self, after: datetime, until: datetime) -> str:
        """A query for the keys, each once, of which a version appeared or was deleted in `(after, until]`."""
        return f"""
            SELECT DISTINCT {_names(self.key)} FROM {versions(self.file)}
            WHERE {self._has_key()} AND (
                (_visible_at > {timestamp(after)} AND _visible_at <= {timestamp(until)})
                OR (_deleted_at > {timestamp(after)} AND _deleted_at <= {timestamp(until)}))"""

    def changed(self, after: datetime, until: datetime) -> str:
        """A query for the rows that stand at `until` and were not there at `after`, or not so."""
        due = f"({_names(self.key)}) IN ({self.changed_keys(after, until)})"
        keyless = f"NOT ({self._has_key()}) AND _visible_at > {timestamp(after)}"
        return self._standing(until, f"_visible_at <= {timestamp(until)} AND ({due} OR {keyless})")

    def _has_key(self) -> str:
        return " AND ".join(f"{_names((name,))} IS NOT NULL" for name in self.key)

    def _standing(self, instant: datetime, condition: str) -> str:
        schema = self.schema
        columns = ", ".join(_plain(schema.field(name)) for name in self.columns)
        return f"""
            SELECT {columns} FROM (
                SELECT * FROM {versions(self.file)} WHERE {condition}
                QUALIFY NOT ({self._has_key()}) OR row_number() OVER (
                    PARTITION BY {_names(self.key)} ORDER BY _visible_at DESC, file_row_number DESC) = 1)
            WHERE _deleted_at IS NULL OR _deleted_at > {timestamp(instant)}"""


def timestamp(instant: datetime) -> str:
    """`instant` as a DuckDB literal with its zone."""
    return f"TIMESTAMPTZ '{instant.astimezone(UTC).isoformat()}'"


def literal(text: str) -> str:
    """`text` as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def _names(columns: tuple[str, ...] | list[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in columns)


def served(file: Path) -> pa.Schema:
    """A file's columns in its order, those that `docs/datasets.md` describes in the types that it gives them.

    A column of a type that cannot serve as the documented one is shown as it is, as a source that changed would. After
    them come the columns that the page describes and the file lacks: they are null throughout.
    """
    found, documented = pq.read_schema(file), _documented(file)
    known = {field.name: field for field in documented if field.name in found.names}
    fit = {name: field for name, field in known.items() if serves(field, found.field(name).type)}
    return pa.schema(
        [fit.get(field.name, field) for field in found]
        + [field for field in documented if field.name not in found.names]
    )


def _documented(file: Path) -> pa.Schema:
    return SOURCE_SCHEMAS.get(f"{file.parent.name}/{file.stem}", pa.schema([]))


def versions(file: Path) -> str:
    """A relation of a file's rows in the types of `served`, with their number in the file as `file_row_number`."""
    found = pq.read_schema(file).names
    columns = ", ".join(_typed(field, missing=field.name not in found) for field in served(file))
    return f"(SELECT {columns}, file_row_number FROM read_parquet({literal(str(file))}, file_row_number = true))"


def _typed(column: pa.Field, *, missing: bool) -> str:
    """A column in the type that it is served in, null where the file has none of the name."""
    name, kind = _names((column.name,)), column.type
    if pa.types.is_timestamp(kind):
        wanted = "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    elif pa.types.is_integer(kind):
        wanted = "BIGINT"
    elif pa.types.is_decimal(kind):
        wanted = f"DECIMAL({kind.precision},{kind.scale})"
    elif pa.types.is_boolean(kind):
        wanted = "BOOLEAN"
    elif pa.types.is_date(kind):
        wanted = "DATE"
    elif pa.types.is_string(kind) or pa.types.is_null(kind):
        wanted = "VARCHAR"
    else:
        return name
    return f"CAST({'NULL' if missing else name} AS {wanted}) AS {name}"


def _plain(column: pa.Field) -> str:
    """A column as it is shown: an instant in UTC has no zone."""
    name = _names((column.name,))
    zoned = pa.types.is_timestamp(column.type) and column.type.tz
    return f"{name} AT TIME ZONE 'UTC' AS {name}" if zoned else name
