"""`headwater watermark show | set | reset`: how far each Bronze table counts as read."""

import json
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.sandbox import lake_clock
from headwater.cli.session import Session, common_options, confirm, nearest, say_waiting, why_option
from headwater.errors import ConfigurationError

if TYPE_CHECKING:
    from headwater.contracts import Contract
    from headwater.extract.base_extractor import Position
    from headwater.run.watermark import Watermark


@click.group(short_help="How far each Bronze table counts as read; set it by hand.")
@common_options
def watermark() -> None:
    """How far each Bronze table counts as read.

    A table's last commit holds its watermark, and the state store a copy for people. Setting one is a commit of its own,
    with who did it and why; the next run reads from there, and counts as repeated what Bronze has already.
    """


@watermark.command(short_help="Tell the watermarks.")
@click.argument("table", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def show(session: Session, table: str | None, as_json: bool) -> None:
    """Tell how far TABLE, or every Bronze table, counts as read, and what the state store says instead if it differs."""
    from headwater.run.watermark import watermark as of

    contracts = [bronze_contract(session, table)] if table else _all(session)
    found = [(contract.name, of(session.settings, contract)) for contract in contracts]
    if as_json:
        click.echo(json.dumps({name: _document(each) for name, each in found if each}, ensure_ascii=False))
        return

    from headwater.observe.tabular import aligned

    rows = [[name, *_told(each)] for name, each in found]
    click.echo(
        "\n".join(aligned(["table", "version", "read until", "set by hand", "state store says"], rows, right=[1]))
    )


@watermark.command("set", short_help="Read from another place next time.")
@click.argument("table")
@click.argument("position")
@why_option("which the commit keeps")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_obj
def set_watermark(session: Session, table: str, position: str, why: str, yes: bool) -> None:
    """Make the next run read TABLE from POSITION on.

    POSITION is an instant such as 2024-11-02T00:00:00Z, or for a topic the next offset of each partition: 0:120,1:88.
    Set forward, what lies between is not read: that is for what the source no longer has.
    """
    from headwater.run.watermark import chosen

    contract = bronze_contract(session, table)
    _move(session, contract, chosen(position, contract, lake_clock(session)), why, yes)


@watermark.command(short_help="Read from the beginning next time.")
@click.argument("table")
@why_option("which the commit keeps")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_obj
def reset(session: Session, table: str, why: str, yes: bool) -> None:
    """Make the next run read all of TABLE's source again; what Bronze holds already counts as repeated."""
    from headwater.extract.base_extractor import Position

    _move(session, bronze_contract(session, table), Position(), why, yes)


def _move(session: Session, contract: "Contract", to: "Position", why: str, yes: bool) -> None:
    from headwater.run.watermark import consequences, move
    from headwater.run.watermark import watermark as of

    before = of(session.settings, contract)
    said = "nothing" if before is None else _place(before.position)
    for line in consequences(before.position, to) if before else ():
        click.echo(line, err=True)
    if not yes:
        confirm(f"{contract.name} counts as read until {said}; set it to {_place(to)}?")
    moved = move(session.settings, contract, to, why, waiting=say_waiting)
    click.echo(f"{contract.name}: read until {said} before, {_place(moved.position)} now (version {moved.version})")
    click.echo(f"the next run reads from there: {session.command} run{session.options} --select {contract.name}")


def bronze_contract(session: Session, table: str) -> "Contract":
    """The contract of a Bronze table by its name, with or without its layer.

    Raises:
        ConfigurationError: no Bronze table has this name.
    """
    names = {contract.name: contract for contract in _all(session)}
    bare = table.removeprefix("bronze.")
    if bare not in names:
        raise ConfigurationError(f"{table} is not a Bronze table{nearest(bare, sorted(names))}")
    return names[bare]


def _all(session: Session) -> "list[Contract]":
    return [contract for contract in session.contracts.values() if contract.layer == "bronze"]


def _told(found: "Watermark | None") -> list[str]:
    if found is None:
        return ["", "not yet", "", ""]
    by_hand = f"{found.moved_by}: {found.why}" if found.moved_by else ""
    stored = _place(found.stored) if found.stored else "nothing"
    if found.stored == found.position:
        stored = "the same"
    return [str(found.version), _place(found.position), by_hand, stored]


def _document(found: "Watermark") -> dict[str, Any]:
    from headwater.run.positions import told

    return {
        "version": found.version,
        "position": told(found.position),
        "stored": None if found.stored is None else told(found.stored),
        "moved_by": found.moved_by or None,
        "why": found.why or None,
    }


def _place(position: "Position") -> str:
    from headwater.observe.tabular import counted, instant

    if position.watermark is not None:
        return instant(position.watermark)
    if position.offsets:
        return " ".join(f"{partition}:{offset}" for partition, offset in sorted(position.offsets.items()))
    return counted(len(position.files), "file") if position.files else "the beginning"
