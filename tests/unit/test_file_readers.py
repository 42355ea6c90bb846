"""JSON, JSON lines, Parquet and packed files: every record ends as one row or one reject, a damaged file as one reject."""

import datetime as dt
import gzip
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.contracts import Column
from headwater.errors import SourceRejected
from headwater.extract import json_file, parquet_file
from headwater.extract.file_records import WHOLE_FILE
from headwater.extract.json_file import read_json, read_json_lines
from headwater.extract.packed_file import unpack
from headwater.extract.parquet_file import read_parquet

UTC = dt.UTC
COLUMNS = (
    Column("sku", "string", required=True),
    Column("packs", "bigint"),
    Column("cost", "decimal(20,4)", required=True),
    Column("available", "boolean"),
    Column("since", "date"),
    Column("changed_at", "timestamp"),
)
CONTRACT = "config/contracts/bronze/external_vendor_products.yaml"
KEPT = 1 << 16
untimed = settings(deadline=None, max_examples=60)


def read(
    reader: Any, tmp_path: Path, content: bytes, columns: Sequence[Column] = COLUMNS
) -> tuple[list[tuple], dict[int, tuple[str, bytes]]]:
    """The rows with their place, and the refused places with reason and bytes."""
    path = tmp_path / "file"
    path.write_bytes(content)
    rows: list[tuple] = []
    refused: dict[int, tuple[str, bytes]] = {}
    for chunk in reader(path, "catalogue", columns, CONTRACT):
        for column in columns:
            assert chunk.columns.get(column.name, pa.nulls(0, column.arrow_type)).type == column.arrow_type
        if chunk.lines:
            values = [chunk.columns[column.name].to_pylist() for column in columns]
            rows += zip(chunk.lines, *values, strict=True)
        for each in chunk.refused:
            assert each.line not in refused
            refused[each.line] = (each.reason, each.raw)
    return rows, refused


# JSON documents


def test_the_objects_of_an_array_are_rows_with_their_number_and_their_digits(tmp_path):
    content = """[
      {"sku": "Ä-1", "packs": 3, "cost": 1234567890123456.7891, "available": true, "since": "2024-02-29",
       "changed_at": "2024-11-01T12:00:00.5Z", "unknown": [1, 2]},
      {"cost": "0.10", "sku": 7.50},
      {"sku": {"a": [1.50, null, "é"], "b": true}, "packs": null, "cost": 1e2, "changed_at": "2024-11-01 12:00:00"}
    ]"""

    rows, refused = read(read_json, tmp_path, content.encode())

    noon = dt.datetime(2024, 11, 1, 12, tzinfo=UTC)
    assert rows == [
        (
            1,
            "Ä-1",
            3,
            Decimal("1234567890123456.7891"),
            True,
            dt.date(2024, 2, 29),
            noon.replace(microsecond=500_000),
        ),
        (2, "7.50", None, Decimal("0.1000"), None, None, None),
        (3, '{"a":[1.50,null,"é"],"b":true}', None, Decimal("100.0000"), None, None, noon),
    ]
    assert not refused


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'\xef\xbb\xbf {"sku": "a", "cost": 1}\n', [1]),
        (b"[]", []),
        (b" [ ] ", []),
        (b'[{"sku":"a","cost":1}]', [1]),
    ],
)
def test_a_document_may_be_one_object_an_empty_array_or_begin_with_a_byte_order_mark(tmp_path, content, rows):
    found, refused = read(read_json, tmp_path, content)

    assert [row[0] for row in found] == rows
    assert not refused


