"""The state store of one machine: JSON files that are replaced whole."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class LocalState:
    """Watermarks and the run ledger below one folder."""

    def __init__(self, folder: Path) -> None:
        self._watermarks = folder / "watermarks"
        self._runs = folder / "runs"

    def get_watermark(self, table: str) -> Mapping[str, Any] | None:
        """The position that a Bronze table's last known commit recorded; None if none is known or it can't be read."""
        try:
            return dict(json.loads((self._watermarks / f"{table}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def upsert_watermark(self, table: str, position: Mapping[str, Any]) -> None:
        """Mirror what a Bronze table's commit recorded."""
        _replace(self._watermarks / f"{table}.json", position)

    def record_run(self, run_id: str, document: Mapping[str, Any]) -> None:
        """Put a finished run into the ledger."""
        _replace(self._runs / f"{run_id}.json", document)


def _replace(path: Path, document: Mapping[str, Any]) -> None:
    """Write a file so that a reader sees the old one or the new one, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(document, stream, sort_keys=True, default=str)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)
