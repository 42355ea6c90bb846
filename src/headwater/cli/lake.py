"""`headwater status` and `headwater query`: what stands in the lake. Both only read."""

import csv
import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.rows import json_value, print_rows
from headwater.cli.sandbox import lake_clock
from headwater.cli.session import Session, common_options

if TYPE_CHECKING:
    import pyarrow as pa

    from headwater.observe.lake import TableStatus


@click.command(short_help="Each table's rows, version, freshness and verdict.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def status(session: Session, as_json: bool) -> None:
    """Say of each table its rows, version, freshness, watermark and last verdict."""
    contracts, settings = session.contracts, session.settings
    at = lake_clock(session)

    from headwater.object_store import lake_of
    from headwater.observe.lake import statuses

    tables = statuses(lake_of(settings), contracts)
    overdue = _overdue(session, at)
    if as_json:
        told = [_document(each, at) | {"overdue": overdue.get(f"quarantine.{each.table}", 0)} for each in tables]
        click.echo(json.dumps({"lake": settings.lake, "at": at, "tables": told}, default=json_value))
        return

    from headwater.observe.tabular import aligned, span

    click.echo(f"{settings.lake} at {at:%Y-%m-%d %H:%M:%S} UTC")
    rows = [
        [
            f"{each.layer}.{each.table}",
            f"{each.rows:,}" if each.version is not None else "not yet",
            "" if each.version is None else str(each.version),
            "" if each.newest is None else f"{span(at - each.newest)} old",
            each.position,
            each.verdict,
        ]
        for each in tables
    ]
    header = ["table", "rows", "version", "newest record", "read until", "last verdict"]
    click.echo("\n".join(aligned(header, rows, right=(1, 2))))
    if drifted := [each for each in tables if each.drifted]:
        lines = [f"bronze.{each.table}: {', '.join(map(' '.join, each.drifted))}" for each in drifted]
        click.echo("\n".join(["", "Columns that sources have and contracts do not know:", *lines]))
    if overdue:
        lines = [f"{name}: {rows:,} rows" for name, rows in overdue.items()]
        lines.append(f"to see them: {session.command} quarantine list{session.options}")
        click.echo("\n".join(["", "Rows without their parent for longer than orphan_after:", *lines]))
    if unseen := _unseen(tables):
        click.echo("\n".join(["", "What is not seen as it is read:", *unseen]))


def _overdue(session: Session, at: datetime) -> dict[str, int]:
    """The rows of each quarantine that wait for their parent for longer than is expected."""
    from headwater.cli.quarantine import refusals

    children = [each for each in session.contracts.values() if each.layer == "silver" and each.foreign_keys]
    return {each.table: each.all.overdue for each in refusals(session, children, at) if each.all.overdue}


def _unseen(tables: "list[TableStatus]") -> list[str]:
    """For each way of reading what it does not see, and of which tables that is true."""
    from headwater.extract import EXTRACTORS

    by_what: dict[str, list[str]] = {}
    for each in tables:
        if each.table in EXTRACTORS and each.version is not None:
            by_what.setdefault(EXTRACTORS[each.table].extractor.unseen, []).append(each.table)
    return [f"{what}: {', '.join(names)}" for what, names in by_what.items()]


def _document(table: "TableStatus", at: datetime) -> dict[str, Any]:
    return {
        "table": table.table,
        "layer": table.layer,
        "rows": table.rows,
        "version": table.version,
        "newest": table.newest,
        "age_s": None if table.newest is None else (at - table.newest).total_seconds(),
        "read_until": table.position or None,
        "verdict": table.verdict or None,
        "drifted": dict(table.drifted),
    }


@click.command(short_help="Read the lake with SQL.")
@click.argument("sql", required=False)
@click.option("--csv", "as_csv", is_flag=True, help="All rows as CSV.")
@click.option("--json", "as_json", is_flag=True, help="All rows as a JSON list of objects.")
@common_options
@click.pass_obj
def query(session: Session, sql: str | None, as_csv: bool, as_json: bool) -> None:
    """Read the lake with SQL (DuckDB's); without SQL, list its tables.

    Schemas: bronze, silver, gold, quarantine, rejects; `_dq_results` holds every check of the gate. Nothing can be
    written, and no file beside the lake be read.
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")

    from headwater.object_store import lake_of
    from headwater.observe.query import LakeQuery

    lake = LakeQuery(lake_of(session.settings), session.contracts)
    try:
        if sql is None:
            header, rows = ["table", "rows"], [(each.name, each.rows) for each in lake.tables()]
            if not rows and not (as_csv or as_json):
                click.echo(
                    f"no table yet in {session.settings.lake}; make them: {session.command} run{session.options}"
                )
                return
            if as_csv or as_json:
                import pyarrow as pa

                columns = [pa.array([row[index] for row in rows]) for index in range(len(header))]
                _print_batches(pa.table(columns, names=header).to_reader(), as_csv)
            else:
                print_rows(header, rows)
        elif as_csv or as_json:
            _print_batches(lake.run(sql), as_csv)
        else:
            print_rows(*lake.rows(sql))
    finally:
        lake.close()


def _print_batches(reader: "pa.RecordBatchReader", as_csv: bool) -> None:
    """Print an answer of any size, one batch in memory at a time."""
    names = reader.schema.names
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for batch in reader:
            writer.writerows(_csv_rows(batch))
        return
    first = True
    click.echo("[", nl=False)
    for batch in reader:
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            click.echo("\n" if first else ",\n", nl=False)
            click.echo(json.dumps(dict(zip(names, row, strict=True)), default=json_value, ensure_ascii=False), nl=False)
            first = False
    click.echo("\n]")


def _csv_rows(batch: "pa.RecordBatch") -> Iterable[list[str]]:
    from headwater.observe.tabular import cell

    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        yield [cell(value) for value in row]
