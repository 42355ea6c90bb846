"""`headwater describe`: one table's contract, lineage, state and a sample of its rows."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.rows import json_value, print_rows
from headwater.cli.sandbox import lake_clock
from headwater.cli.session import Session, common_options, known_table

if TYPE_CHECKING:
    from datetime import datetime

    from headwater.masking import Mask
    from headwater.observe.description import Description
    from headwater.quality.blocks import TableLimits
    from headwater.run.plan import Neighbours


@click.command(short_help="One table: contract, lineage, freshness, sample.")
@click.argument("table")
@click.option("--rows", type=click.IntRange(0, 1000), default=3, show_default=True, help="Rows of the sample.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def describe(session: Session, table: str, rows: int, as_json: bool) -> None:
    """Say what TABLE is: its columns and rules, what it is made from and what of it, how fresh it is, and some rows.

    TABLE is a name with or without its layer: silver.orders, orders. Values of columns that the contract classifies
    as personal or sensitive are hidden in the sample, e-mail addresses and phone numbers in other text too.
    """
    name = known_table(session, table)
    at = lake_clock(session)

    from headwater.masking import masks_of
    from headwater.object_store import lake_of
    from headwater.observe.description import described
    from headwater.quality.limits import load_limits
    from headwater.run.plan import neighbours
    from headwater.transform.table import load_tables

    about = described(lake_of(session.settings), session.contracts, name, rows)
    near = neighbours(name, session.contracts, load_tables())
    limits = load_limits(session.settings.dq, session.contracts).tables.get(name)
    read = _reading(session, name)
    masks = _masks(session, name, masks_of(session.settings, session.contracts))
    if as_json:
        document = _document(about, near, limits, at, masks) | read
        click.echo(json.dumps(document, default=json_value, ensure_ascii=False))
    else:
        _print(about, near, limits, at, read, masks)


def _masks(session: Session, name: str, masks: "Mapping[str, Mapping[str, Mask]]") -> dict[str, str]:
    """How each column of a table is masked."""
    from headwater.masking import mask_told
    from headwater.transform.table import load_tables

    contract, functions = session.contracts[name], load_tables()
    inputs = functions[name].inputs if name in functions else ()
    return {column.name: mask_told(contract, column, inputs, masks) for column in contract.columns}


def _reading(session: Session, name: str) -> dict[str, str]:
    """How a Bronze table is read, what that does not see, and how patiently; nothing for other tables."""
    from headwater.extract import EXTRACTORS
    from headwater.observe.tabular import counted, span

    contract = session.contracts[name]
    if name not in EXTRACTORS:
        return {}
    settings, source = session.settings.table(name), EXTRACTORS[name]
    if source.extractor.by_cursor:
        until = f"{span(settings.settle)} before now" if settings.settle else "now"
        how = (
            f"by {contract.cursor}, again from {span(settings.overlap)} before where it is read (tables.{name}.overlap), "
            f"until {until} (tables.{name}.settle)"
        )
        rows = settings.rows_per_commit or source.extractor.rows_per_window
        how += f", about {rows:,} rows for each commit (tables.{name}.rows_per_commit)"
    else:
        how = "each message once, by its offset" if "kafka_offset" in contract.column_names else "each file once"
    patience, block = getattr(session.settings.data_sources, source.name), f"data_sources.{source.name}"
    asked = (
        f"up to {counted(patience.attempts, 'time')}, the last within {span(patience.retry_for)} of its first failure "
        f"({block}.attempts, .retry_for); a login that takes more than {span(patience.connect_timeout)} "
        f"(.connect_timeout) and a silence of more than {span(patience.answer_timeout)} (.answer_timeout) are failures"
    )
    return {"is_read": how, "does_not_see": source.extractor.unseen, "is_asked": asked}


def _print(
    about: "Description",
    near: "Neighbours",
    limits: "TableLimits | None",
    at: "datetime",
    read: Mapping[str, str],
    masks: Mapping[str, str],
) -> None:
    from headwater.observe.description import demands
    from headwater.observe.tabular import aligned

    contract = about.contract
    reading = [(what.replace("_", " "), told) for what, told in read.items()]
    click.echo(f"{contract.table}: {contract.description}\n")
    facts = [
        ("owner", contract.owner),
        ("place", f"{about.uri}{' (raw values: restricted)' if contract.layer == 'bronze' else ''}"),
        ("made from", ", ".join(near.above)),
        ("refers to", ", ".join(near.refers_to)),
        ("made of it", ", ".join(near.below)),
        ("state", _state(about, limits, at)),
        *reading,
        ("also has", ", ".join(map(" ".join, about.status.drifted))),
        *((f"keeps {each.name}", each.description) for each in contract.conserved),
    ]
    width = max(len(what) for what, told in facts if told)
    click.echo("\n".join(f"{what.ljust(width)}  {told}" for what, told in facts if told) + "\n")
    columns = [
        [
            column.name,
            column.type,
            demands(column, contract),
            column.classification or "",
            masks[column.name],
            column.description,
        ]
        for column in contract.columns
    ]
    click.echo("\n".join(aligned(["column", "type", "rules", "classified", "mask", "meaning"], columns)))
    if about.sample:
        click.echo(f"\n{len(about.sample)} of its rows")
        names = list(contract.column_names)
        print_rows(names, [tuple(row[name] for name in names) for row in about.sample])


def _state(about: "Description", limits: "TableLimits | None", at: "datetime") -> str:
    from headwater.observe.tabular import span

    status = about.status
    if status.version is None:
        return "not written yet; a run writes it"
    told = [f"{status.rows:,} rows", f"version {status.version}"]
    if status.newest is not None:
        told.append(f"the newest record {span(at - status.newest)} old")
    if limits is not None and limits.freshness is not None:
        told.append(f"at most {span(limits.freshness.max_age)} allowed")
    if status.position:
        told.append(f"its source read until {status.position}")
    if status.verdict:
        told.append(f"the gate's last verdict: {status.verdict}")
    return ", ".join(told)


def _document(
    about: "Description",
    near: "Neighbours",
    limits: "TableLimits | None",
    at: "datetime",
    masks: Mapping[str, str],
) -> dict[str, Any]:
    from headwater.observe.description import demands

    contract, status = about.contract, about.status
    return {
        "table": contract.table,
        "description": contract.description,
        "owner": contract.owner,
        "place": about.uri,
        "lineage": asdict(near),
        "rows": status.rows,
        "version": status.version,
        "newest": status.newest,
        "age_s": None if status.newest is None else (at - status.newest).total_seconds(),
        "max_age_s": limits.freshness.max_age.total_seconds() if limits and limits.freshness else None,
        "read_until": status.position or None,
        "verdict": status.verdict or None,
        "conserved": [asdict(each) for each in contract.conserved],
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "rules": demands(column, contract),
                "classification": column.classification,
                "mask": masks[column.name] or None,
                "description": column.description,
            }
            for column in contract.columns
        ],
        "drifted": dict(status.drifted),
        "sample": list(about.sample),
    }
