"""A row's identity is what it was when the lake's first rows were landed, whatever its neighbours hold."""

import datetime as dt
import hashlib
from decimal import Decimal

import duckdb
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

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


DUCKDB = duckdb.connect()
COLUMNS = [
    ("text", pa.string(), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    ("units", pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    ("money", pa.decimal128(20, 4), st.decimals(-(10**15), 10**15, places=4)),
    ("rate", pa.decimal128(20, 10), st.decimals(-(10**9), 10**9, places=10)),
    ("share", pa.decimal128(6, 6), st.decimals("-0.999999", "0.999999", places=6)),
    ("most", pa.decimal128(38, 0), st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal)),
    ("number", pa.float64(), st.floats(allow_nan=False)),
    ("yes", pa.bool_(), st.booleans()),
    ("day", pa.date32(), st.dates()),
    ("at", pa.timestamp("us", tz="UTC"), st.datetimes(timezones=st.just(dt.UTC))),
]


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({name: st.none() | values for name, _, values in COLUMNS}), min_size=1))
def test_a_value_of_any_type_counts_as_the_text_that_duckdb_writes_of_it(rows):
    batch = pa.RecordBatch.from_pylist(rows, schema=pa.schema([(name, kind) for name, kind, _ in COLUMNS]))
    with DUCKDB.cursor() as session:
        session.register(
            "batch", pa.table({"place": range(len(rows))} | dict(zip(batch.schema.names, batch, strict=True)))
        )
        texts = ", ".join(
            f'epoch_us("{name}")::VARCHAR' if name == "at" else f'"{name}"::VARCHAR' for name, _, _ in COLUMNS
        )
        told = session.execute(f"SELECT {texts} FROM batch ORDER BY place").fetchall()
    names = [name for name, _, _ in COLUMNS]
    expected = []
    for row in told:
        values = sorted((name, value) for name, value in zip(names, row, strict=True) if value is not None)
        text = "".join(f"{name}:{len(value.encode())}:{value}" for name, value in values)
        expected.append(hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())

    ids = RowIds()
    found = ids.of(batch).to_pylist()
    ids.close()

    assert found == expected
