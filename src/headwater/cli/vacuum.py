"""`headwater vacuum`: remove files that nobody needs any more."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from headwater.cli.session import Session, common_options, known_table, say_waiting


class DurationType(click.ParamType[timedelta]):
    """A duration such as 12h or 7d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        from pydantic import TypeAdapter, ValidationError

        from headwater.config import Duration

        try:
            return TypeAdapter[timedelta](Duration).validate_python(value)
        except ValidationError:
            self.fail(f"{value!r} is not a duration such as 12h or 7d", param, ctx)


@click.command(short_help="Remove files that nobody needs any more.")
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option("--keep", type=DurationType(), default="7d", show_default=True, help="Keep the versions of so long.")
@click.option("--alone", is_flag=True, help="Nobody else reads or writes the lake now: a --keep under a day is taken.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def vacuum(
    session: Session, tables: tuple[str, ...], keep: timedelta, alone: bool, dry_run: bool, as_json: bool
) -> None:
    """Remove the files of TABLEs, or of all, that no version of the last days names.

    Files that a run staged and never committed go once it is certain that it can't: it has ended, or another run has
    committed in its place. What a run that sleeps may still commit stays. Broken off half-way it does no harm.
    """
    from headwater.observe.tabular import aligned, counted, size, span
    from headwater.run.events import Event, Waiting
    from headwater.run.opened import opened
    from headwater.run.vacuum import SHORTEST
    from headwater.run.vacuum import vacuum as vacuumed

    if keep < SHORTEST and not alone:
        raise click.UsageError(
            f"--keep {span(keep)} is under a day: whoever reads an older version now would lose its files; say --alone "
            f"if nobody else reads or writes the lake"
        )
    names = [known_table(session, table) for table in tables] or list(session.contracts)

    def say(event: Event) -> None:
        if isinstance(event, Waiting):
            say_waiting(event.holder)

    with opened(session.settings, None, (say,)) as context:
        found = list(vacuumed(context, names, keep, alone=alone, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found]))
        return
    rows = [[each.table, f"{each.files:,}", size(each.bytes)] for each in found if each.files]
    if rows:
        click.echo("\n".join(aligned(["table", "files", "bytes"], rows, right=[1, 2])))
    kept = f"versions of the last {span(keep)} are kept" if keep else "only the newest versions are kept"
    verb = "would free" if dry_run else "freed"
    files, freed = sum(each.files for each in found), sum(each.bytes for each in found)
    click.echo(f"{verb} {size(freed)} in {counted(files, 'file')}; {kept}")
