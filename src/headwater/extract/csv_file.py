"""CSV files, strictly: every record becomes a row or a refusal, each with the physical line it begins on.

DuckDB and Arrow read CSV faster, but say the line of no accepted record, and one unclosed quote costs them every line
up to the next quote. Here it costs the line that it stands on. Arrow reads the blocks in which each line is a whole
record beyond doubt.
"""

import csv
import logging
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from headwater.contracts import Column
from headwater.errors import SourceRejected
from headwater.extract.file_records import FileChunk, Overlong, Places, RefusedRecord, physical_lines, places
from headwater.extract.from_text import typed

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHOLE_RECORD = r'^(?:[^",]*|"(?:[^"]|"")*")(?:,(?:[^",]*|"(?:[^"]|"")*"))*$'
_EMPTY_IS_NULL = {"null_values": [""], "strings_can_be_null": True, "quoted_strings_can_be_null": True}

_log = logging.getLogger("headwater.extract")


@dataclass
class Records:
    """Records not typed yet: the line that each begins on, its bytes and its fields; and what was refused.

    The fields stand record by record or, where Arrow has read them, as `columns`, an empty one being null.
    """

    lines: list[int] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    fields: list[list[str]] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    columns: list[pa.Array] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lines or self.refused)

    def add(self, line: int, raw: bytes, fields: list[str]) -> None:
        self.lines.append(line)
        self.raws.append(raw)
        self.fields.append(fields)

    def refuse(self, reasons: Mapping[int, str]) -> None:
        """Move these records to the refused ones."""
        self.refused.extend(RefusedRecord(self.lines[row], self.raws[row], why) for row, why in reasons.items())
        self.drop(reasons)

    def refuse_unless(self, width: int) -> None:
        """Refuse the records that don't have this many fields."""
        self.refuse(
            {
                row: f"{len(fields)} fields, but the header has {width}"
                for row, fields in enumerate(self.fields)
                if len(fields) != width
            }
        )

    def drop(self, rows: Iterable[int]) -> None:
        gone = set(rows)
        if gone:
            self.lines = [line for row, line in enumerate(self.lines) if row not in gone]
            self.raws = [raw for row, raw in enumerate(self.raws) if row not in gone]
            self.fields = [fields for row, fields in enumerate(self.fields) if row not in gone]


def read_csv(path: Path, name: str, columns: Sequence[Column], contract_file: str) -> Generator[FileChunk]:
    """Yield the records of a CSV file with a header, in file order; memory holds one chunk.

    UTF-8 with or without a byte order mark, commas, double quotes, line ends LF or CRLF. Columns are found by name,
    in any order and case, and others are text. An empty value is null. Blank lines are no records; an empty file has none.

    Raises:
        SourceRejected: the header lacks a required column, or has a column twice; `name` is the file's for people.
    """
    with path.open("rb") as file:
        names: list[str] | None = None
        wanted = Places({}, {}, ())
        for records in csv_records(file):
            if names is None:
                names = _header(records, name)
                wanted = places(names, name, columns, contract_file)
            records.refuse_unless(len(names))
            yield _chunk(records, columns, wanted)
        if names is None:
            _log.warning("%s is empty", name)


def csv_records(file: BinaryIO) -> Iterator[Records]:
    """Split a file into records, some thousands at a time, each with its first line (from 1) and its bytes.

    A quote that is never closed, or is closed in mid-value, refuses only the line on which its record begins; reading
    goes on with the next line.
    """
    lines = _Lines(file)
    width = 0
    while lines.ready():
        records = lines.take_whole(width) or lines.take_plain() or _quoted(lines)
        if records:
            width = width or len(records.fields[0] if records.fields else ())
            yield records


def _quoted(lines: "_Lines") -> Records:
    """The records of the lines at hand, and of as many more as the last one of them needs."""
    records = Records()
    while lines.ahead:
        try:
            for fields in csv.reader(lines, strict=True):
                line, raw, utf8 = lines.take()
                if fields and utf8:
                    records.add(line, raw, fields)
                elif fields:
                    records.refused.append(RefusedRecord(line, raw, "not UTF-8"))
                if not lines.ahead:
                    break
        except csv.Error as error:
            records.refused.append(RefusedRecord(*lines.take_first(), f"not CSV: {error}"))
    return records


