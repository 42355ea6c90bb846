"""`headwater contract check | diff | infer`: contracts against the code, against each other, and out of data."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.cli.session import Session, common_options, nearby, nearest
from headwater.errors import ConfigurationError

if TYPE_CHECKING:
    from headwater.contracts import Contracts, Layer
    from headwater.contracts.odcs import Problem
    from headwater.run.contract_check import ContractCheck
    from headwater.run.contract_diff import ChangeEffect


@click.group(short_help="Contracts: check them, compare them, draft one.")
@common_options
def contract() -> None:
    """What is promised of each table: held against the code, compared with another version, drafted from data."""


@contract.command(short_help="Hold the code against the contracts.")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def check(session: Session, tables: tuple[str, ...], as_json: bool) -> int:
    """Hold the code of every TABLE, or of all, against its contract, and list everything that is wrong.

    Each function is run on empty inputs as their contracts have them. Also checked: contracts against the standard and
    each other, inputs, sources, references, cursors, and every name in dq.yaml. Nothing of the lake or a source is read.

    Exit codes: 0 all agrees, 1 something is wrong.
    """
    from headwater.run.contract_check import contract_check

    select = [table.rpartition(".")[2] for table in tables]
    found = contract_check(session.settings, select)
    known = [each.table.partition(".")[2] for each in found.tables]
    told = {problem.table for problem in found.problems}
    for given, bare in zip(tables, select, strict=True):
        if bare not in known and bare not in told:
            names = [each.table for each in contract_check(session.settings).tables]
            everything = sorted({*names, *(each.partition(".")[2] for each in names)})
            raise ConfigurationError(f"no contract describes a table {given}{nearest(given, everything)}")
    if as_json:
        click.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        click.echo("\n".join(_checked(found)))
    return 1 if found.problems else 0


def _checked(found: "ContractCheck") -> list[str]:
    if found.problems:
        count = len(found.problems)
        return [*map(_problem, found.problems), "", f"{count} {'problem' if count == 1 else 'problems'}"]

    from headwater.observe.tabular import aligned

    rows = [
        [each.table, str(each.columns), str(each.rules), str(each.references), ", ".join(each.inputs), each.tried]
        for each in found.tables
    ]
    header = ["table", "columns", "rules", "references", "made from", "how"]
    return [*aligned(header, rows, right=[1, 2, 3]), "", f"{len(rows)} tables agree with {found.location}"]


def _problem(problem: "Problem") -> str:
    place = nearby(Path(problem.file)) if problem.line is None else f"{nearby(Path(problem.file))}:{problem.line}"
    return f"{place}: {problem.said.replace(f'{Path.cwd()}/', '')}"


@contract.command(short_help="What changed between two contracts, and whom it breaks.")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def diff(session: Session, before: str, after: str, as_json: bool) -> int:
    """Say what changed from A to B: two contract files, or two folders of them (here or s3://).

    For each change, whom it breaks downstream, column by column: the functions are tried on inputs so changed, and their
    queries' plans tell what is made from what. A table without a column is one of which only that much can be known.

    Exit codes: 0 nothing breaks, 1 something does, or may.
    """
    from headwater.engine.embedded import EmbeddedEngine
    from headwater.object_store import Place
    from headwater.run.contract_diff import ContractDiff
    from headwater.run.trial import Trials
    from headwater.transform.table import load_tables

    was, now = _pair(session, before, after)
    functions = load_tables()
    place = Place(str(session.settings.state / "contract-diff"))
    with EmbeddedEngine(place) as engine, Trials(engine.session, functions) as trials:
        effects = ContractDiff(trials, functions, was, now).effects()
    broken = sum(effect.breaking for effect in effects)
    if as_json:
        document = {"changes": [asdict(each) for each in effects], "breaking": broken}
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo("\n".join(_effects(effects)))
    return 1 if broken else 0


def _pair(session: Session, before: str, after: str) -> "tuple[Contracts, Contracts]":
    """Both sides as whole sets of contracts: of two files each stands in for its table among the project's own."""
    from headwater.contracts import load_contracts

    files = [each.endswith((".yaml", ".yml")) and "://" not in each for each in (before, after)]
    if files[0] != files[1]:
        raise ConfigurationError(f"{before} and {after}: compare two files, or two folders")
    if not files[0]:
        aws = session.settings.aws
        return load_contracts(before, aws), load_contracts(after, aws)

    from headwater.contracts.files import contract_file
    from headwater.contracts.odcs import read_contract

    sides = []
    for path in (before, after):
        read, problems = read_contract(contract_file(Path(path)), named=False)
        if read is None or problems:
            raise ConfigurationError(_problem(problems[0]))
        sides.append(read)
    if sides[0].table != sides[1].table:
        raise ConfigurationError(f"{before} describes {sides[0].table} and {after} {sides[1].table}: compare one table")
    return {**session.contracts, sides[0].name: sides[0]}, {**session.contracts, sides[1].name: sides[1]}


def _effects(effects: "Sequence[ChangeEffect]") -> list[str]:
    if not effects:
        return ["nothing changed"]
    lines: list[str] = []
    for table in dict.fromkeys(each.change.table for each in effects):
        lines.append(table)
        for effect in (each for each in effects if each.change.table == table):
            lines.append(f"  {'BREAKS' if effect.breaking else 'fine  '}  {effect.change.said}")
            lines += [
                f"            {broken.table}{f'.{broken.column}' if broken.column else ''} {broken.how}"
                for broken in effect.breaks
            ]
    broken = sum(effect.breaking for effect in effects)
    return [*lines, "", f"{len(effects)} {'change' if len(effects) == 1 else 'changes'}, {broken} of them breaking"]


@contract.command(short_help="Draft a contract from a source's data.")
@click.argument("table", metavar="SOURCE.TABLE")
@click.option(
    "--rows", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Rows to read at most."
)
@click.option(
    "--layer",
    type=click.Choice(["bronze", "silver"]),
    default="silver",
    show_default=True,
    help="Bronze says columns and types; Silver also rules on values.",
)
@click.option("--write", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write it there.")
@click.option("--force", is_flag=True, help="Overwrite FILE.")
@click.option("--json", "as_json", is_flag=True, help="The contract as a JSON document.")
@common_options
@click.pass_obj
def infer(
    session: Session, table: str, rows: int, layer: "Layer", write: Path | None, force: bool, as_json: bool
) -> None:
    """Draft a contract from rows of SOURCE.TABLE, read as a run would: snowflake.ORDERS, redshift.customer_behavior,
    salesforce.Lead, kafka.user_events, s3.erp-export/inventory, fx_vendor.rates.

    A guess, for somebody to read: its status is draft, which no run accepts. What looks personal or sensitive by its
    name or its values is classified, and none of its values are in the draft.
    """
    from headwater.contracts.draft import Drafted, draft
    from headwater.extract.sampled import sampled

    if write is not None and write.exists() and not force:
        raise ConfigurationError(f"{write} is there already; --force overwrites it")
    sample = sampled(session.settings, table, rows)
    name = sample.bronze if layer == "bronze" else sample.name
    if not sample.rows.column_names:
        raise ConfigurationError(f"{table} shows no columns: there is nothing to draft a contract from")
    text = draft(Drafted(layer, name, f"{layer}/{sample.path if layer == 'bronze' else name}", table, sample.rows))
    if write is not None:
        write.parent.mkdir(parents=True, exist_ok=True)
        write.write_text(text, encoding="utf-8")
    if as_json:
        import yaml

        click.echo(json.dumps(yaml.safe_load(text), ensure_ascii=False, default=str))
    elif write is None:
        click.echo(text, nl=False)
    else:
        columns, read = len(sample.rows.column_names), sample.rows.num_rows
        click.echo(f"{write}: {columns} columns out of {read:,} rows; its status is draft")