def test_each_element_that_is_no_row_is_refused_with_its_number_and_text(tmp_path):
    elements = [
        '{"sku":"a","cost":1}', '"text"', "12", "null", "[]", "true", '{"sku":"b","cost":1.23456}',
        '{"sku":"c","packs":1.5,"cost":true}', '{"sku":"\\ud800","cost":1}', '{"sku":"d","since":"2024-02-30"}', "{}",
    ]  # fmt: skip

    rows, refused = read(read_json, tmp_path, ("[" + ", ".join(elements) + "]").encode())

    assert [row[:2] for row in rows] == [(1, "a"), (11, None)]
    assert {number: raw.decode() for number, (_, raw) in refused.items()} == dict(
        zip(range(2, 11), elements[1:10], strict=True)
    )
    words = {
        2: "a string", 3: "a number", 4: "null", 5: "an array", 6: "a boolean", 7: "cost is '1.23456'",
        8: "packs is '1.5', which is no bigint; cost is 'true'", 9: "sku has half of a surrogate pair",
        10: "since is '2024-02-30'",
    }  # fmt: skip
    assert all(word in refused[number][0] for number, word in words.items())


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "Expecting value"),
        (b'[{"sku":"a","cost":1},{"sku":"b"', "element 2"),
        (b'[{"sku":"a","cost":1},', "element 2"),
        (b'[{"sku":"a","cost":1}', "after element 1 there is no comma"),
        (b'[{"sku":"a","cost":1} {"sku":"b","cost":1}]', "after element 1 there is no comma"),
        (b'[{"sku":"a","cost":1}] []', "something stands after its end"),
        (b'[{"sku":"a","cost":NaN}]', "NaN is no JSON"),
        (b'[{"sku":"\xff","cost":1}]', "utf-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'[{"sku":"a","cost":1,}]', "element 1"),
    ],
)
def test_a_document_that_is_not_json_to_its_end_is_refused_as_a_whole(tmp_path, content, word):
    rows, refused = read(read_json, tmp_path, content)

    assert rows == []
    ((reason, raw),) = refused.values()
    assert list(refused) == [WHOLE_FILE]
    assert reason.startswith("no JSON document: ")
    assert word in reason
    assert raw == content[:KEPT]


def test_of_a_large_damaged_file_the_beginning_is_kept(tmp_path):
    content = b"[" + b'{"sku":"a","cost":1},' * 10_000

    _, refused = read(read_json, tmp_path, content)

    reason, raw = refused[WHOLE_FILE]
    assert raw == content[:KEPT]
    assert f"the first {KEPT} of its {len(content)} bytes are kept" in reason


def test_an_element_longer_than_memory_should_hold_is_refused_with_its_file(tmp_path):
    with patch.object(json_file, "_LONGEST_VALUE", 5000), patch.object(json_file, "_BLOCK", 1000):
        fits, _ = read(read_json, tmp_path, b'[{"cost":1,"sku":"' + b"x" * 3000 + b'"}]')
        _, refused = read(read_json, tmp_path, b'[{"cost":1,"sku":"' + b"x" * 30_000 + b'"}]')

    assert len(fits[0][1]) == 3000
    assert "element 1 is longer than 5000 characters" in refused[WHOLE_FILE][0]


# JSON lines


def test_each_line_is_a_row_or_a_reject_by_its_number(tmp_path):
    lines = [
        b'\xef\xbb\xbf{"sku":"a","cost":1}\r', b"", b'{"sku":"b"', b"\xff", b"  \t", b"null", b'{"cost":Infinity}', b"{} {}",
        b'{"sku":"c","cost":"2.5"}',
    ]  # fmt: skip

    rows, refused = read(read_json_lines, tmp_path, b"\n".join(lines))

    assert [(row[0], row[1], row[3]) for row in rows] == [(1, "a", Decimal("1.0000")), (9, "c", Decimal("2.5000"))]
    assert {number: raw for number, (_, raw) in refused.items()} == {
        number: lines[number - 1] for number in (3, 4, 6, 7, 8)
    }
    words = {3: "not JSON", 4: "not UTF-8", 6: "not an object but null", 7: "Infinity is no JSON", 8: "not JSON"}
    assert all(word in refused[number][0] for number, word in words.items())


def test_an_empty_file_of_lines_has_no_rows_and_says_so(tmp_path, caplog):
    assert read(read_json_lines, tmp_path, b"") == ([], {})
    assert "catalogue is empty" in caplog.text


