"""How rows and values are printed: for people as a table, for programs as JSON."""

import sys
from datetime import datetime
from typing import Any

import click

_SHOWN_ROWS = 200
"""Rows that a table for people has at most; `--csv` and `--json` give all."""

_CELL_WIDTH = 60


def json_value(value: Any) -> Any:
    """What JSON lacks: instants in ISO 8601, decimals and bytes as text, so that no digit is lost."""
    if isinstance(value, datetime):
        return value.isoformat()
    from headwater.observe.tabular import cell

    return cell(value)


def print_rows(header: list[str], rows: list[tuple[Any, ...]]) -> None:
    """Print rows as a table for people: framed on a terminal, plain otherwise, long values cut."""
    from headwater.observe.tabular import cell

    shown = [[_short(cell(value)) for value in row] for row in rows[:_SHOWN_ROWS]]
    numeric = [index for index in range(len(header)) if any(_is_number(row[index]) for row in rows[:_SHOWN_ROWS])]
    if sys.stdout.isatty():
        _print_framed(header, shown, numeric)
    else:
        from headwater.observe.tabular import aligned

        click.echo("\n".join(aligned(header, shown, right=numeric)))
    if len(rows) > _SHOWN_ROWS:
        click.echo(f"({_SHOWN_ROWS} of {len(rows):,} rows; --csv or --json give all)")


def _print_framed(header: list[str], rows: list[list[str]], numeric: list[int]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    framed = Table(box=box.SIMPLE_HEAD, header_style="")
    for index, name in enumerate(header):
        framed.add_column(Text(name), justify="right" if index in numeric else "left", overflow="fold")
    for row in rows:
        framed.add_row(*(Text(value) for value in row))
    Console(highlight=False).print(framed)


def _is_number(value: Any) -> bool:
    from decimal import Decimal

    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _short(text: str) -> str:
    line = text.replace("\n", " ")
    return line if len(line) <= _CELL_WIDTH else f"{line[: _CELL_WIDTH - 1]}…"
