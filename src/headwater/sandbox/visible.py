"""What a table of a dataset shows at an instant, as DuckDB queries over its Parquet file.

A file holds every version of every row with `_visible_at` and `_deleted_at`. Per key the version with the greatest
`_visible_at` not after the clock counts (at a tie the later in the file), unless it is deleted by then. A row whose key
is null has no other version: it stands for itself. The queries give timestamps in UTC without a zone, integers as
BIGINT and a column of nothing as VARCHAR, however the file has them.
"""

# ruff: noqa: S608 - statements are put together from the names of the dataset's tables and columns

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

_INTERNAL = ("_visible_at", "_deleted_at")


@dataclass(frozen=True)
class VersionedTable:
    """One Parquet file of row versions; `key` names the columns that identify a row."""

    file: Path
    key: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The source's own columns, in the file's order."""
        return [name for name in pq.read_schema(self.file).names if name not in _INTERNAL]

    def at(self, instant: datetime) -> str:
        """A query for the rows that stand at `instant`."""
        return self._standing(instant, f"_visible_at <= {timestamp(instant)}")

    def changed_keys(self, after: datetime, until: datetime) -> str:
        """A query for the keys, each once, of which a version appeared or was deleted in `(after, until]`."""
        return f"""
            SELECT DISTINCT {_names(self.key)} FROM {self._versions()}
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

    def _versions(self) -> str:
        return f"read_parquet({literal(str(self.file))}, file_row_number = true)"

    def _standing(self, instant: datetime, condition: str) -> str:
        schema = pq.read_schema(self.file)
        columns = ", ".join(_plain(schema.field(name)) for name in self.columns)
        return f"""
            SELECT {columns} FROM (
                SELECT * FROM {self._versions()} WHERE {condition}
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


def _plain(column: pa.Field) -> str:
    name = _names((column.name,))
    kind = column.type
    if pa.types.is_timestamp(kind):
        utc = f"{name} AT TIME ZONE 'UTC'" if kind.tz else name
        return f"CAST({utc} AS TIMESTAMP) AS {name}"
    if pa.types.is_integer(kind):
        return f"CAST({name} AS BIGINT) AS {name}"
    return f"CAST({name} AS VARCHAR) AS {name}" if pa.types.is_null(kind) else name