def test_a_line_longer_than_memory_should_hold_is_refused_and_the_next_one_is_read(tmp_path):
    with (
        patch("headwater.extract.file_records._LONGEST_LINE", 1000),
        patch("headwater.extract.file_records._BLOCK", 300),
    ):
        rows, refused = read(read_json_lines, tmp_path, b'{"sku":"' + b"x" * 5000 + b'"}\n{"sku":"a","cost":1}\n')

    assert [row[:2] for row in rows] == [(2, "a")]
    assert refused[1][1] == b'{"sku":"' + b"x" * 992


values = st.fixed_dictionaries(
    {
        "sku": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        "packs": st.none() | st.integers(-(2**63), 2**63 - 1),
        "cost": st.none() | st.decimals(-(10**15), 10**15, places=4),
        "available": st.none() | st.booleans(),
        "since": st.none() | st.dates(),
    }
)
SOME = COLUMNS[:5]


def as_json(row: dict[str, Any], *, ascii_only: bool) -> str:
    parts = []
    for name, value in row.items():
        match value:
            case Decimal():
                text = str(value)
            case dt.date():
                text = f'"{value}"'
            case _:
                text = json.dumps(value, ensure_ascii=ascii_only)
        parts.append(f"{json.dumps(name)}: {text}")
    return "{" + ", ".join(parts) + "}"


@untimed
@given(st.lists(values, max_size=6), st.booleans(), st.integers(1, 50), st.sampled_from([" ", "\n", ""]))
def test_what_was_written_as_json_is_read_back(tmp_path_factory, drawn, ascii_only, block, blank):
    texts = [as_json(row, ascii_only=ascii_only) for row in drawn]
    expected = [(number, *(row[column.name] for column in SOME)) for number, row in enumerate(drawn, 1)]
    folder = tmp_path_factory.mktemp("json")

    with patch.object(json_file, "_BLOCK", block), patch.object(json_file, "_CHUNK_BYTES", block):
        document = read(read_json, folder, f"[{blank}{f'{blank},{blank}'.join(texts)}{blank}]".encode(), SOME)
        lines = read(read_json_lines, folder, "\n".join(texts).encode(), SOME)

    assert document == lines == (expected, {})


@untimed
@given(st.lists(values, min_size=1, max_size=4), st.data())
def test_a_document_cut_anywhere_is_refused_as_a_whole(tmp_path_factory, drawn, data):
    content = ("[" + ",".join(as_json(row, ascii_only=False) for row in drawn) + "]").encode()
    cut = content[: data.draw(st.integers(0, len(content) - 1))]

    rows, refused = read(read_json, tmp_path_factory.mktemp("json"), cut, SOME)

    assert (rows, list(refused), refused[WHOLE_FILE][1]) == ([], [WHOLE_FILE], cut)


