"""Tiny datasets: row versions written as a dataset folder, and what they show at an instant, worked out row by row."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

T0 = datetime(2024, 11, 1, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")
DAY = timedelta(days=1)
US = timedelta(microseconds=1)


@dataclass(frozen=True)
class Version:
    """One version of a row: its columns in order, from when on it is seen, and until when."""

    row: tuple[Any, ...]
    visible_at: datetime
    deleted_at: datetime | None = None


def standing(versions: Iterable[Version], at: datetime) -> list[tuple[Any, ...]]:
    """The rows seen at `at`, sorted; the first column is the key, and a row without one stands for itself."""
    newest: dict[Any, Version] = {}
    for place, version in enumerate(versions):
        key = version.row[0] if version.row[0] is not None else place
        if version.visible_at <= at and (key not in newest or version.visible_at >= newest[key].visible_at):
            newest[key] = version
    seen = [version.row for version in newest.values() if version.deleted_at is None or version.deleted_at > at]
    return sorted(seen, key=repr)


def write_versions(file: Path, columns: Sequence[tuple[str, pa.DataType]], versions: Sequence[Version]) -> None:
    """Write a dataset's Parquet file."""
    arrays = {name: pa.array([each.row[i] for each in versions], kind) for i, (name, kind) in enumerate(columns)}
    arrays["_visible_at"] = pa.array([each.visible_at for each in versions], INSTANT)
    arrays["_deleted_at"] = pa.array([each.deleted_at for each in versions], INSTANT)
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(arrays), file)


def write_about(folder: Path, name: str = "tiny") -> Path:
    """Make `folder` a dataset that starts at `T0`."""
    folder.mkdir(parents=True, exist_ok=True)
    start, end = (f"{each:%Y-%m-%dT%H:%M:%SZ}" for each in (T0, T0 + 60 * DAY))
    (folder / "dataset.yaml").write_text(f"name: {name}\nstart: '{start}'\nend: '{end}'\n", encoding="utf-8")
    return folder
