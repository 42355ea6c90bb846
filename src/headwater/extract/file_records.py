"""What the readers of files promise together: each record of a file is a row or a refusal, known by its place."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from headwater.contracts import Column
from headwater.errors import SourceRejected

WHOLE_FILE = 0
"""The place of a refusal that concerns a file as a whole; records are counted from 1."""

_BLOCK = 1 << 21
_LONGEST_LINE = 1 << 20
_KEPT = 1 << 16


@dataclass(frozen=True)
class RefusedRecord:
    """A record that is no row: the line it begins on (or its number), its bytes without the line end, and why."""

    line: int
    raw: bytes
    reason: str


@dataclass
class FileChunk:
    """Some records of a file: the rows' columns and lines (or numbers), and what was refused.

    `unknown` holds what the contract does not know, by the file's own names and in the types that it tells; `besides`
    the values of columns whose type the file changed; `lacking` the columns that a header or schema does not have.
    `shown` are the fields that the records of a file without either have, which tells what none of all records has.
    """

    columns: dict[str, pa.Array]
    lines: list[int]
    refused: list[RefusedRecord]
    unknown: dict[str, pa.Array] = field(default_factory=dict)
    besides: dict[str, pa.Array] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    shown: frozenset[str] | None = None


class Overlong(bytes):
    """The beginning of a line that is too long to be kept."""

    reason = f"a line of more than {_LONGEST_LINE} bytes, of which only these are kept"


def refused_whole(path: Path, reason: str) -> FileChunk:
    """A file of which no record can be trusted, as one refusal with its first bytes."""
    with path.open("rb") as file:
        raw = file.read(_KEPT)
    if path.stat().st_size > _KEPT:
        reason = f"{reason}; the first {_KEPT} of its {path.stat().st_size} bytes are kept"
    return FileChunk({}, [], [RefusedRecord(WHOLE_FILE, raw, reason)])


def physical_lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """A file's physical lines without their LF, some at a time; of an overlong one only the beginning: memory is bounded."""
    rest = b""
    while data := file.read(_BLOCK):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) > _LONGEST_LINE:
            whole.append(Overlong(rest[:_LONGEST_LINE]))
            rest = _after_line_end(file)
        yield whole
    if rest:
        yield [rest]


def _after_line_end(file: BinaryIO) -> bytes:
    while data := file.read(_BLOCK):
        _, end, rest = data.partition(b"\n")
        if end:
            return rest
    return b""


@dataclass(frozen=True)
class Places:
    """Where the contract's columns stand among a file's, where its other columns do, and which ones it lacks."""

    known: dict[str, int]
    unknown: dict[str, int]
    lacking: tuple[str, ...]


def places(names: Sequence[str], file: str, columns: Sequence[Column], contract_file: str) -> Places:
    """Where each column stands among a file's `names`, which are in small letters.

    An unknown column without a name, or with that of one before it, is known by its number.

    Raises:
        SourceRejected: a required column is missing, or one of the contract's stands there twice.
    """
    found, lacking = {}, []
    for column in columns:
        match names.count(column.name):
            case 1:
                found[column.name] = names.index(column.name)
            case 0 if not column.required:
                lacking.append(column.name)
            case 0:
                raise SourceRejected(
                    "external",
                    f"{file} has no column {column.name}, which {contract_file} requires; it has "
                    f"{', '.join(names)}. Export the file again, or change the contract",
                )
            case count:
                raise SourceRejected("external", f"{file} has {count} columns named {column.name}; export it again")
    unknown: dict[str, int] = {}
    for place, name in enumerate(names):
        if name not in found:
            unknown[name if name and name not in unknown else f"{name or 'column'}_{place + 1}"] = place
    return Places(found, unknown, tuple(lacking))
