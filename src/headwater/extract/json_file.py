"""JSON documents and JSON lines, strictly: every object becomes a row or a refusal, each with its place.

Python's own reader is used: it gives a number as it was written, where faster ones make a double of it.
"""

import codecs
import json
import logging
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import pyarrow as pa

from headwater.contracts import Column
from headwater.extract.file_records import FileChunk, Overlong, RefusedRecord, physical_lines, refused_whole
from headwater.extract.from_text import typed

_BLOCK = 1 << 20
_CHUNK_BYTES = 1 << 21
_LONGEST_VALUE = 16 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANKS = re.compile(r"[ \t\n\r]*")

_log = logging.getLogger("headwater.extract")


class _Number(str):
    """A number's own text."""

    __slots__ = ()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_no_constant)


def read_json(path: Path, name: str, columns: Sequence[Column], contract_file: str) -> Generator[FileChunk]:  # noqa: ARG001 - a reader's arguments
    """Yield the objects of a JSON document, in file order: of its array, numbered from 1, or the one that it is.

    UTF-8 with or without a byte order mark. A field is found by its column's very name, is null where it lacks, and is
    taken as the text it is written as; in a string column, and where the contract does not know the field, an object or
    array is its JSON without blanks. A document
    that is not JSON from its first to its last character is refused as a whole: it is read twice, so that no row
    of it has been given by then. Memory holds one chunk, and an element of at most 16 MiB.
    """
    try:
        with path.open("rb") as file:
            for _ in _elements(file):
                pass
    except (ValueError, RecursionError) as error:
        yield refused_whole(path, f"no JSON document: {_told(error)}")
        return
    with path.open("rb") as file:
        values = _Values(columns)
        for number, (text, value) in enumerate(_elements(file), 1):
            values.add(number, text.encode(), value)
            if values.size > _CHUNK_BYTES:
                yield values.taken()
        if values.size:
            yield values.taken()


def read_json_lines(path: Path, name: str, columns: Sequence[Column], contract_file: str) -> Generator[FileChunk]:  # noqa: ARG001 - a reader's arguments
    """Yield the objects of a file that has one on each line, numbered by their lines; memory holds one chunk.

    Values are taken as `read_json` takes them. A line that is no JSON object is refused, blank ones are no records, an
    empty file has none.
    """
    with path.open("rb") as file:
        values, number = _Values(columns), 0
        for block in physical_lines(file):
            for line in block:
                number += 1
                _add_line(values, number, line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line)
            if values.size:
                yield values.taken()
        if not number:
            _log.warning("%s is empty", name)


def json_objects(path: Path, *, by_line: bool) -> Iterator[dict[str, Any]]:
    """The objects of a document, or of a file that has one on each line; a number is its own text, the rest is left out.

    Raises:
        ValueError: a document is not JSON.
    """
    with path.open("rb") as file:
        if not by_line:
            yield from (value for _, value in _elements(file) if isinstance(value, dict))
            return
        for block in physical_lines(file):
            for line in block:
                try:
                    value = _DECODER.decode(line.removeprefix(_BYTE_ORDER_MARK).decode())
                except (ValueError, RecursionError):
                    continue
                if isinstance(value, dict):
                    yield value


def _add_line(values: "_Values", number: int, line: bytes) -> None:
    raw = line.removesuffix(b"\r")
    if isinstance(line, Overlong):
        values.refuse(number, bytes(line), Overlong.reason)
        return
    if not raw.strip(b" \t\r"):
        return
    try:
        values.add(number, raw, _DECODER.decode(raw.decode()))
    except UnicodeDecodeError:
        values.refuse(number, raw, "not UTF-8")
    except (ValueError, RecursionError) as error:
        values.refuse(number, raw, f"not JSON: {_told(error)}")


