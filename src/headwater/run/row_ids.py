"""Gives a row the same identity in every rerun, where its source has no position for it."""

import duckdb
import pyarrow as pa


class RowIds:
    """MD5 over a row's values, column by column in the order of names.

    Each value that is not null counts as `name:length:text`, so that neither a null column more nor another order of
    columns changes the identity, and no two rows share a text. Instants count in microseconds. A row that shows a value
    in a column that it did not have is another version of itself.
    """

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._schema, self._query = pa.schema([]), ""

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """The identity of each row of a batch."""
        if batch.schema != self._schema:
            self._schema = batch.schema
            parts = [_part(field) for field in sorted(batch.schema, key=lambda field: field.name)]
            self._query = f"SELECT md5(concat({', '.join(parts)})) AS _row_id FROM batch"  # noqa: S608 - names are quoted
        self._connection.register("batch", pa.Table.from_batches([batch]))
        try:
            table: pa.Table = self._connection.sql(self._query).to_arrow_table()
        finally:
            self._connection.unregister("batch")
        return table["_row_id"].combine_chunks().cast(pa.string())

    def close(self) -> None:
        self._connection.close()


def _part(field: pa.Field) -> str:
    column = '"' + field.name.replace('"', '""') + '"'
    label = "'" + field.name.replace("'", "''") + ":'"
    text = f"epoch_us({column})::VARCHAR" if pa.types.is_timestamp(field.type) else f"{column}::VARCHAR"
    return f"CASE WHEN {column} IS NULL THEN '' ELSE {label} || strlen({text}) || ':' || {text} END"
