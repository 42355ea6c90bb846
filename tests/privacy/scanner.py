"""Looks for planted values in everything that a lake, its state, its logs and its temporary files hold.

A file is looked at as what it is (Parquet, Arrow stream, compressed, JSON, text) and, all the same, as its bytes. Every
text in it is decoded as far as it goes: JSON in JSON, percent-encoding (also twice), JSON's and HTML's escapes, base64.
"""

import base64
import binascii
import gzip
import html
import json
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

import obstore
import pyarrow as pa
import pyarrow.parquet as pq

from headwater.object_store import Place

_DEEPEST = 4
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_ESCAPE = re.compile(r"\\+u([0-9a-fA-F]{4})")


def found_in(files: Mapping[str, bytes], planted: Iterable[str]) -> dict[str, set[str]]:
    """For each planted value that stands somewhere, the files that it stands in."""
    sought, found = {value: value.casefold() for value in planted}, defaultdict[str, set[str]](set)
    for path, content in files.items():
        for text in (path, *texts(content)):
            for value, folded in sought.items():
                if path not in found[value] and folded in text:
                    found[value].add(path)
    return {value: paths for value, paths in found.items() if paths}


def files_of(*folders: Path) -> dict[str, bytes]:
    """All files below some folders of this machine."""
    every = [(folder, file) for folder in folders for file in folder.rglob("*") if file.is_file()]
    return {f"{folder.name}/{file.relative_to(folder).as_posix()}": file.read_bytes() for folder, file in every}


def files_at(place: Place) -> dict[str, bytes]:
    """All files below a place on S3."""
    paths = [each["path"] for page in obstore.list(place.objects, f"{place.prefix}/") for each in page]
    return {
        f"lake/{path.removeprefix(f'{place.prefix}/')}": bytes(obstore.get(place.objects, path).bytes())
        for path in paths
    }


def texts(content: bytes) -> Iterator[str]:
    """Every text in a file, decoded as far as it goes, in small letters."""
    seen: set[str] = set()
    for text in _of_bytes(content, 0):
        yield from _decoded(text, seen, 0)


def _of_bytes(content: bytes, depth: int) -> Iterator[str]:
    if content[:4] == b"PAR1" and content[-4:] == b"PAR1":
        yield from _of_parquet(content)
    elif content[:2] == b"\x1f\x8b" and depth < _DEEPEST:
        with suppress(OSError, EOFError, zlib.error):
            yield from _of_bytes(gzip.decompress(content), depth + 1)
    elif content[:4] == b"\xff\xff\xff\xff" or content[:6] == b"ARROW1":
        yield from _of_arrow(content)
    yield content.decode("utf-8", "replace")


def _of_parquet(content: bytes) -> Iterator[str]:
    """Values of every column however nested, bounds and metadata of the footer."""
    file = pq.ParquetFile(pa.BufferReader(content))
    yield from (part.decode("utf-8", "replace") for pair in (file.metadata.metadata or {}).items() for part in pair)
    for group in range(file.metadata.num_row_groups):
        for column in range(file.metadata.num_columns):
            bounds = file.metadata.row_group(group).column(column).statistics
            if bounds is not None and bounds.has_min_max:
                yield from _of_value([bounds.min_raw, bounds.max_raw])
    for batch in file.iter_batches():
        yield from _of_value(batch.to_pylist())


def _of_arrow(content: bytes) -> Iterator[str]:
    """What a stream holds, as far as it was written."""
    opened = pa.ipc.open_file if content[:6] == b"ARROW1" else pa.ipc.open_stream
    try:
        with opened(content) as batches:
            for batch in batches if hasattr(batches, "__iter__") else [batches.read_all()]:
                yield from _of_value(batch.to_pylist())
    except (pa.ArrowInvalid, OSError):
        return


def _of_value(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case bytes():
            yield from _of_bytes(value, 1)
        case dict():
            for name, inner in value.items():
                yield from _of_value(name)
                yield from _of_value(inner)
        case list() | tuple():
            for inner in value:
                yield from _of_value(inner)
        case None | bool():
            return
        case _:
            yield str(value)


def _decoded(text: str, seen: set[str], depth: int) -> Iterator[str]:
    if text in seen:
        return
    seen.add(text)
    yield text.casefold()
    if depth == _DEEPEST:
        return
    for other in _ways(text):
        if other != text:
            yield from _decoded(other, seen, depth + 1)


def _ways(text: str) -> Iterator[str]:
    if "%" in text:
        yield unquote(text)
        yield unquote_plus(text)
    if "\\" in text:
        yield _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
        yield text.replace('\\"', '"').replace("\\/", "/").replace("\\\\", "\\")
    if "&" in text:
        yield html.unescape(text)
    if text[:1] in '{["':
        for line in text.splitlines():
            try:
                yield from _of_value(json.loads(line))
            except ValueError:
                continue
    for match in _BASE64.finditer(text):
        part = match[0].replace("-", "+").replace("_", "/").rstrip("=")
        try:
            raw = base64.b64decode(part + "=" * (-len(part) % 4))
            yield raw.decode()
        except (binascii.Error, UnicodeDecodeError):
            continue
