"""`headwater sandbox …`: the six local sources and their clock."""

import difflib
import json
import os
import shlex
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

_REFUSALS_SHOWN = 10


@click.group()
@common_options
def sandbox() -> None:
    """Six live sources on 127.0.0.1, with a clock of their own."""


def folder(session: Session) -> Path:
    """Where everything of the sandbox lives."""
    return session.settings.state / "sandbox"


def lake_clock(session: Session) -> datetime:
    """What is now for this lake: the sandbox's clock where it has one, else the time of day."""
    if session.settings.sandbox is None:
        return now()
    return clock(session) or now()


def clock(session: Session) -> datetime | None:
    """What the sandbox holds to be now, or held when it was stopped; None if it never ran."""
    from headwater import sandbox as stand_ins

    return stand_ins.status(folder(session)).clock


def bring_up(session: Session, say: Callable[[str], None], at: datetime | None = None) -> "Status":
    """Start what does not run yet, with the dataset that the settings name.

    Raises:
        SandboxError: it does not start, or the dataset is a folder that does not follow `docs/datasets.md`.
    """
    from headwater import sandbox as stand_ins

    configured = _configured(session)
    dataset = _dataset(session, configured)
    shown = stand_ins.status(folder(session))
    if os.sep in dataset and not (shown.running and shown.dataset == dataset):
        _ask_for_sound(Path(dataset), say)
    return stand_ins.up(folder(session), dataset, at, say, configured.scale)


def _ask_for_sound(data: Path, say: Callable[[str], None]) -> None:
    from headwater.errors import SandboxError
    from headwater.sandbox.datasets.check import check as checked

    report = checked(data)
    for remark in (each for each in report.findings if not each.error):
        say(remark.line)
    if report.errors:
        lines = [each.line for each in report.errors]
        left = [f"and {len(lines) - _REFUSALS_SHOWN} more"] if len(lines) > _REFUSALS_SHOWN else []
        told = "\n  ".join([*lines[:_REFUSALS_SHOWN], *left])
        command = f"headwater sandbox check {shlex.quote(str(data))}"
        raise SandboxError(f"{data} does not follow docs/datasets.md; `{command}` says all of it:\n  {told}")


def _configured(session: Session) -> "SandboxSettings":
    configured = session.settings.sandbox
    if configured is None:
        raise ConfigurationError(
            f"{session.config} has no `sandbox:` block: its sources are real; give another --config"
        )
    return configured


def _dataset(session: Session, configured: "SandboxSettings") -> str:
    """A name of ours, or a folder as an absolute path; one that is given relative is relative to the project's."""
    from headwater.sandbox.datasets import DATASETS, made_here

    if made_here(configured.dataset):
        return configured.dataset
    place = (session.settings.folder / Path(configured.dataset).expanduser()).resolve()
    if not place.is_dir():
        known = ", ".join(DATASETS)
        where = session.settings.origin("sandbox.dataset")
        raise ConfigurationError(
            f"{where}: there is no dataset {configured.dataset!r}: choose one of {known}, or name a folder"
        )
    if configured.scale != 1.0:
        raise ConfigurationError(f"{place} is what it is: it takes no scale; set sandbox.scale: 1 or leave it out")
    return str(place)


def _exceeding(_context: click.Context, _option: click.Parameter, limit: str | None) -> str | None:
    """The name of the dataset that exceeds a limit; `list` shows the limits and ends."""
    if limit is None:
        return None
    from headwater.sandbox.datasets.generated.excesses import EXCESSES, name_of

    if limit == "list":
        for known, excess in EXCESSES.items():
            click.echo(known if excess.days == 1 else f"{known} (after {excess.days} days)")
        raise click.exceptions.Exit(0)
    if limit not in EXCESSES:
        near = difflib.get_close_matches(limit, EXCESSES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`--trouble list` shows them"
        raise click.UsageError(f"no dataset exceeds the limit {limit!r}; {hint}")
    return name_of("generated", limit)


@sandbox.command()
@click.option("--dataset", metavar="NAME", help="generated or completejourney [default: the config's].")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder of your own, in the format of docs/datasets.md.",
)
@click.option(
    "--at", type=InstantType(), metavar="INSTANT", help="Set the clock [default: as it stood, or the dataset's start]."
)
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True), help="How much of a generated dataset [default: 1]."
)
@click.option(
    "--trouble",
    callback=_exceeding,
    metavar="LIMIT",
    help="The generated dataset exceeds this limit of the gate from the next day on; `list` shows the limits.",
)
@common_options
@click.pass_obj
def up(
    session: Session,
    dataset: str | None,
    data: Path | None,
    at: datetime | None,
    scale: float | None,
    trouble: str | None,
) -> None:
    """Start the six sources, unless they run.

    What is chosen here stays chosen for later commands, until something else is.
    """
    from headwater.config import CHOSEN
    from headwater.sandbox.datasets import DATASETS

    if data is not None and (dataset is not None or scale is not None):
        raise click.UsageError("--data DIR is a dataset as it is: give it without --dataset and --scale")
    if dataset is not None and dataset not in DATASETS:
        raise click.UsageError(
            f"there is no dataset {dataset!r}: choose one of {', '.join(DATASETS)}, or give --data DIR"
        )
    if trouble is not None and (data is not None or dataset not in (None, "generated")):
        raise click.UsageError("--trouble LIMIT is for the dataset generated: give no other")
    chosen = session.settings.state / CHOSEN
    before = chosen.read_text(encoding="utf-8") if chosen.exists() else None
    if any(choice is not None for choice in (data, dataset, scale, trouble)):
        name = str(data.resolve()) if data is not None else trouble or dataset or _configured(session).dataset
        _choose(chosen, json.dumps({"sandbox": {"dataset": name, "scale": scale or 1.0}}) + "\n")
        session.reload()
    try:
        bring_up(session, _say(session), at)
    except BaseException:
        _choose(chosen, before)  # what did not start is not chosen
        raise
    _print_state(session, as_json=False)


@sandbox.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def check(session: Session, folder: Path, as_json: bool) -> int:
    """Say whether the folder DIR is a dataset as docs/datasets.md describes it.

    One line for each thing that is not: file, row, column, what is wrong and how to mend it. An error keeps the
    sandbox from showing the folder (exit code 1), a remark does not.
    """
    from headwater.sandbox.datasets.check import check as checked

    report = checked(folder)
    if as_json:
        click.echo(json.dumps(report.document(), indent=2))
    else:
        for finding in report.findings:
            click.echo(finding.line)
        if not session.quiet or not report.findings:
            click.echo(report.summary)
    return 1 if report.errors else 0


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
