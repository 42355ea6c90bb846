"""`headwater run`: move the lake forward by what its sources have that it lacks."""

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from headwater.cli.session import InstantType, Session, common_options, nearest
from headwater.errors import ConfigurationError

if TYPE_CHECKING:
    from headwater.config import Settings
    from headwater.object_store import Place
    from headwater.observe.progress import Progress
    from headwater.sandbox.control import Status

_MANY = ("no source", "one source", "two sources", "three sources", "four sources", "five sources", "six sources")


@click.command(short_help="Bring Bronze, Silver and Gold up to date.")
@click.option("--select", metavar="TABLES", help="Only these tables, by name, comma between; and no others.")
@click.option(
    "--at", type=InstantType(), metavar="INSTANT", help="What the run holds to be now [default: the sources' clock]."
)
@click.option(
    "--remask",
    is_flag=True,
    help="Rebuild tables whose masks are not those of the settings, which are refused otherwise.",
)
@click.option("--json", "as_json", is_flag=True, help="The summary as one JSON document.")
@common_options
@click.pass_obj
def run(session: Session, select: str | None, at: datetime | None, remask: bool, as_json: bool) -> int:
    """Extract what is new, check it, and bring Silver and Gold up to date.

    Brings the sandbox up first where the config has a `sandbox:` block.
    """
    if not session.quiet:
        click.echo(f"headwater run with {session.config}", err=True)
    settings = session.settings
    tables = _selected(session, select)

    from headwater.observe.progress import Progress

    running = ""
    with Progress(sys.stderr, quiet=session.quiet) as progress:
        if settings.sandbox is not None:
            settings, state = _with_sandbox(session, progress)
            at = at or state.clock
            running = f"the sandbox, {_MANY[len(state.sources)]} on 127.0.0.1"
        progress.step("starting the engine")

        from headwater.run import execute

        report = execute(settings, select=tables, at=at, observers=(progress,), remask=remask)

    from headwater.observe.summary import Afterwards, document, summary

    advice = session.advice
    afterwards = Afterwards(advice.command, advice.options, advice.limits, running)
    if as_json:
        click.echo(json.dumps(document(report, afterwards), indent=2, default=str))
    else:
        click.echo(summary(report, afterwards))
    return report.exit_code


def _selected(session: Session, select: str | None) -> tuple[str, ...] | None:
    """The bare names of what `--select` names; None for all.

    Raises:
        click.UsageError: a name that no contract has.
    """
    if select is None:
        return None
    contracts = session.contracts
    chosen = []
    for name in (part.strip() for part in select.split(",") if part.strip()):
        layer, _, bare = name.rpartition(".")
        if bare not in contracts or (layer and contracts[bare].layer != layer):
            raise click.BadParameter(f"{name!r} is not a table{nearest(bare, list(contracts))}", param_hint="--select")
        chosen.append(bare)
    if not chosen:
        raise click.BadParameter("no table is named", param_hint="--select")
    return tuple(chosen)


def _with_sandbox(session: Session, progress: "Progress") -> "tuple[Settings, Status]":
    """Bring the sandbox up, unless it is: the settings that say where its stand-ins listen, and what runs."""
    from headwater.cli.sandbox import bring_up
    from headwater.object_store import lake_of

    state = bring_up(session, progress.step)
    settings = session.reload()
    _claim(lake_of(settings), state.dataset or "")
    return settings, state


def _claim(lake: "Place", dataset: str) -> None:
    """Write down which dataset a lake is made of, once; datasets of one name from two folders must not mix.

    Raises:
        ConfigurationError: the lake is made of another dataset.
        LakeError: the lake is on S3, which refuses us or does not answer.
    """
    lake.check()
    written = lake.claimed("_dataset.json", json.dumps({"dataset": dataset}).encode() + b"\n")
    made_of = json.loads(written)["dataset"]
    if made_of != dataset:
        raise ConfigurationError(
            f"the lake {lake} is made of the dataset {made_of}, not {dataset}; set another `lake:` in the config file, "
            f"or remove that folder"
        )