@untimed
@given(st.binary(max_size=200) | st.text('[]{}",:0123456789truefalsn \n\\u', max_size=60).map(str.encode))
def test_whatever_the_bytes_a_json_file_ends_in_rows_and_rejects(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("json")

    rows, refused = read(read_json, folder, content)
    assert not (set(refused) & {row[0] for row in rows})
    assert rows or refused or json.loads(content) == []

    rows, refused = read(read_json_lines, folder, content)
    spoken = [number for number, line in enumerate(content.split(b"\n"), 1) if line.strip(b" \t\r\n")]
    assert {row[0] for row in rows} | set(refused) >= set(spoken) - {1}


# Parquet


def parquet(table: pa.Table, **options: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def test_rows_are_numbered_and_columns_found_in_any_order_case_and_width(tmp_path):
    table = pa.table(
        {
            "Changed_At": pa.array([1_730_462_400_123_456_789, None], pa.timestamp("ns")),
            "COST": pa.array([12, -3], pa.int16()),
            "extra": pa.array([1, 2]),
            "SKU": pa.array(["a", "b"], pa.large_string()).dictionary_encode(),
            "packs": pa.array([1, 2], pa.uint8()),
            "since": pa.array([0, 86_400_000], pa.date64()),
        }
    )

    rows, refused = read(read_parquet, tmp_path, parquet(table))

    at = dt.datetime(2024, 11, 1, 12, 0, 0, 123_456, UTC)
    assert rows == [
        (1, "a", 1, Decimal("12.0000"), None, dt.date(1970, 1, 1), at),
        (2, "b", 2, Decimal("-3.0000"), None, dt.date(1970, 1, 2), None),
    ]
    assert not refused
    [chunk] = read_parquet(tmp_path / "file", "catalogue", COLUMNS, CONTRACT)
    assert chunk.lacking == ("available",)
    assert {name: array.to_pylist() for name, array in chunk.unknown.items()} == {"extra": [1, 2]}


@pytest.mark.parametrize(
    ("cost", "beside", "value"),
    [
        (pa.array([Decimal("1.23456")], pa.decimal128(20, 5)), "cost__decimal", Decimal("1.23456")),
        (pa.array([Decimal(10) ** 17], pa.decimal128(30, 0)), "cost__bigint", 10**17),
        (pa.array(["n/a"]), "cost__string", "n/a"),
        (pa.array([float("inf")]), "cost__double", float("inf")),
        (pa.array([2**63], pa.uint64()), "cost__decimal", Decimal(2**63)),
        (pa.array([Decimal(10) ** 30], pa.decimal128(38, 0)), "cost__string", str(10**30)),
        (pa.array([True]), "cost__boolean", True),
        (pa.array([[1, 2]]), "cost__string", "[1,2]"),
        (pa.array([{"eur": 1}]), "cost__string", '{"eur":1}'),
        (pa.array([dt.time(9, 30)]), "cost__string", "09:30:00"),
    ],
)
def test_a_value_of_a_type_that_its_column_does_not_hold_stands_beside_it(tmp_path, cost, beside, value):
    good = pa.nulls(1, cost.type)
    table = pa.table({"sku": ["a", "ü", "c"], "cost": pa.chunked_array([good, cost, good])})

    rows, refused = read(read_parquet, tmp_path, parquet(table))

    assert [(row[0], row[1], row[3]) for row in rows] == [(1, "a", None), (2, "ü", None), (3, "c", None)]
    assert not refused
    [chunk] = read_parquet(tmp_path / "file", "catalogue", COLUMNS, CONTRACT)
    assert {name: array.to_pylist() for name, array in chunk.besides.items()} == {beside: [None, value, None]}


def test_text_that_is_not_utf8_costs_its_row_and_is_shown(tmp_path):
    offsets = pa.array([0, 1, 3], pa.int32()).buffers()[1]
    broken = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff\xfe"))
    table = pa.table({"sku": broken, "cost": ["1", "2"], "available": pa.nulls(2)})

    rows, refused = read(read_parquet, tmp_path, parquet(table))

    assert [row[:2] for row in rows] == [(1, "a")]
    assert refused[2] == ("sku is not UTF-8", rb'{"sku": "\\xff\\xfe", "cost": "2", "available": null}')


def test_a_large_file_is_numbered_through_its_chunks(tmp_path):
    table = pa.table({"sku": pa.array(range(1000)).cast(pa.string()), "cost": pa.array(range(1000))})

    with patch.object(parquet_file, "_ROWS", 7):
        rows, _ = read(read_parquet, tmp_path, parquet(table, row_group_size=100))

    assert [(row[0], row[1]) for row in rows] == [(number + 1, str(number)) for number in range(1000)]


def test_a_file_without_rows_has_none(tmp_path):
    table = pa.table({"sku": pa.array([], pa.string()), "cost": pa.nulls(0)})

    assert read(read_parquet, tmp_path, parquet(table)) == ([], {})


@pytest.mark.parametrize("names", [["sku", "price"], ["sku", "cost", "COST"]])
def test_a_column_that_is_missing_or_stands_twice_is_named(tmp_path, names):
    table = pa.table([pa.array(["1"])] * len(names), names)

    with pytest.raises(SourceRejected, match=rf"no column cost, which {CONTRACT} requires|2 columns named cost"):
        read(read_parquet, tmp_path, parquet(table))


WHOLE = parquet(pa.table({"sku": [f"s{n}" for n in range(200)], "cost": range(200)}), write_page_checksum=True)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"sku,cost\na,1\n", WHOLE[:-1], WHOLE[: len(WHOLE) // 2], WHOLE[1:]])
def test_a_parquet_file_that_is_none_is_refused_as_a_whole(tmp_path, content):
    rows, refused = read(read_parquet, tmp_path, content)

    assert rows == []
    assert refused == {WHOLE_FILE: (refused[WHOLE_FILE][0], content)}
    assert refused[WHOLE_FILE][0].startswith("no Parquet file that can be read: ")


@untimed
@given(st.integers(4, 600), st.integers(1, 255))
def test_one_damaged_byte_among_a_parquet_files_pages_costs_the_file_or_nothing(tmp_path_factory, place, change):
    damaged = bytearray(WHOLE)
    damaged[place] ^= change

    rows, refused = read(read_parquet, tmp_path_factory.mktemp("parquet"), bytes(damaged))

    assert (len(rows), list(refused)) in [(200, []), (0, [WHOLE_FILE])]


parquet_rows = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        st.none() | st.integers(-(2**31), 2**31 - 1),
        st.none() | st.decimals(-(10**10), 10**10, places=3),
        st.none() | st.booleans(),
        st.none() | st.dates(),
    ),
    max_size=8,
)


@untimed
@given(parquet_rows, st.permutations(range(5)), st.sampled_from([pa.int32(), pa.int64(), pa.decimal128(20, 0)]))
def test_what_was_written_as_parquet_is_read_back(tmp_path_factory, drawn, order, width):
    types = [pa.string(), width, pa.decimal128(18, 3), pa.bool_(), pa.date32()]
    by_column = list(zip(*drawn, strict=True)) or [()] * 5
    arrays = [pa.array(values, kind) for values, kind in zip(by_column, types, strict=True)]
    table = pa.table([arrays[place] for place in order], [SOME[place].name.title() for place in order])

    rows, refused = read(read_parquet, tmp_path_factory.mktemp("parquet"), parquet(table), SOME)

    assert rows == [(number, *row) for number, row in enumerate(drawn, 1)]
    assert not refused


# Packed files


def packed(codec: str, content: bytes) -> bytes:
    return gzip.compress(content) if codec == "gzip" else bytes(pa.Codec("zstd").compress(content, asbytes=True))


@untimed
@given(st.sampled_from(["gzip", "zstd"]), st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_what_was_packed_in_one_piece_or_several_is_unpacked(tmp_path_factory, codec, pieces):
    folder = tmp_path_factory.mktemp("packed")
    (folder / "packed").write_bytes(b"".join(packed(codec, piece) for piece in pieces))

    assert unpack(folder / "packed", folder / "plain", codec) is None
    assert (folder / "plain").read_bytes() == b"".join(pieces)


@untimed
@given(st.sampled_from(["gzip", "zstd"]), st.binary(min_size=1, max_size=300), st.data())
def test_a_packed_file_cut_anywhere_is_told(tmp_path_factory, codec, content, data):
    folder = tmp_path_factory.mktemp("packed")
    whole = packed(codec, content)
    (folder / "packed").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

    reason = unpack(folder / "packed", folder / "plain", codec)

    assert reason is not None
    assert reason.startswith((f"no {codec} file: it is empty", f"no whole {codec} file: "))


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
def test_what_is_not_packed_or_has_more_behind_it_is_told(tmp_path, codec):
    for content in (b"plain text", packed(codec, b"content") + b"junk"):
        (tmp_path / "packed").write_bytes(content)

        assert f"no whole {codec} file" in (unpack(tmp_path / "packed", tmp_path / "plain", codec) or "")


def test_a_damaged_gzip_is_told_by_its_checksum(tmp_path):
    whole = bytearray(packed("gzip", b"content" * 100))
    whole[-6] ^= 1
    (tmp_path / "packed").write_bytes(whole)

    assert "no whole gzip file" in (unpack(tmp_path / "packed", tmp_path / "plain", "gzip") or "")
