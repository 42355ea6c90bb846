"""`headwater runs`: what earlier runs did, for whoever has to find out what happened."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.rows import json_value
from headwater.cli.session import Session, common_options
from headwater.errors import EXIT_INTERRUPTED, ConfigurationError

if TYPE_CHECKING:
    from headwater.observe.ledger import LedgerRun, Step


@click.group(invoke_without_command=True, short_help="What earlier runs did.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_context
def runs(context: click.Context, limit: int, as_json: bool) -> None:
    """List the runs of the ledger, newest first; `runs show RUN` tells one of them table by table."""
    if context.invoked_subcommand is not None:
        return
    session = context.ensure_object(Session)

    from headwater.observe.ledger import runs as newest
    from headwater.observe.tabular import aligned, instant
    from headwater.state import open_store

    found = newest(open_store(session.settings), limit)
    if as_json:
        click.echo(json.dumps([_run_document(run) for run in found], default=json_value, ensure_ascii=False))
        return
    if not found:
        click.echo(_no_run(session))
        return
    rows = [
        [
            run.run_id,
            instant(run.began),
            instant(run.at),
            "" if run.seconds is None else f"{run.seconds:.1f}",
            str(len(run.tables)),
            run.state,
            run.by,
        ]
        for run in found
    ]
    click.echo("\n".join(aligned(["run", "began", "at", "seconds", "tables", "ended", "by"], rows, right=[3, 4])))


@runs.command(short_help="One run, table by table.")
@click.argument("run_id", metavar="RUN")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def show(session: Session, run_id: str, as_json: bool) -> None:
    """Tell what RUN read, what landed and what was repeated, where it stopped, and what to do now.

    RUN is a run's name, or the beginning of one; `last` is the newest.
    """
    from headwater.observe.ledger import ledger_run, runs_called, steps
    from headwater.state import open_store

    store = open_store(session.settings)
    known = store.run_ids()
    if not known:
        raise ConfigurationError(_no_run(session))
    matching = runs_called(run_id, known)
    if not matching:
        raise ConfigurationError(f"no run {run_id}; list them: {session.command} runs{session.options}")
    if len(matching) > 1:
        raise ConfigurationError(f"{len(matching)} runs begin with {run_id}; write more of it")
    run = ledger_run(store, matching[0])
    if run is None:
        raise ConfigurationError(f"what the ledger says of {matching[0]} cannot be read")
    done = steps(store, run)
    if as_json:
        document = _run_document(run) | {"steps": [asdict(step) for step in done]}
        click.echo(json.dumps(document, default=json_value, ensure_ascii=False))
        return
    click.echo("\n".join(_lines(session, run, done)))


def _no_run(session: Session) -> str:
    return f"no run yet; make one: {session.command} run{session.options}"


def _run_document(run: "LedgerRun") -> dict[str, Any]:
    document = asdict(run) | {"state": run.state}
    document.pop("holder")
    document.pop("alone")
    return document


def _lines(session: Session, run: "LedgerRun", done: "list[Step]") -> list[str]:
    from headwater.observe.summary import drifted, refusals
    from headwater.observe.tabular import instant, size

    took = "" if run.seconds is None else f", took {run.seconds:.1f} s"
    memory = "" if run.peak_rss_bytes is None else f", peak memory {size(run.peak_rss_bytes)}"
    lines = [f"run {run.run_id}: {run.state}{took}{memory}"]
    lines += [f"began {instant(run.began)} UTC by {run.by}; held {instant(run.at)} UTC to be now", ""]
    for layer in ("bronze", "silver", "gold"):
        if tables := [step for step in done if step.layer == layer]:
            lines += [*_layer(layer, tables), ""]
    unfinished = [name for name in run.tables if name not in {step.table for step in done}]
    if unfinished and run.exit_code in (None, EXIT_INTERRUPTED):
        lines.append(f"not finished: {', '.join(unfinished)}")
    lines += [f"{step.layer}.{step.table} {step.outcome}: {step.reason}" for step in done if step.reason]
    lines += _failed_checks(done)
    if refused := refusals(done, run.run_id, session.advice):
        lines += ["", *refused, ""]
    if changed := drifted(done):
        lines += [*([] if lines[-1] == "" else [""]), *changed, ""]
    command = f"{session.command} run{session.options}"
    if run.state == "running":
        lines.append("it is still running")
    elif run.state != "ok":
        lines.append(
            f"to go on: {command} (safe at any time: each commit holds its rows and how far they reach, so what landed is "
            f"not landed again, and what did not is read again)"
        )
    return lines


def _layer(layer: str, tables: "list[Step]") -> list[str]:
    from headwater.observe.summary import TERMS
    from headwater.observe.tabular import aligned, size

    terms = TERMS[layer]
    rows = [
        [
            step.table,
            *(f"{step.terms[term]:,}" if term in step.terms else "" for term in terms),
            f"{step.seconds:.1f}",
            f"{step.cpu_seconds:.1f}",
            size(step.bytes) if step.bytes else "",
            "" if step.version is None else str(step.version),
            step.outcome,
            _consumed(step),
        ]
        for step in tables
    ]
    header = [layer, *terms, "seconds", "cpu s", "bytes", "version", "outcome", "consumed"]
    return aligned(header, rows, right=range(1, len(terms) + 5))


def _consumed(step: "Step") -> str:
    """From where to where a step read: instants, offsets, files, or versions of its inputs."""
    before, after = step.consumed
    if not after:
        return ""
    if after == before and after.keys() & {"watermark", "files", "offsets"}:
        return f"stays at {_place(after)}"
    if "watermark" in after:
        return f"{_short(before.get('watermark'))} to {_short(after['watermark'])}"
    if "files" in after:
        return f"{before.get('files', 0)} to {after['files']} files"
    if "offsets" in after:
        first = before.get("offsets", {})
        return " ".join(f"{number}:{first.get(number, 0)}-{offset}" for number, offset in after["offsets"].items())
    return " ".join(f"{name}@{version}" for name, version in after.items())


def _place(position: Mapping[str, Any]) -> str:
    from headwater.observe.tabular import counted

    if "watermark" in position:
        return _short(position["watermark"])
    if "files" in position:
        return counted(position["files"], "file")
    return " ".join(f"{number}:{offset}" for number, offset in position["offsets"].items())


def _short(instant: Any) -> str:
    return str(instant)[:19].replace("T", " ") if instant else "the beginning"


def _failed_checks(done: "list[Step]") -> list[str]:
    return [
        f"{step.layer}.{step.table}: {check['rule']} ({check['severity']}): {check['detail']}"
        for step in done
        for check in step.checks
        if not check.get("success")
    ]
