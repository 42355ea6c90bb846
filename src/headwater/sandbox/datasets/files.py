"""The S3 side of a dataset folder: the files and the list that says when each is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets.columns import instants, joined, micros, texts
from headwater.sandbox.datasets.folder import table, write_table

_HEADER = b"product_id,warehouse_id,quantity,reorder_point\n"


@dataclass(frozen=True)
class StockFile:
    """One day's inventory export: its lines, text or bytes, without the header; and when it appears in the bucket."""

    day: date
    visible_at: datetime
    lines: pa.Array


@dataclass(frozen=True)
class ExportedFile:
    """One version of a file of any other kind, and when it appears in the bucket."""

    key: str
    visible_at: datetime
    content: bytes


def write_files(folder: Path, exports: Iterable[StockFile], others: Iterable[ExportedFile] = ()) -> int:
    """Write `s3/objects/…` and `s3/files.parquet`; return the number of versions of files. Holds one file.

    A file lies at its key; a later version of it beside it.
    """
    listed: list[tuple[str, str, int]] = []
    known: dict[str, int] = {}
    for file in chain(map(_stock_file, exports), others):
        known[file.key] = version = known.get(file.key, 0) + 1
        place = file.key if version == 1 else f"{file.key}~{version}"
        path = folder / "s3" / "objects" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        listed.append((file.key, place, micros(file.visible_at)))
    keys, places = texts([key for key, *_ in listed]), texts([place for _, place, _ in listed])
    shown = instants(np.array([at for *_, at in listed], dtype=np.int64))
    return write_table(folder, "s3/files", [table("s3/files", {"key": keys, "path": places, "_visible_at": shown})])


def _stock_file(export: StockFile) -> ExportedFile:
    text = joined(export.lines, "\n")
    offsets, content = text.buffers()[1:]
    end = int.from_bytes(offsets.slice(4 * len(text), 4).to_pybytes(), "little")
    lines = content.slice(0, end).to_pybytes() if content is not None else b""
    return ExportedFile(f"erp-export/inventory/{export.day:%Y-%m-%d}/inventory.csv", export.visible_at, _HEADER + lines)
