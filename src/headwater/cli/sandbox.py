"""`headwater sandbox …`: the six local sources and their clock."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.session import InstantType, Session, common_options
from headwater.errors import ConfigurationError

if TYPE_CHECKING:
    from headwater.config import SandboxSettings


@click.group()
@common_options
def sandbox() -> None:
    """Six live sources on 127.0.0.1, with a clock of their own."""


def folder(session: Session) -> Path:
    """Where everything of the sandbox lives."""
    return session.settings.state / "sandbox"


def clock(session: Session) -> datetime | None:
    """What the running sandbox holds to be now; None where it is down."""
    from headwater import sandbox as stand_ins

    state = stand_ins.status(folder(session))
    return state.clock if state else None


def bring_up(
    session: Session,
    say: Callable[[str], None],
    dataset: str | None = None,
    at: datetime | None = None,
    scale: float | None = None,
) -> None:
    """Start what is not running; what is asked for wins over the config, and the config over nothing."""
    from headwater import sandbox as stand_ins

    configured = _configured(session)
    stand_ins.up(
        folder(session),
        dataset or configured.dataset,
        at=at,
        progress=say,
        scale=scale or configured.scale,
    )


def _configured(session: Session) -> "SandboxSettings":
    configured = session.settings.sandbox
    if configured is None:
        raise ConfigurationError(
            f"{session.config} has no `sandbox:` block, so its sources are real; add one, or give another --config"
        )
    return configured


@sandbox.command()
@click.option(
    "--dataset",
    metavar="NAME",
    help="What the sources show: generated, completejourney or a folder [default: the config's].",
)
@click.option(
    "--at", type=InstantType(), metavar="INSTANT", help="Set the clock to this [default: the dataset's start]."
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    help="How much of a generated dataset [default: the config's].",
)
@common_options
@click.pass_obj
def up(session: Session, dataset: str | None, at: datetime | None, scale: float | None) -> None:
    """Start the six sources, unless they run."""
    bring_up(session, _say(session), dataset, at, scale)
    _print_state(session, as_json=False)


@sandbox.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def status(session: Session, as_json: bool) -> int:
    """Say what runs, where, and what its clock says; exit code 1 if it is down."""
    return _print_state(session, as_json)


@sandbox.command()
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Move the clock on by so many days."
)
@click.option("--to", "until", type=InstantType(), metavar="INSTANT", help="Move the clock on to an instant.")
@common_options
@click.pass_obj
def advance(session: Session, days: float | None, until: datetime | None) -> None:
    """Move the sources' clock on, and with it what they show."""
    if (days is None) == (until is None):
        raise click.UsageError("give either --days N or --to INSTANT")
    from headwater import sandbox as stand_ins

    if days is not None:
        now = clock(session)
        until = None if now is None else now + timedelta(days=days)
    stand_ins.advance(folder(session), until, progress=_say(session))
    _print_state(session, as_json=False)


@sandbox.command()
@common_options
@click.pass_obj
def down(session: Session) -> None:
    """Stop what `up` started, and only that; the data stays, for the next `up`."""
    from headwater import sandbox as stand_ins

    stand_ins.down(folder(session))


def _say(session: Session) -> Callable[[str], None]:
    return lambda text: None if session.quiet or not text else click.echo(text, err=True)


def _print_state(session: Session, as_json: bool) -> int:
    from headwater import sandbox as stand_ins

    state = stand_ins.status(folder(session))
    if as_json:
        click.echo(json.dumps(state, default=str))
    return 0 if state else 1
