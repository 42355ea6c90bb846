"""A row's identity is what it was when the lake's first rows were landed, whatever its neighbours hold."""

import datetime as dt
import hashlib
from decimal import Decimal

import pyarrow as pa

from headwater.run.row_ids import RowIds

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("amount", pa.decimal128(20, 4)),
        ("units", pa.int64()),
    ]
)
NOON = dt.datetime(2024, 11, 1, 12, tzinfo=dt.UTC)
FULL = {"name": "ü:1", "at": NOON, "amount": Decimal("1.5"), "units": 7}
TEXTS = [
    (FULL, "amount:6:1.5000at:16:1730462400000000name:4:ü:1units:1:7"),
    ({"name": None, "units": 7}, "units:1:7"),
    ({"name": ""}, "name:0:"),
    ({}, ""),
]


def test_an_identity_is_the_md5_of_name_length_and_text_of_each_value_that_is_not_null():
    ids = RowIds()
    expected = [hashlib.md5(text.encode(), usedforsecurity=False).hexdigest() for _, text in TEXTS]
    rows = pa.RecordBatch.from_pylist([row for row, _ in TEXTS], schema=SCHEMA)

    together = ids.of(rows).to_pylist()
    alone = [ids.of(rows.slice(place, 1))[0].as_py() for place in range(len(TEXTS))]
    ids.close()

    assert together == expected
    assert alone == expected
