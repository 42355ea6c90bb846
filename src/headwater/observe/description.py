"""What is known of one table: its contract, its state, and a few of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from headwater.contracts import Column, Contract, Contracts
from headwater.masking.masks import EMBEDDED, Mask
from headwater.object_store import Place
from headwater.observe.lake import TableStatus, lake_tables, status_of

HIDDEN = "(hidden)"
"""Stands in a sample for a value of a classified column."""

_ANY_TEXT = Mask("redact", EMBEDDED)


@dataclass(frozen=True)
class Description:
    """`sample` holds some rows of the newest version, the values of classified columns hidden.

    In all other text e-mail addresses and phone numbers are replaced, whatever the settings mask.
    """

    contract: Contract
    uri: str
    status: TableStatus
    sample: tuple[dict[str, Any], ...]


def described(lake: Place, contracts: Contracts, table: str, rows: int) -> Description:
    """Describe a table by its bare name, with up to `rows` rows of it."""
    lake.check()
    contract = contracts[table]
    found = next(each for each in lake_tables(lake, contracts) if each.contract is contract)
    handle = found.open()
    sample: tuple[dict[str, Any], ...] = ()
    if handle is not None:
        head = found.dataset(handle).head(rows, columns=list(contract.column_names))
        sample = tuple(_shown(head, contract))
    return Description(contract, found.place.uri, status_of(lake, contracts, found), sample)


def demands(column: Column, contract: Contract) -> str:
    """What a value of the column must be, in a few words."""
    references = [f"in {key.parent}.{key.parent_column}" for key in contract.foreign_keys if key.column == column.name]
    told = [
        "key" if column.name in contract.key else "required" if column.required else "",
        "unique" if column.unique else "",
        "cursor" if column.name == contract.cursor else "",
        f"one of {', '.join(column.allowed)}" if column.allowed else "",
        *column.bounds,
        *column.lengths,
        f"like {column.pattern}" if column.pattern else "",
        *references,
        "partition" if column.name in contract.partition_by else "",
    ]
    return "; ".join(filter(None, told))


def _shown(rows: pa.Table, contract: Contract) -> Sequence[dict[str, Any]]:
    hidden = {c.name for c in contract.columns if c.classification and c.classification != EMBEDDED}
    for place, column in enumerate(contract.columns):
        if column.name not in hidden and column.type in ("string", "array<string>"):
            shown = _ANY_TEXT.masked(rows.column(column.name).combine_chunks())
            rows = rows.set_column(place, column.name, shown)
    return [
        {name: HIDDEN if name in hidden and value is not None else value for name, value in row.items()}
        for row in rows.to_pylist()
    ]
