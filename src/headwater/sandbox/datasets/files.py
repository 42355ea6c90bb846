"""The S3 side of a dataset folder: inventory files and the list that says when each is there."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets.columns import instants, joined, micros, texts
from headwater.sandbox.datasets.folder import table, write_table

_HEADER = b"product_id,warehouse_id,quantity,reorder_point\n"


@dataclass(frozen=True)
class StockFile:
    """One day's inventory export: its lines without the header, and when it appears in the bucket."""

    day: date
    visible_at: datetime
    lines: pa.Array


def write_stock_files(folder: Path, exports: Iterable[StockFile]) -> int:
    """Write `s3/objects/…` and `s3/files.parquet`; return the number of files. Holds one file."""
    listed: list[tuple[str, int]] = []
    for export in exports:
        key = f"erp-export/inventory/{export.day:%Y-%m-%d}/inventory.csv"
        path = folder / "s3" / "objects" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        text = joined(export.lines, "\n")
        offsets, content = text.buffers()[1:]
        end = int.from_bytes(offsets.slice(4 * len(text), 4).to_pybytes(), "little")
        path.write_bytes(_HEADER + (content.slice(0, end).to_pybytes() if content is not None else b""))
        listed.append((key, micros(export.visible_at)))
    keys, shown = texts([key for key, _ in listed]), instants(np.array([at for _, at in listed], dtype=np.int64))
    return write_table(folder, "s3/files", [table("s3/files", {"key": keys, "path": keys, "_visible_at": shown})])
