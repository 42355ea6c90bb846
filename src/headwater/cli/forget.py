"""`headwater forget`: take a person's rows and values out of the whole lake."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from headwater.cli.session import Session, common_options, confirm, say_waiting, why_option

if TYPE_CHECKING:
    from headwater.run.forget import Forgetting, Forgotten


@click.command(short_help="Take a person's rows and values out of the whole lake.")
@click.option(
    "--key", "keys", metavar="TABLE=KEY", multiple=True, required=True, help="Whose; may be said several times."
)
@why_option("which the audit keeps: nothing personal")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def forget(session: Session, keys: tuple[str, ...], why: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Forget the person whose rows of TABLE have this KEY: `--key customers=C42`.

    The person's own rows go, from Bronze to Gold; rows that refer to them, such as orders, stay with their money and
    without the person. E-mail addresses and phone numbers go wherever they stand. The history of every table that told
    of them ends: earlier versions can't be read any more. Erase the person at the source first: what it still tells
    lands again once it changes there. What is searched and what is not: docs/privacy.md.
    """
    from headwater.masking import load_masking
    from headwater.run.events import Event, Waiting
    from headwater.run.forget import Forgetting
    from headwater.run.opened import opened
    from headwater.run.person import person
    from headwater.state import open_store

    def say(event: Event) -> None:
        if isinstance(event, Waiting):
            say_waiting(event.holder)

    with opened(session.settings, None, (say,)) as shared:
        context = replace(shared, masking=load_masking(session.settings, shared.contracts))
        persons = [person(key, context.contracts, context.functions) for key in keys]
        work = Forgetting(context, open_store(session.settings), persons, why)
        if dry_run:
            _tell(session, work, work.look(), as_json, done=False)
            return
        if not yes:
            click.echo("\n".join(_lines(work, work.look())), err=True)
            confirm("forget this for good?")
        _tell(session, work, work.forget(), as_json, done=True)


def _tell(session: Session, work: "Forgetting", told: "list[Forgotten]", as_json: bool, *, done: bool) -> None:
    from headwater.run.forget import forgotten_document

    if as_json:
        click.echo(json.dumps(forgotten_document(told)))
        return
    click.echo("\n".join(_lines(work, told)))
    if not done:
        click.echo("nothing was changed; without --dry-run it is")
        return
    click.echo(
        "forgotten, in tables, their history, the ledger and this machine's logs: docs/privacy.md says what is searched"
    )
    click.echo(f"to bring Silver and Gold in line: {session.command} run{session.options}")
    click.echo("what the source still has lands again when it changes there: erase it at the source too")


def _lines(work: "Forgetting", told: "list[Forgotten]") -> list[str]:
    from headwater.observe.tabular import aligned

    rows = [[each.table, f"{each.gone:,}", f"{each.changed:,}", "ends" if each.history else ""] for each in told]
    lines = aligned(["table", "rows that go", "stay without", "history"], rows, right=[1, 2])
    if work.others:
        lines.append(
            f"{work.others:,} rows of other keys have the same e-mail address or phone number, and lose it too"
        )
    return lines