def _told(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


@dataclass
class _Values:
    """Values on their way into a chunk."""

    columns: Sequence[Column]
    numbers: list[int] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    size: int = 0

    def add(self, number: int, raw: bytes, value: object) -> None:
        if isinstance(value, dict):
            self.size += len(raw)
            self.numbers.append(number)
            self.raws.append(raw)
            self.objects.append(value)
        else:
            self.refuse(number, raw, f"not an object but {_kind(value)}")

    def refuse(self, number: int, raw: bytes, reason: str) -> None:
        self.size += len(raw)
        self.refused.append(RefusedRecord(number, raw, reason))

    def taken(self) -> FileChunk:
        """What was added since the last time, as a chunk."""
        reasons: dict[int, str] = {}
        known = {column.name for column in self.columns}
        shown = frozenset[str]().union(*self.objects)
        arrays, misfits = typed(self.columns, {each.name: self._texts(each.name, reasons) for each in self.columns})
        unknown = {_spelled(name): self._texts(name, reasons) for name in sorted(shown - known)}
        reasons = misfits | reasons
        numbers, refused = self.numbers, self.refused
        if reasons:
            kept = [row for row in range(len(numbers)) if row not in reasons]
            good = pa.array(kept, pa.int64())
            arrays = {name: array.take(good) for name, array in arrays.items()}
            unknown = {name: array.take(good) for name, array in unknown.items()}
            refused += [RefusedRecord(numbers[row], self.raws[row], why) for row, why in reasons.items()]
            numbers = [numbers[row] for row in kept]
        self.numbers, self.raws, self.objects, self.refused, self.size = [], [], [], [], 0
        return FileChunk(arrays, numbers, sorted(refused, key=lambda each: each.line), unknown, shown=shown)

    def _texts(self, name: str, reasons: dict[int, str]) -> pa.Array:
        texts = [_text(each.get(name)) for each in self.objects]
        try:
            return pa.array(texts, pa.string())
        except UnicodeEncodeError:
            for row, text in enumerate(texts):
                if text is not None and not text.isascii() and _is_broken(text):
                    reasons[row] = f"{name} has half of a surrogate pair"
                    texts[row] = None
            return pa.array(texts, pa.string())


def _is_broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _spelled(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _text(value: object) -> str | None:
    """A value as a column's text: of a string what it says, of anything else its JSON without blanks."""
    if isinstance(value, str):
        return str(value)
    return None if value is None else _compact(value)


def _compact(value: object) -> str:
    match value:
        case dict():
            return "{" + ",".join(f"{_compact(name)}:{_compact(each)}" for name, each in value.items()) + "}"
        case list():
            return "[" + ",".join(map(_compact, value)) + "]"
        case _Number():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _kind(value: object) -> str:
    match value:
        case _Number():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case bool():
            return "a boolean"
        case _:
            return "null"


def _elements(file: BinaryIO) -> Iterator[tuple[str, object]]:
    """The elements of a document's array, or the document's one value: each as it is written and what it is.

    Raises:
        ValueError: the document is not JSON, not UTF-8, or has an element that is too long.
        RecursionError: it is nested too deeply.
    """
    document = _Document(file)
    if document.next() != "[":
        yield document.value()
    else:
        document.skip()
        if document.next() == "]":
            document.skip()
        else:
            yield document.value()
            while document.next() == ",":
                document.skip()
                yield document.value()
            if document.next() != "]":
                raise ValueError(f"after element {document.values} there is no comma and no closing bracket")
            document.skip()
    if document.next():
        raise ValueError("something stands after its end")


class _Document:
    """A document's text, of which only what is needed is held."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False
        self.values = 0

    def next(self) -> str:
        """The next character that is no blank; none at the end."""
        while True:
            blanks = _BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._read()

    def skip(self) -> None:
        """Go past the next character."""
        self._at += 1

    def value(self) -> tuple[str, object]:
        """The next value, as it is written and what it is."""
        self.next()
        while True:
            failure: ValueError | None = None
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError as error:
                failure = error
            if self._ended and failure:
                told = failure.msg if isinstance(failure, json.JSONDecodeError) else str(failure)
                raise ValueError(f"element {self.values + 1}: {told}") from failure
            # A number may go on behind what is held, and so may anything that is not whole.
            if not failure and (self._ended or end < len(self._text)):
                text, self._at = self._text[self._at : end], end
                self.values += 1
                return text, value
            if len(self._text) - self._at > _LONGEST_VALUE:
                raise ValueError(f"element {self.values + 1} is longer than {_LONGEST_VALUE} characters")
            self._read()

    def _read(self) -> None:
        """Hold more: twice as much each time, so that a long element is not tried too often."""
        self._text, self._at = self._text[self._at :], 0
        told = self._file.read(max(_BLOCK, len(self._text)))
        self._ended = not told
        self._text += self._decoder.decode(told, final=not told)
