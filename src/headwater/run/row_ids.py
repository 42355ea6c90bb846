"""Gives a row the same identity in every rerun, where its source has no position for it."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from headwater.engine import memory

_PLAIN_PLACES = 6
"""Up to so many decimal places Arrow writes a number without an exponent."""


class RowIds:
    """MD5 over a row's values, column by column in the order of names.

    Each value that is not null counts as `name:length:text`, so that neither a null column more nor another order of
    columns changes the identity, and no two rows share a text. Instants count in microseconds. A row that shows a value
    in a column that it did not have is another version of itself.
    """

    def __init__(self) -> None:
        self._connection = memory.cursor()

    def of(self, batch: pa.RecordBatch) -> pa.Array:
        """The identity of each row of a batch."""
        columns = {name: batch.column(name) for name in sorted(batch.schema.names)}
        texts = self._texts({name: each for name, each in columns.items() if each.null_count < batch.num_rows})
        pieces = [piece for name, text in texts.items() for piece in (_label(name, text), text)]
        # A null counts for nothing, and nor does its label, which is null too.
        whole = pc.binary_join_element_wise(pa.repeat("", batch.num_rows), *pieces, "", null_handling="skip")
        return self._asked("SELECT md5(whole) AS _row_id FROM batch", {"whole": whole})["_row_id"].cast(pa.string())

    def close(self) -> None:
        self._connection.close()

    def _texts(self, columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        """Each column's values as texts: by Arrow, which takes a fifth of the time, where it writes what DuckDB does."""
        texts = {name: _cheap_text(values) for name, values in columns.items()}
        dear = [name for name, text in texts.items() if text is None]
        if dear:
            casts = ", ".join(f"c{number}::VARCHAR AS c{number}" for number in range(len(dear)))
            told = {f"c{number}": columns[name] for number, name in enumerate(dear)}
            texts |= zip(dear, self._asked(f"SELECT {casts} FROM batch", told).values(), strict=True)  # noqa: S608
        return {name: text for name, text in texts.items() if text is not None}

    def _asked(self, query: str, batch: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
        self._connection.register("batch", pa.table(dict(batch)))
        try:
            table: pa.Table = self._connection.sql(query).to_arrow_table().combine_chunks()
        finally:
            self._connection.unregister("batch")
        return {name: _whole(table[name]) for name in table.column_names}


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _cheap_text(values: pa.Array) -> pa.Array | None:
    """The values as DuckDB writes them, or None if Arrow writes them otherwise.

    Of decimals it has an exponent where there are many places, and a zero before the point where no digit may be.
    """
    kind = values.type
    if pa.types.is_string(kind):
        return values
    if pa.types.is_timestamp(kind):
        return values.cast(pa.timestamp("us", tz=kind.tz)).view(pa.int64()).cast(pa.string())
    plain = pa.types.is_decimal(kind) and kind.scale <= _PLAIN_PLACES and kind.precision > kind.scale
    return values.cast(pa.string()) if plain or pa.types.is_integer(kind) else None


def _label(name: str, text: pa.Array) -> pa.Array | pa.Scalar:
    """`name:length:` of each text, in bytes; null where the text is."""
    lengths = pc.binary_length(text)
    if text.null_count == 0:
        extremes = pc.min_max(lengths).as_py()
        if extremes["min"] == extremes["max"]:
            return pa.scalar(f"{name}:{extremes['min']}:")
    told = lengths.dictionary_encode()
    labels = pa.array([f"{name}:{length}:" for length in told.dictionary.to_pylist()], pa.string())
    return pa.DictionaryArray.from_arrays(told.indices, labels).dictionary_decode()
