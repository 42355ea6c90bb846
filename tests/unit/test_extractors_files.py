"""CSV files as they come: every line ends as exactly one row or one reject."""

import csv
import io
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.contracts import Column
from headwater.errors import SourceRejected
from headwater.extract import file_records
from headwater.extract.csv_file import csv_records, read_csv

COLUMNS = (
    Column("product_id", "string", required=True),
    Column("warehouse_id", "string", required=True),
    Column("quantity", "bigint", required=True),
    Column("reorder_point", "bigint"),
)
HEADER = b"product_id,warehouse_id,quantity,reorder_point\n"
CONTRACT = "config/contracts/bronze/external_inventory.yaml"


def read(tmp_path: Path, content: bytes) -> tuple[list[tuple], dict[int, tuple[str, bytes]]]:
    """The rows with their line, and the refused lines with reason and bytes."""
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    rows: list[tuple] = []
    refused: dict[int, tuple[str, bytes]] = {}
    for chunk in read_csv(path, "inventory.csv", COLUMNS, CONTRACT):
        values = [chunk.columns[column.name].to_pylist() for column in COLUMNS]
        rows += zip(chunk.lines, *values, strict=True)
        for each in chunk.refused:
            assert each.line not in refused
            refused[each.line] = (each.reason, each.raw)
    return rows, refused


def test_a_plain_file_is_read_with_its_line_numbers(tmp_path):
    rows, refused = read(tmp_path, HEADER + b"P1,W1,5,2\nP2,W2,-7,\n")

    assert rows == [(2, "P1", "W1", 5, 2), (3, "P2", "W2", -7, None)]
    assert not refused


def test_byte_order_mark_crlf_column_order_case_and_an_extra_column_do_not_matter(tmp_path):
    content = (
        b"\xef\xbb\xbfQuantity, Product_ID ,comment,warehouse_id,reorder_point\r\n5,P1,hello,W1,2\r\n\r\n6,P2,,W2,3"
    )

    rows, refused = read(tmp_path, content)

    assert rows == [(2, "P1", "W1", 5, 2), (4, "P2", "W2", 6, 3)]
    assert not refused
    chunks = list(read_csv(tmp_path / "file.csv", "inventory.csv", COLUMNS, CONTRACT))
    assert [value for chunk in chunks for value in chunk.unknown["comment"].to_pylist()] == ["hello", None]


def test_a_quoted_line_break_keeps_the_physical_line_numbers_right(tmp_path):
    rows, _ = read(tmp_path, HEADER + b'P1,"W\n\n""1""",5,2\nP2,W2,6,3\n')

    assert rows == [(2, "P1", 'W\n\n"1"', 5, 2), (5, "P2", "W2", 6, 3)]


def test_each_broken_line_is_refused_with_its_reason_and_bytes_and_costs_no_other(tmp_path):
    lines = [
        b"P2,W2,many,1",
        b"P3,W3",
        b"P4,W4,4,4,4",
        b"P5,\xff\xfe,5,5",
        b'P6,"W6,6,6',
        b"P7,W7,7.5,7",
        b"P8,W8,0x1F,8",
    ]
    content = HEADER + b"P1,W1,1,1\n" + b"\n".join(lines) + b'\nP9,"W,9",9,9\n'

    rows, refused = read(tmp_path, content)

    assert [row[1] for row in rows] == ["P1", "P9"]
    assert [refused[line][1] for line in range(3, 10)] == lines
    reasons = [refused[line][0] for line in range(3, 10)]
    for reason, word in zip(
        reasons,
        ["quantity is 'many'", "2 fields", "5 fields", "UTF-8", "not CSV", "quantity is '7.5'", "0x1F"],
        strict=True,
    ):
        assert word in reason


def test_a_quote_that_is_never_closed_costs_one_line(tmp_path):
    rows, refused = read(tmp_path, HEADER + b'P1,"W1,1,1\n' + b"".join(b"P,W,%d,1\n" % n for n in range(1000)))

    assert len(rows) == 1000
    assert list(refused) == [2]


def test_numbers_with_blanks_or_a_zero_fraction_are_numbers_and_too_large_ones_are_not(tmp_path):
    rows, refused = read(tmp_path, HEADER + b"P1,W1, 5 ,6.0\nP2,W2,9223372036854775808,1\nP3,W3,+7,1\n")

    assert [row[3] for row in rows] == [5, 7]
    assert rows[0][4] == 6
    assert "9223372036854775808" in refused[3][0]


def test_a_line_longer_than_memory_should_hold_is_refused_and_the_next_one_is_read(tmp_path):
    with patch.object(file_records, "_LONGEST_LINE", 1000), patch.object(file_records, "_BLOCK", 300):
        rows, refused = read(tmp_path, HEADER + b"P1,W1,1,1\n" + b"x" * 5000 + b"\nP2,W2,2,2\n" + b"y" * 5000)

    assert [(row[0], row[1]) for row in rows] == [(2, "P1"), (4, "P2")]
    assert sorted(refused) == [3, 5]
    assert refused[3][1] == b"x" * 1000


