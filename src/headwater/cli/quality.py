"""`headwater quality`: what the gate found of each table, whether what is published is still good, and exceptions to it."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.rows import json_value, print_rows
from headwater.cli.sandbox import lake_clock
from headwater.cli.session import InstantType, Session, common_options, confirm, known_table, say_waiting, why_option
from headwater.errors import ConfigurationError

if TYPE_CHECKING:
    from headwater.contracts import Contract
    from headwater.observe.history import Judgement
    from headwater.run.acceptance import Refused
    from headwater.run.published import Published

_LAST = 20
"""How many verdicts a line of history shows."""

_BLOCKS = {"passed": "█", "warned": "▆", "accepted": "▄", "failed": "▁"}


class _OrTable(click.Group):
    """A group whose first word may also be a table: `quality orders` is `quality show orders`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


@click.group(
    cls=_OrTable,
    invoke_without_command=True,
    subcommand_metavar="[TABLE | COMMAND] ...",
    short_help="Verdicts over time; judge what is published; accept a batch.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_context
def quality(context: click.Context, as_json: bool) -> None:
    """What was found of the tables: of each its pass rate, its last verdicts and what fails now; of TABLE run by run.

    The gate's verdicts are of batches before their commit, `published` ones of `quality run`. All are read from
    `_dq_results`.
    """
    if context.invoked_subcommand is not None:
        return
    session = context.ensure_object(Session)

    from headwater.object_store import lake_of
    from headwater.observe.history import failing, judgements
    from headwater.observe.lake import evidence_of

    lake = lake_of(session.settings)
    lake.check()
    evidence = evidence_of(lake, session.contracts)
    series: dict[tuple[str, str], list[Judgement]] = {}
    for each in judgements(evidence):
        if each.table in session.contracts:
            series.setdefault((session.contracts[each.table].table, each.suite), []).append(each)
    wrong = failing(evidence, [each[-1] for each in series.values()])
    found = [
        _line(table, suite, each, wrong.get((each[-1].table, suite), []))
        for (table, suite), each in sorted(series.items(), key=lambda item: _order(*item[0]))
    ]
    if as_json:
        click.echo(json.dumps(found, default=json_value, ensure_ascii=False))
    elif not found:
        click.echo(f"no verdict yet; a run makes them: {session.command} run{session.options}")
    else:
        header = ["table", "suite", "verdicts", "pass rate", "last", "at", _history_header(), "fails now"]
        print_rows(header, [_cells(each) for each in found])


def _order(table: str, suite: str) -> tuple[int, str, str]:
    return ("silver", "gold").index(table.partition(".")[0]), table, suite


def _line(table: str, suite: str, verdicts: "Sequence[Judgement]", wrong: list[str]) -> dict[str, Any]:
    last = verdicts[-1]
    return {
        "table": table,
        "suite": suite,
        "verdicts": len(verdicts),
        "pass_rate": sum(each.word != "failed" for each in verdicts) / len(verdicts),
        "last": last.word,
        "run_id": last.run_id,
        "at": last.at,
        "history": [each.word for each in verdicts[-_LAST:]],
        "failing": wrong,
    }


def _cells(line: dict[str, Any]) -> tuple[Any, ...]:
    from headwater.observe.tabular import instant

    first = (line[name] for name in ("table", "suite", "verdicts"))
    shown = _sparkline(line["history"])
    return (*first, f"{line['pass_rate']:.0%}", line["last"], instant(line["at"]), shown, ", ".join(line["failing"]))


def _history_header() -> str:
    return "history" if sys.stdout.isatty() else "history (p w a f)"


def _sparkline(words: Sequence[str]) -> str:
    """The oldest first: blocks on a terminal, elsewhere the first letters of passed, warned, accepted, failed."""
    return "".join(_BLOCKS[word] if sys.stdout.isatty() else word[0] for word in words)


@quality.command(short_help="One table, run by run.")
@click.argument("table")
@click.option("--run", "run_id", metavar="RUN", help="Only this run: its name, or the beginning of one; `last`.")
@click.option("--limit", type=click.IntRange(1), default=3, show_default=True, help="At most so many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document, with what Great Expectations says itself.")
@common_options
@click.pass_obj
def show(session: Session, table: str, run_id: str | None, limit: int, as_json: bool) -> None:
    """Tell what was found of TABLE: each rule of each run, what was observed and what is allowed.

    Of rules that failed it tells which rows broke them, where these came from, what is stale now and what to type.
    Values of rows are masked as they are in TABLE.
    """
    contract = _judged_table(session, table)

    from headwater.object_store import lake_of
    from headwater.observe.history import checks, judgements
    from headwater.observe.lake import evidence_of

    lake = lake_of(session.settings)
    lake.check()
    evidence = evidence_of(lake, session.contracts)
    known = judgements(evidence, contract.name)[::-1]
    found = _of_run(contract, known, run_id)[:limit]
    told = [(each, checks(evidence, each)) for each in found]
    if as_json:
        click.echo(json.dumps([_document(*each) for each in told], default=json_value, ensure_ascii=False))
        return
    if not told:
        click.echo(f"no verdict on {contract.table} yet; a run makes one: {session.command} run{session.options}")
    for number, (judgement, rows) in enumerate(told):
        if number:
            click.echo()
        _print(contract, judgement, rows)
        _print_refusal(session, contract, judgement, rows, newest=judgement in _newest(known))


def _of_run(contract: "Contract", newest_first: "list[Judgement]", run_id: str | None) -> "list[Judgement]":
    if run_id is None:
        return newest_first
    found = newest_first[:1] if run_id == "last" else [each for each in newest_first if each.run_id.startswith(run_id)]
    if not found:
        newest = f"; the newest that did is {newest_first[0].run_id}" if newest_first else ""
        raise ConfigurationError(f"no run {run_id} judged {contract.table}{newest}")
    return found


def _newest(newest_first: "Sequence[Judgement]") -> "list[Judgement]":
    """The newest verdict of each suite: what it found still holds."""
    return list({each.suite: each for each in reversed(newest_first)}.values())


def _document(judgement: "Judgement", rows: list[dict[str, Any]]) -> dict[str, Any]:
    shared = ("run_id", "target_version", "at", "kind", "inputs")
    return {
        "table": judgement.table,
        "suite": judgement.suite,
        "kind": judgement.kind,
        "run_id": judgement.run_id,
        "at": judgement.at,
        "target_version": judgement.target_version,
        "verdict": judgement.word,
        "inputs": rows[0]["inputs"] if rows else None,
        "checks": [{name: value for name, value in row.items() if name not in shared} for row in rows],
    }


_OF = {
    "gate": "a batch and what it would make of the table",
    "standing": "the table as it stood, for nothing came in",
    "published": "the table as it is published",
}


def _print(contract: "Contract", judgement: "Judgement", rows: list[dict[str, Any]]) -> None:
    from headwater.observe.refusal import keys_told
    from headwater.observe.tabular import instant, number

    click.echo(f"{contract.table}, run {judgement.run_id} at {instant(judgement.at)} UTC: {judgement.word}")
    click.echo(f"judged was {_OF[judgement.kind]}\n")
    header = ["rule", "severity", "", "observed", "limit", "in words"]
    told = [
        (row["rule"], row["severity"], _mark(row), number(row.get("observed")), row["limit"], row["detail"])
        for row in rows
    ]
    print_rows(header, told)
    for row in rows:
        if said := row["accepted"]:
            click.echo(f"\n{row['rule']} was accepted by {said['by']} at {said['at'][:19]}: {said['why']}")
        if not row["success"] and row["severity"] == "warning" and row["keys"]:
            click.echo(f"\n{row['rule']}: {keys_told(row['keys'])}")


def _print_refusal(
    session: Session, contract: "Contract", judgement: "Judgement", rows: list[dict[str, Any]], *, newest: bool
) -> None:
    """Which rows broke what; of the newest verdict also what is stale now, and what to type."""
    from headwater.observe.refusal import Refusal, broken_lines, lines

    below, batch = _below(session, contract), judgement.kind == "gate"
    refusal = Refusal(contract.layer, contract.name, judgement.run_id, rows, below, batch)
    if refusal.failed:
        told = lines(refusal, session.advice) if newest else broken_lines(refusal)
        click.echo("\n" + "\n".join(told))


def _mark(row: dict[str, Any]) -> str:
    if row["success"]:
        return "ok"
    return "accepted" if row["accepted"] else "failed"


def _below(session: Session, contract: "Contract") -> list[str]:
    from headwater.run.plan import everything_below
    from headwater.transform.table import load_tables

    contracts = session.contracts
    return [contracts[name].table for name in everything_below(contract.name, contracts, load_tables())]


@quality.command(short_help="Judge what is published.")
@click.argument("tables", metavar="[TABLE]...", nargs=-1)
@click.option(
    "--at", type=InstantType(), metavar="INSTANT", help="What is held to be now [default: the sources' clock]."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def run(session: Session, tables: tuple[str, ...], at: datetime | None, as_json: bool) -> int:
    """Hold each TABLE (all of Silver and Gold by default) as it is published against its contract and its limits.

    Keys, what is required, references across tables, what Gold must keep of its inputs, volume and freshness are asked
    of whole tables. Nothing is moved; the verdicts are kept beside the gate's. Ends with 2 if a critical check fails, and
    with 1 if a table has not been written.
    """
    names = list(dict.fromkeys(_judged_table(session, table).name for table in tables))
    at = at or lake_clock(session)

    from headwater.run.published import judge_published, looking

    with looking(session.settings, at) as context:
        found = list(judge_published(context, names))
        run_id = context.run_id
    if as_json:
        document = {"run_id": run_id, "at": at, "tables": [_published_document(each) for each in found]}
        click.echo(json.dumps(document, default=json_value, ensure_ascii=False))
    else:
        _print_published(session, found, run_id)
    if any(each.verdict is not None and not each.verdict.success for each in found):
        return 2
    return 1 if any(each.verdict is None for each in found) else 0


def _published_document(found: "Published") -> dict[str, Any]:
    from headwater.quality.evidence import checks, told

    verdict = found.verdict
    return {
        "table": found.contract.table,
        "version": found.version,
        "verdict": verdict.word if verdict else None,
        "checks": [told(check) for check in checks(verdict)] if verdict else [],
    }


def _print_published(session: Session, found: "list[Published]", run_id: str) -> None:
    from headwater.observe.refusal import Refusal, lines
    from headwater.quality.evidence import checks, told

    rows = []
    for each in found:
        made = checks(each.verdict) if each.verdict else ()
        wrong = [check.rule for check in made if not check.success]
        word = each.verdict.word if each.verdict else "not written yet"
        rows.append((each.contract.table, each.version, len(made) if made else None, word, ", ".join(wrong)))
    print_rows(["table", "version", "checks", "verdict", "fails"], rows)
    for each in found:
        if each.verdict and not each.verdict.success:
            said = [told(check) for check in checks(each.verdict)]
            contract = each.contract
            refusal = Refusal(contract.layer, contract.name, run_id, said, _below(session, contract), batch=False)
            click.echo("\n" + "\n".join(lines(refusal, session.advice)))


@quality.command(short_help="Let a refused batch pass a rule, once.")
@click.argument("table")
@click.option("--run", "run_id", metavar="RUN", required=True, help="The run that refused it, or `last`.")
@click.option("--rule", required=True, help="The rule that failed there, as `quality TABLE` names it.")
@why_option("which evidence and the commit keep")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_obj
def accept(session: Session, table: str, run_id: str, rule: str, why: str, yes: bool) -> None:
    """Let the batch of TABLE that RUN refused pass RULE, once.

    It holds for that very batch: once another one comes, or the table moves, it counts for nothing. The run that is
    advised afterwards publishes the batch without asking the sources for more.
    """
    contract = _judged_table(session, table)

    from headwater.run.acceptance import accept as write_down
    from headwater.run.acceptance import accepting, refused

    with accepting(session.settings) as context:
        found = refused(context, contract, run_id, rule)
        if found.accepted is None:
            if not yes:
                confirm(_question(found))
            said = write_down(context, found, why, say_waiting)
            click.echo(
                f"{contract.table}: {rule} of the batch that run {found.run_id} refused is accepted by {said.by}"
            )
        else:
            said = found.accepted
            click.echo(f"{contract.table}: {said.by} accepted it already, at {said.at[:19]}: {said.why}")
    if found.others:
        click.echo(f"the batch is kept back still, by {', '.join(found.others)}: each can be accepted likewise")
        return
    tables = ",".join((contract.name, *found.below))
    click.echo(f"to publish it and what is made of it: {session.command} run{session.options} --select {tables}")


def _question(found: "Refused") -> str:
    from headwater.observe.refusal import keys_told

    check, table = found.check, found.contract.table
    rows = f" (such as {keys_told(check['keys'])})" if check["keys"] else ""
    return f"{table}, run {found.run_id}: {check['rule']}: {check['detail']}{rows}. Publish this batch all the same?"


def _judged_table(session: Session, table: str) -> "Contract":
    """The contract of a Silver or Gold table, by its name with or without its layer."""
    contract = session.contracts[known_table(session, table)]
    if contract.layer == "bronze":
        raise ConfigurationError(f"{contract.table} is not judged: the gate stands before Silver and Gold")
    return contract
