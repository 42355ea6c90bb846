"""`headwater describe`: one table's contract, lineage, state and a sample of its rows."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.lake import json_value, lake_clock, print_rows
from headwater.cli.session import Session, common_options, known_table

if TYPE_CHECKING:
    from datetime import datetime

    from headwater.observe.description import Description
    from headwater.quality.limits import TableLimits
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
    as personal or sensitive are hidden.
    """
    name = known_table(session, table)
    at = lake_clock(session)

    from headwater.object_store import lake_of
    from headwater.observe.description import described
    from headwater.quality.limits import load_limits
    from headwater.run.plan import neighbours
    from headwater.transform.table import load_tables

    about = described(lake_of(session.settings), session.contracts, name, rows)
    near = neighbours(name, session.contracts, load_tables())
    limits = load_limits(session.settings.dq, session.contracts).tables.get(name)
    read = _reading(session, name)
    if as_json:
        click.echo(json.dumps(_document(about, near, limits, at) | read, default=json_value, ensure_ascii=False))
    else:
        _print(about, near, limits, at, read)


def _reading(session: Session, name: str) -> dict[str, str]:
    """How a Bronze table is read, and what that does not see; nothing for other tables."""
    from headwater.extract import EXTRACTORS
    from headwater.observe.tabular import span

    contract = session.contracts[name]
    if name not in EXTRACTORS:
        return {}
    settings, source = session.settings.table(name), EXTRACTORS[name]
    if source.extractor.by_cursor:
        how = (
            f"by {contract.cursor}, again from {span(settings.overlap)} before where it is read (tables.{name}.overlap), "
            f"until {span(settings.settle)} before now (tables.{name}.settle)"
        )
        if (rows := settings.rows_per_commit) is not None:
            how += f", about {rows:,} rows for each commit (tables.{name}.rows_per_commit)"
    else:
        how = "each message once, by its offset" if "kafka_offset" in contract.column_names else "each file once"
    return {"is_read": how, "does_not_see": source.extractor.unseen}


def _print(
    about: "Description", near: "Neighbours", limits: "TableLimits | None", at: "datetime", read: Mapping[str, str]
) -> None:
    from headwater.observe.description import demands
    from headwater.observe.tabular import aligned

    contract = about.contract
    reading = [(what.replace("_", " "), told) for what, told in read.items()]
    click.echo(f"{contract.table}: {contract.description}\n")
    facts = [
        ("owner", contract.owner),
        ("place", about.uri),
        ("made from", ", ".join(near.above)),
        ("refers to", ", ".join(near.refers_to)),
        ("made of it", ", ".join(near.below)),
        ("state", _state(about, limits, at)),
        *reading,
        *((f"keeps {each.name}", each.description) for each in contract.conserved),
    ]
    width = max(len(what) for what, told in facts if told)
    click.echo("\n".join(f"{what.ljust(width)}  {told}" for what, told in facts if told) + "\n")
    columns = [
        [column.name, column.type, demands(column, contract), column.classification or "", column.description]
        for column in contract.columns
    ]
    click.echo("\n".join(aligned(["column", "type", "rules", "classified", "meaning"], columns)))
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


def _document(about: "Description", near: "Neighbours", limits: "TableLimits | None", at: "datetime") -> dict[str, Any]:
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
                "description": column.description,
            }
            for column in contract.columns
        ],
        "sample": list(about.sample),
    }
