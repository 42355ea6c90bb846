"""The files and messages of the shop on which every mutant shows."""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tests.e2e.tiny import BEFORE, SOON, STRING
from tests.versions import INSTANT, Version, write_versions

_HEAD = "product_id,warehouse_id,quantity,reorder_point\n"
_FILES = [
    ("2024-10-29", BEFORE, 'P1,"W1, North",10,2\n P1 ,W2,20,\nP1,W2,many,\n'),
    ("2024-10-30", BEFORE, "P1,W2,30,1\nP1,W2\nP1,W3,5,\n"),
    ("2024-10-31", BEFORE, "P1,W2,40,1\nP1,W4,,\nP1,W5,-2,\n"),
    ("2024-10-31", SOON, "P1,W2,45,1\nP1,W6,3,9,9\nP1,W6,3,\n"),
    ("2024-11-01", SOON, "P1,W2,50,1\n"),
]
"""Day, when it is seen, lines; the second of a day is the same file with another content."""


def _level(product_id: str, warehouse: str, quantity: Any, stamp: str) -> dict[str, Any]:
    told = {"product_id": product_id, "warehouse_id": warehouse, "quantity": quantity}
    return told | {"event_timestamp": stamp, "reason": "sale"}


def _step(order_id: str, kind: str, stamp: str | None, **other: Any) -> dict[str, Any]:
    told = {"order_id": order_id, "customer_id": "C1", "event_type": kind, "event_timestamp": stamp, "metadata": "{}"}
    return told | other


def _click(name: str | None, stamp: Any, **other: Any) -> dict[str, Any]:
    told = {"event_id": name, "customer_id": " C1 ", "session_id": "S1", "event_type": "click"}
    return told | {"event_timestamp": stamp, "page_url": "/", "metadata": {"deep": [1, 2]}} | other


_STAMP = "2024-10-30T12:00:00Z"
_TOPICS: dict[str, list[tuple[int, Any, datetime]]] = {
    "inventory_updates": [
        *((0, _level("P1", "W7", number, _STAMP), BEFORE) for number in range(12)),  # '0:9' is the greatest text
        (0, _level("P1", "W2", 33, "2024-10-30T00:00:00Z"), BEFORE),  # at the instant of the ERP's line
        (1, _level("P1", "W3", 8, "2024-10-30T09:00:00Z"), BEFORE),
        (1, _level("P1", "W3", 6, "2024-10-30T08:00:00Z"), BEFORE),
        (1, _level("P1", "W3", 4, "2024-10-31T01:30:00+02:00"), BEFORE),  # still the 30th
        (1, _level("P1", "W8", -1, _STAMP), BEFORE),
        (2, _level("P1", "W8", "seven", _STAMP), BEFORE),
        (2, _level("P1", "W8", 7, "2024-10-32T00:00:00Z"), BEFORE),
        (2, _level("P1", "W8", 7, ""), BEFORE),
        (2, b"{no json", BEFORE),
        (2, None, BEFORE),
        (0, _level("P1", "W7", 99, "2024-11-01T06:00:00Z"), SOON),
        (2, _level("P9", "W7", 1, "2024-11-01T06:00:00Z"), SOON),
    ],
    "orders_events": [
        (0, _step("O1", "PLACED", _STAMP, metadata='{"n": 1}'), BEFORE),
        (0, _step("O1", "PLACED", _STAMP, metadata='{"n": 2}'), BEFORE),
        (0, _step("O1", " paid ", _STAMP), BEFORE),
        (0, _step("O1", "CANCELLED", "2024-10-30T13:00:00Z"), BEFORE),
        (0, _step("O1", "CANCELLED", "2024-10-30T14:00:00Z"), BEFORE),
        (1, _step("O2", "LOST", _STAMP), BEFORE),
        (1, _step("O2", "PAID", "yesterday"), BEFORE),
        (1, _step("O2", "PAID", None), BEFORE),
        (1, _step("O2", "PAID", "2024-11-01T00:30:00+01:00"), BEFORE),
        (1, b"[]", BEFORE),
        (2, _step("O3", "SHIPPED", "2024-10-31T23:30:00-01:00"), SOON),
        (0, _step("O3", "PLACED", "2024-11-01T03:00:00Z"), SOON),
        (1, b"\xff", SOON),
    ],
    "user_events": [
        (0, _click("U1", _STAMP), BEFORE),
        (0, _click("U1", "2024-10-30T13:00:00Z", page_url="/newer"), BEFORE),
        (0, _click("U2", _STAMP, metadata=" blank "), BEFORE),
        (0, _click("U3", "2024-10-30T12:00:00"), BEFORE),
        (0, _click("U7", 1730290000), BEFORE),
        (0, _click("U8", "1730290000123"), BEFORE),
        (0, _click("U9", "2024-10-30 12:00:00Z"), BEFORE),
        (1, _click(None, _STAMP), BEFORE),
        (1, _click("U4", _STAMP, event_type=" "), BEFORE),
        (1, _click("U5", "2024-10-31T23:30:00.123456Z"), BEFORE),
        (0, _click("U1", "2024-10-30T12:30:00Z", page_url="/older"), SOON),
        (1, _click("U6", "2024-11-01T06:00:00Z"), SOON),
    ],
}
"""Partition, message (bytes as they are, None a tombstone) and when it comes."""


def write_files(folder: Path) -> None:
    """Write the ERP's files as a dataset has them."""
    (folder / "objects").mkdir(parents=True)
    rows = []
    for number, (day, seen, lines) in enumerate(_FILES):
        (folder / "objects" / f"{number}.csv").write_text(_HEAD + lines, encoding="utf-8")
        rows.append(Version((f"erp-export/inventory/{day}/inventory.csv", f"{number}.csv"), seen))
    write_versions(folder / "files.parquet", (("key", STRING), ("path", STRING)), rows)


def write_topics(folder: Path) -> None:
    """Write each topic."""
    for topic, messages in _TOPICS.items():
        _write_topic(folder / f"{topic}.parquet", messages)


def _write_topic(file: Path, messages: Sequence[tuple[int, Any, datetime]]) -> None:
    """Write a topic; the sort is stable, so that each partition keeps its messages' order."""
    rows: list[dict[str, Any]] = [
        {
            "partition": partition,
            "key": f"key-{partition}",
            "value": value if isinstance(value, bytes | None) else json.dumps(value).encode(),
            "headers": [],
            "timestamp": seen,
            "_visible_at": seen,
        }
        for partition, value, seen in sorted(messages, key=lambda message: (message[0], message[2]))
    ]
    headers = pa.list_(pa.struct([("key", STRING), ("value", pa.binary())]))
    kinds = {"partition": pa.int32(), "key": STRING, "value": pa.binary(), "headers": headers}
    schema = pa.schema([*(kinds | {"timestamp": INSTANT, "_visible_at": INSTANT}).items()])
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), file)
