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

QUARANTINE = pa.schema(
    [
        ("_row_id", pa.string()),
        ("input", pa.string()),
        ("rules", pa.list_(pa.field("element", pa.string()))),
        ("reason", pa.string()),
        ("key", pa.string()),
        ("raw", pa.string()),
        ("_ingest_ts", _TIMESTAMP),
        ("_run_id", pa.string()),
    ]
)
"""A refused row version: the rules it broke, in names and in words, and the Bronze record as JSON."""


def lake_table(contract: Contract) -> Table:
    """The table itself."""
    if contract.layer == "bronze":
        fields = [*contract.arrow_schema, *LANDED, pa.field(INGEST_DATE, pa.date32())]
        return Table(contract.name, contract.path, pa.schema(fields), (INGEST_DATE,), append_only=True)
    return Table(contract.name, contract.path, contract.arrow_schema, contract.partition_by, change_data_feed=True)


def rejects_table(contract: Contract) -> Table:
    """What a Bronze table's source sent and no row could be made of."""
    fields = [*REJECT_SCHEMA, *(field for field in LANDED if field.name not in REJECT_SCHEMA.names)]
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
