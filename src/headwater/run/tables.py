"""The Delta tables that a contract implies: its own, and where its refused rows lie."""

import pyarrow as pa

from headwater.contracts import Contract
from headwater.engine import Table
from headwater.extract.base_extractor import REJECT_SCHEMA
from headwater.quality import evidence

_TIMESTAMP = pa.timestamp("us", tz="UTC")

RESTRICTED = ("bronze/", "rejects/", "quarantine/", "restricted/")
"""The prefixes of the lake that hold personal values unmasked, for whatever grants access."""

LANDED = pa.schema(
    [("_ingest_ts", _TIMESTAMP), ("_source", pa.string()), ("_run_id", pa.string()), ("_row_id", pa.string())]
)
"""What Bronze adds to a row as the source told it."""

INGEST_DATE = "_ingest_date"
"""The partition of Bronze: the UTC day of `_ingest_ts`."""

_DISCARDED = pa.schema([("discarded_at", _TIMESTAMP), ("discarded_by", pa.string()), ("discarded_why", pa.string())])
"""When, by whom and why a row was given up; it stays where it is, and is not tried again."""

REPLAYED = pa.schema([("replays", pa.int64()), ("tried_at", _TIMESTAMP), ("landed_at", _TIMESTAMP)])
"""How often a reject was replayed, when that was last, and when it landed; null until it did."""

_RULES = pa.list_(pa.field("element", pa.string()))

REFUSED = pa.schema(
    [
        ("_row_id", pa.string()),
        ("input", pa.string()),
        ("rules", _RULES),
        ("reason", pa.string()),
        ("key", pa.string()),
        ("raw", pa.string()),
        ("_ingest_ts", _TIMESTAMP),
        ("_run_id", pa.string()),
    ]
)
"""A refused row version: the rules it broke, in names and in words, and the Bronze record as JSON."""

QUARANTINE = pa.schema(
    [
        *REFUSED,
        ("refused_at", _TIMESTAMP),
        ("refused_run_id", pa.string()),
        ("rules_before", _RULES),
        ("replays", pa.int64()),
        ("tried_at", _TIMESTAMP),
        *_DISCARDED,
    ]
)
"""A refused row version with its history: when and by which run it was first refused, the rules it broke before those
that it breaks now (null if there were no others), how often it was replayed by hand and when that was last."""


def lake_table(contract: Contract) -> Table:
    """The table itself."""
    if contract.layer == "bronze":
        fields = [*contract.arrow_schema, *LANDED, pa.field(INGEST_DATE, pa.date32())]
        return Table(contract.name, contract.path, pa.schema(fields), (INGEST_DATE,), append_only=True)
    return Table(contract.name, contract.path, contract.arrow_schema, contract.partition_by, change_data_feed=True)


def rejects_table(contract: Contract) -> Table:
    """What a Bronze table's source sent and no row could be made of."""
    landed = (field for field in LANDED if field.name not in REJECT_SCHEMA.names)
    fields = [*REJECT_SCHEMA, *landed, *REPLAYED, *_DISCARDED]
    return Table(
        f"rejects.{contract.name}",
        f"rejects/{contract.name}",
        pa.schema([field.with_nullable(True) for field in fields]),
    )


def evidence_table(contract: Contract, kind: evidence.Kind = "gate") -> Table:
    """The checks of every table, which lie in one; whoever writes those of one kind of a table is an application."""
    of = contract.name if kind == "gate" else f"{contract.name}.{kind}"
    return Table(f"_dq_results.{of}", "_dq_results", evidence.SCHEMA)


def quarantine_table(contract: Contract) -> Table:
    """The row versions that a Silver table refused."""
    return Table(f"quarantine.{contract.name}", f"quarantine/{contract.name}", QUARANTINE)
