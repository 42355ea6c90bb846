"""What a reader of the extract benchmark came back with: how many rows, and a sum over them that their order leaves alone."""

from dataclasses import dataclass

import duckdb
import pyarrow as pa

from headwater.contracts import Contract

_NOT_THE_ROW = frozenset({"kafka_headers", "file_date", "_file_key", "_file_etag", "_file_size", "_file_line"})
"""What Headwater adds of its own, and headers, of which the messages here have none."""


@dataclass(frozen=True)
class Seen:
    """A multiset of rows, told by its size and the sum of the rows' hashes."""

    rows: int
    total: int


def seen(contract: Contract, relation: pa.Table | str) -> Seen:
    """The rows of a table in memory, or of what stands in a query behind FROM, in the types of the contract."""
    columns = ", ".join(_value(field) for field in contract.arrow_schema if field.name not in _NOT_THE_ROW)
    with duckdb.connect(config={"memory_limit": "2GB", "threads": 2}) as session:
        session.execute("SET TimeZone = 'UTC'")
        place = relation
        if not isinstance(relation, str):
            session.register("told", relation)
            place = "told"
        [[rows, total]] = session.execute(
            f"SELECT count(*), coalesce(sum(hash({columns})::HUGEINT), 0) FROM {place}"
        ).fetchall()
    return Seen(int(rows), int(total))


def _value(field: pa.Field) -> str:
    name, kind = f'"{field.name}"', field.type
    if pa.types.is_timestamp(kind):
        return f"epoch_us({name}::TIMESTAMPTZ)"
    if pa.types.is_decimal(kind):
        return f"{name}::DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_integer(kind):
        return f"{name}::BIGINT"
    if pa.types.is_date(kind):
        return f"{name}::DATE"
    if pa.types.is_boolean(kind):
        return f"{name}::BOOLEAN"
    return f"{name}::VARCHAR"
