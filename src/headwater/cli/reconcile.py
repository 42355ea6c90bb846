"""`headwater reconcile`: compare a Bronze table with its source, and land what a cursor could not see."""

import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

import click

from headwater.cli.rows import json_value
from headwater.cli.sandbox import lake_clock
from headwater.cli.session import InstantType, Session, common_options
from headwater.cli.watermark import bronze_contract

if TYPE_CHECKING:
    from headwater.run.reconcile import Reconciliation


@click.command(short_help="Compare a Bronze table with its source.")
@click.argument("table")
@click.option("--since", type=InstantType(), metavar="INSTANT", help="Compare versions from here on [default: all].")
@click.option("--dry-run", is_flag=True, help="Only tell what differs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def reconcile(session: Session, table: str, since: datetime | None, dry_run: bool, as_json: bool) -> int:
    """Compare TABLE, a Bronze table that is read by a cursor, with its source, and land what it lacks.

    Finds what a run cannot see: rows that the source committed later than the overlap, rows deleted for good, rows
    whose cursor is null. Only keys and cursors are compared; a row whose values changed while its cursor stood still is
    found by `headwater watermark set`, which reads whole rows again.

    Exit codes: 0 nothing differs any more, 1 something does.
    """
    contract = bronze_contract(session, table)
    at = lake_clock(session)

    from headwater.observe.progress import Progress

    with Progress(sys.stderr, quiet=session.quiet) as progress:
        progress.step(f"comparing {contract.name} with its source")

        from headwater.run.opened import opened
        from headwater.run.reconcile import reconcile as compared

        with opened(session.settings, at, (progress,)) as context:
            found = compared(context, contract, since, mend=not dry_run)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"agrees": found.agrees}, default=json_value, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(session, found)))
    return 0 if found.agrees else 1


def _lines(session: Session, found: "Reconciliation") -> list[str]:
    from headwater.observe.tabular import instant

    span = f"from {instant(found.since) or 'the beginning'} to {instant(found.until)} UTC"
    lines = [f"{found.table} {span}: {found.source_rows:,} rows at the source"]
    for what, difference in (
        ("missing: the source has them, Bronze never had", found.missing),
        ("changed: the source has a version that Bronze lacks", found.changed),
        ("deleted: Bronze has them, the source no longer", found.deleted),
    ):
        more = ", …" if difference.rows > len(difference.keys) else ""
        lines += [f"{difference.rows:,} {what}: {', '.join(difference.keys)}{more}"] if difference.rows else []
    if found.without_cursor:
        lines.append(f"{found.without_cursor:,} without a cursor: no run reads them until the source stamps them")
    if found.windows:
        read = ", ".join(f"{instant(window.start)} to {instant(window.end)}" for window in found.windows[:5])
        more = ", …" if len(found.windows) > 5 else ""
        lines.append(f"read again: {read}{more}; {found.landed:,} landed, {found.rejected:,} rejected")
        lines.append(f"to bring Silver and Gold up to date: {session.command} run{session.options}")
    elif found.missing.rows or found.changed.rows:
        lines.append("nothing was read again; without --dry-run it is")
    if found.remaining:
        where = f"{session.command} quarantine show {found.table}{session.options}"
        lines.append(f"{found.remaining:,} are still missing, for no row can be made of them: {where}")
    if found.deleted.rows:
        lines.append("what was deleted stays in Bronze and Silver: a cursor brings no deletion")
    return lines if len(lines) > 1 else [*lines, "nothing differs"]