class _Lines:
    """A file's lines as `csv.reader` wants them; remembers those that no record took yet, and can give them again."""

    def __init__(self, file: BinaryIO) -> None:
        self._blocks = _header_apart(physical_lines(file))
        self.ahead: deque[bytes] = deque()
        self._given: list[bytes] = []
        self._number = 1
        self._begun = False
        self._utf8 = True

    def ready(self) -> bool:
        """Whether there is a line, loading the next block if need be."""
        while not self.ahead:
            block = next(self._blocks, None)
            if block is None:
                return False
            if block and not self._begun:
                block[0] = block[0].removeprefix(_BYTE_ORDER_MARK)
                self._begun = True
            self.ahead.extend(block)
        return True

    def take_whole(self, width: int) -> Records | None:
        """All lines at hand by Arrow, if each is beyond doubt one record of so many fields."""
        if not width or any(isinstance(line, Overlong) for line in self.ahead):
            return None
        told = [line.removesuffix(b"\r") for line in self.ahead]
        if (columns := _columns(told, width)) is None:
            return None
        first = self._number
        self._number += len(told)
        self.ahead.clear()
        return Records(list(range(first, self._number)), told, columns=columns)

    def take_plain(self) -> Records | None:
        """All lines at hand, a record each, if they have neither quotes nor anything else out of the ordinary."""
        block = b"\n".join(self.ahead)
        if b'"' in block or any(isinstance(line, Overlong) for line in self.ahead):
            return None
        try:
            rows = list(csv.reader(block.decode().split("\n"), strict=True))
        except (UnicodeDecodeError, csv.Error):
            return None
        first = self._number
        self._number += len(rows)
        records = Records(list(range(first, self._number)), [line.removesuffix(b"\r") for line in self.ahead], rows)
        self.ahead.clear()
        records.drop(row for row, fields in enumerate(rows) if not fields)
        return records

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.ready():
            raise StopIteration
        line = self.ahead.popleft()
        self._given.append(line)
        if isinstance(line, Overlong):
            raise csv.Error(Overlong.reason)
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError:
            self._utf8 = False
            return line.decode(errors="replace") + "\n"

    def take(self) -> tuple[int, bytes, bool]:
        """The lines given since the last take as one record: first line's number, bytes, whether all are UTF-8."""
        taken = self._number, b"\n".join(self._given).removesuffix(b"\r"), self._utf8
        self._forget(len(self._given))
        return taken

    def take_first(self) -> tuple[int, bytes]:
        """Only the first of these lines; the others will be given again."""
        taken = self._number, self._given[0].removesuffix(b"\r")
        self.ahead.extendleft(reversed(self._given[1:]))
        self._forget(1)
        return taken

    def _forget(self, lines: int) -> None:
        self._number += lines
        self._given.clear()
        self._utf8 = True


def _header_apart(blocks: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """The same lines; the first one comes alone, for the others are read by what it says."""
    for first in blocks:
        yield first[:1]
        yield first[1:]
        break
    yield from blocks


def _columns(lines: Sequence[bytes], width: int) -> list[pa.Array] | None:
    """The fields of lines that are one record each, by Arrow; None where that is not beyond doubt.

    A blank line is no record, a lone CR may end one, a quote may join several, and Python's reader bounds a field.
    """
    block = b"\n".join([*lines, b""])
    if b"\r" in block or b"" in lines or max(map(len, lines)) > csv.field_size_limit():
        return None
    if b'"' in block:
        told = pa.array(lines, pa.binary())
        quoted = told.filter(pc.match_substring(told, '"'))
        if not pc.all(pc.match_substring_regex(quoted, _WHOLE_RECORD)).as_py():
            return None
    names = [str(place) for place in range(width)]
    try:
        table = pacsv.read_csv(
            pa.BufferReader(block),
            read_options=pacsv.ReadOptions(column_names=names, block_size=len(block) + 1, use_threads=False),
            parse_options=pacsv.ParseOptions(ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), **_EMPTY_IS_NULL),
        )
    except pa.ArrowInvalid:
        return None
    return None if table.num_rows != len(lines) else [column.combine_chunks() for column in table.columns]


def _header(records: Records, file: str) -> list[str]:
    """Take the first record off as the names of the columns."""
    if not records.lines or (records.refused and records.refused[0].line < records.lines[0]):
        reason = records.refused[0].reason
        raise SourceRejected("external", f"{file}: its header is unreadable ({reason}); export the file again")
    names = [each.strip().lower() for each in records.fields[0]]
    records.drop([0])
    return names


def _chunk(records: Records, columns: Sequence[Column], wanted: Places) -> FileChunk:
    by_place = records.columns or [_text(values) for values in zip(*records.fields, strict=True)]
    none = pa.nulls(len(records.lines), pa.string())

    def text(place: int | None) -> pa.Array:
        return by_place[place] if by_place and place is not None else none

    arrays, reasons = typed(columns, {column.name: text(wanted.known.get(column.name)) for column in columns})
    unknown = {name: text(place) for name, place in wanted.unknown.items()}
    if reasons:
        good = pa.array([row for row in range(len(records.lines)) if row not in reasons], pa.int64())
        arrays = {name: array.take(good) for name, array in arrays.items()}
        unknown = {name: array.take(good) for name, array in unknown.items()}
        records.refuse(reasons)
    refused = sorted(records.refused, key=lambda each: each.line)
    return FileChunk(arrays, records.lines, refused, unknown, lacking=wanted.lacking)


def _text(values: Sequence[str]) -> pa.Array:
    return pa.array([value or None for value in values], pa.string())