def test_a_header_alone_has_no_rows(tmp_path):
    assert read(tmp_path, HEADER) == ([], {})


def test_an_empty_file_has_no_rows_and_says_so(tmp_path, caplog):
    assert read(tmp_path, b"") == ([], {})
    assert "inventory.csv is empty" in caplog.text


def test_a_missing_required_column_names_file_column_and_contract(tmp_path):
    with pytest.raises(SourceRejected, match=rf"inventory\.csv has no column quantity, which {CONTRACT} requires"):
        read(tmp_path, b"product_id,warehouse_id,reorder_point\nP1,W1,1\n")


def test_a_missing_optional_column_is_null_and_said_to_lack(tmp_path):
    rows, _ = read(tmp_path, b"product_id,warehouse_id,quantity\nP1,W1,1\n")

    assert rows == [(2, "P1", "W1", 1, None)]
    chunk = next(read_csv(tmp_path / "file.csv", "inventory.csv", COLUMNS, CONTRACT))
    assert chunk.lacking == ("reorder_point",)


def test_a_column_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(SourceRejected, match="2 columns named quantity"):
        read(tmp_path, b"product_id,warehouse_id,quantity,quantity\nP1,W1,1,2\n")


@pytest.mark.parametrize("header", [b"product_id,\xff\n", b'"product_id\n'])
def test_an_unreadable_header_is_refused(tmp_path, header):
    with pytest.raises(SourceRejected, match="its header is unreadable"):
        read(tmp_path, header + b"P1,W1,1,2\n")


blocks = st.integers(min_value=1, max_value=40)


@given(
    st.lists(st.sampled_from([b'"', b",", b"\n", b"\r\n", b"\r", b"\xff", b"a", b"1", b"\xc3\xa9", b"\x00"])).map(
        b"".join
    )
    | st.binary(),
    blocks,
)
def test_whatever_the_bytes_every_line_belongs_to_exactly_one_record(content, block):
    with patch.object(file_records, "_BLOCK", block):
        found = list(csv_records(io.BytesIO(content)))

    ends: dict[int, bytes] = {}
    for records in found:
        for line, raw in [
            *zip(records.lines, records.raws, strict=True),
            *((each.line, each.raw) for each in records.refused),
        ]:
            for number, text in enumerate(raw.split(b"\n"), line):
                assert number not in ends
                ends[number] = text
    for number, text in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if number in ends:
            assert ends[number] in (text, text.removesuffix(b"\r"))
        else:
            assert not text.strip(b"\r")


texts = st.text(st.characters(exclude_categories=["Cs"]))


def told(records):
    by_column = zip(*(column.fill_null("").to_pylist() for column in records.columns), strict=True)
    return [*records.fields, *map(list, by_column)]


@given(st.lists(st.tuples(texts, texts), max_size=8), st.sampled_from(["\n", "\r\n"]), blocks)
def test_what_a_csv_writer_wrote_is_read_back(rows, line_end, block):
    out = io.StringIO(newline="")
    carriage_return = any("\r" in text for row in rows for text in row)  # Python's writer leaves these unquoted
    csv.writer(out, lineterminator=line_end, quoting=csv.QUOTE_ALL if carriage_return else csv.QUOTE_MINIMAL).writerows(
        rows
    )

    with patch.object(file_records, "_BLOCK", block):
        found = list(csv_records(io.BytesIO(("x" + line_end + out.getvalue()).encode())))

    assert [fields for records in found for fields in told(records)][1:] == [list(row) for row in rows]
    assert not any(records.refused for records in found)


broken = st.sampled_from([b"P,W,x,1", b"P,W", b"P,W,1,1,1", b"\xff,W,1,1", b'P,"W"x,1,1', b"P,W,1.5,1"])
good = st.sampled_from([b"P,W,1,1", b'"P","W,",2,', b'P,"a\nb\nc",3,4'])


@given(st.lists(st.tuples(st.booleans(), good, broken, st.sampled_from([b"\n", b"\r\n", b"\n\n"]))), blocks)
def test_good_and_broken_lines_mixed_are_told_apart_and_numbered(tmp_path_factory, drawn, block):
    content, line, expected, refusals = HEADER, 2, [], []
    for is_good, good_line, broken_line, end in drawn:
        record = (good_line if is_good else broken_line) + end
        (expected if is_good else refusals).append(line)
        content += record
        line += record.count(b"\n")

    with patch.object(file_records, "_BLOCK", block):
        rows, refused = read(tmp_path_factory.mktemp("csv"), content)

    assert [row[0] for row in rows] == expected
    assert sorted(refused) == refusals
