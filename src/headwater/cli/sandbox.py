"""`headwater sandbox …`: the six local sources and their clock."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.session import InstantType, Session, common_options, now
from headwater.errors import ConfigurationError

if TYPE_CHECKING:
    from headwater.config import SandboxSettings
    from headwater.sandbox import Status


@click.group()
@common_options
def sandbox() -> None:
    """Six live sources on 127.0.0.1, with a clock of their own."""


def folder(session: Session) -> Path:
    """Where everything of the sandbox lives."""
    return session.settings.state / "sandbox"


def clock(session: Session) -> datetime | None:
    """What the sandbox holds to be now, or held when it was stopped; None if it never ran."""
    from headwater import sandbox as stand_ins

    return stand_ins.status(folder(session)).clock


def bring_up(session: Session, say: Callable[[str], None], at: datetime | None = None) -> "Status":
    """Start what does not run yet, with the dataset that the settings name."""
    from headwater import sandbox as stand_ins

    configured = _configured(session)
    return stand_ins.up(folder(session), _dataset(session, configured), at, say, configured.scale)


def _configured(session: Session) -> "SandboxSettings":
    configured = session.settings.sandbox
    if configured is None:
        raise ConfigurationError(
            f"{session.config} has no `sandbox:` block: its sources are real; give another --config"
        )
    return configured


def _dataset(session: Session, configured: "SandboxSettings") -> str:
    """A name, or a folder, which is relative to the project's."""
    place = session.settings.folder / Path(configured.dataset).expanduser()
    return str(place) if (place / "dataset.yaml").is_file() else configured.dataset


@sandbox.command()
@click.option("--dataset", metavar="NAME", help="generated, completejourney or a folder [default: the config's].")
@click.option(
    "--at", type=InstantType(), metavar="INSTANT", help="Set the clock [default: as it stood, or the dataset's start]."
)
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True), help="How much of a generated dataset [default: 1]."
)
@common_options
@click.pass_obj
def up(session: Session, dataset: str | None, at: datetime | None, scale: float | None) -> None:
    """Start the six sources, unless they run.

    A dataset that is chosen here stays chosen for later commands, until another one is.
    """
    from headwater.config import CHOSEN

    chosen = session.settings.state / CHOSEN
    before = chosen.read_text(encoding="utf-8") if chosen.exists() else None
    if dataset is not None or scale is not None:
        name = dataset or _configured(session).dataset
        place = Path(name).expanduser()
        name = str(place.absolute()) if (place / "dataset.yaml").is_file() else name
        _choose(chosen, json.dumps({"sandbox": {"dataset": name, "scale": scale or 1.0}}) + "\n")
        session.reload()
    try:
        bring_up(session, _say(session), at)
    except BaseException:
        _choose(chosen, before)  # what did not start is not chosen
        raise
    _print_state(session, as_json=False)


def _choose(chosen: Path, text: str | None) -> None:
    if text is None:
        chosen.unlink(missing_ok=True)
    else:
        chosen.parent.mkdir(parents=True, exist_ok=True)
        chosen.write_text(text, encoding="utf-8")


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

    if until is None:
        until = (clock(session) or now()) + timedelta(days=days or 0)
    _say(session)(f"moving the clock on to {until:%Y-%m-%d %H:%M:%S} UTC")
    stand_ins.advance(folder(session), until)
    _print_state(session, as_json=False)


@sandbox.command()
@common_options
@click.pass_obj
def down(session: Session) -> None:
    """Stop what `up` started, and only that; the data stays, for the next `up`."""
    from headwater import sandbox as stand_ins

    before = stand_ins.status(folder(session))
    stand_ins.down(folder(session))
    if not session.quiet:
        click.echo(f"stopped {len(before.pids)} processes" if before.pids else "nothing ran")


def _say(session: Session) -> Callable[[str], None]:
    return lambda text: None if session.quiet or not text else click.echo(text, err=True)


def _print_state(session: Session, as_json: bool) -> int:
    from headwater import sandbox as stand_ins

    state = stand_ins.status(folder(session))
    if as_json:
        click.echo(json.dumps(_document(state), indent=2))
    elif not session.quiet:
        click.echo("\n".join(described(state)))
    return 0 if state.running and not state.problem else 1


def _document(state: "Status") -> dict[str, Any]:
    return {
        "running": state.running,
        "problem": state.problem or None,
        "dataset": state.dataset,
        "clock": state.clock.isoformat() if state.clock else None,
        "sources": {name: f"127.0.0.1:{port}" for name, port in sorted(state.sources.items())},
        "pids": list(state.pids),
        "memory_bytes": state.memory_bytes,
        "logs": str(state.logs),
        "owner": str(state.owner),
    }


def described(state: "Status") -> list[str]:
    """What a sandbox does, in lines."""
    from headwater.observe.tabular import aligned, instant, size

    if not state.running:
        story = f"; {state.dataset} stopped at {instant(state.clock)} UTC" if state.dataset else ""
        return [f"the sandbox is down{story}"]
    shows = (
        f"the sandbox shows {state.dataset} at {instant(state.clock)} UTC, "
        f"with {len(state.pids)} processes and {size(state.memory_bytes)} of memory"
    )
    places = [[name, f"127.0.0.1:{port}"] for name, port in sorted(state.sources.items())]
    problem = [state.problem] if state.problem else []
    return [shows, *aligned(["source", "address"], places), f"logs: {state.logs}", *problem]
