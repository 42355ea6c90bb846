"""`headwater quarantine list | show | replay | discard`: what was refused, and what becomes of it."""

import json
import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from headwater.cli.rows import json_value
from headwater.cli.sandbox import lake_clock
from headwater.cli.session import InstantType, Session, common_options, confirm, known_table, say_waiting, why_option

if TYPE_CHECKING:
    from headwater.contracts import Contract
    from headwater.run.refused_rows import Count, Refusals, Shown
    from headwater.run.replay import Replayed


def _predicate(_context: click.Context, _parameter: click.Parameter, where: str | None) -> str | None:
    if where is not None and not where.strip():
        raise click.BadParameter("it is empty; leave it out to mean all rows")
    return where


_WHERE = click.option(
    "--where",
    metavar="SQL",
    callback=_predicate,
    help="Only rows for which this predicate holds, over the columns that `query` shows.",
)


_AT = click.option(
    "--at", type=InstantType(), metavar="INSTANT", help="What is held to be now [default: the sources' clock]."
)


@click.group(short_help="What was refused: look at it, try it again, give it up.")
@common_options
def quarantine() -> None:
    """What was refused: look at it, try it again, give it up.

    A Silver table's quarantine holds the row versions that broke a rule of its contract; a Bronze table's rejects hold
    what its source sent and was no row. Every run judges quarantine again whose inputs moved. When it was the contract
    that was wrong, mend it and `replay`; when it is the rows that are, `discard` them.

    \b
    headwater quarantine list
    headwater quarantine show orders --where "list_contains(rules, 'quantity:range')"
    headwater quarantine show external_inventory --where "reason LIKE 'quantity is%'"
    headwater quarantine replay orders
    headwater quarantine discard orders --where "raw->>'order_id' = 'O8'" --why "a test order"
    """


@quarantine.command("list", short_help="Count refused rows by table and rule.")
@click.argument("table", required=False)
@_AT
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def list_(session: Session, table: str | None, at: datetime | None, as_json: bool) -> None:
    """Count refused rows by table and rule: of TABLE and what its inputs rejected, or of all.

    A row that breaks two rules counts in both. Overdue are rows without their parent for longer than `orphan_after`
    (config/dq.yaml). Discarded rows, and rejects that have landed since, do not wait any more and are counted apart.
    """
    from headwater.observe.tabular import aligned, instant

    found = refusals(session, _contracts(session, table), at or lake_clock(session))
    if as_json:
        click.echo(json.dumps([_document(each) for each in found], default=json_value))
        return
    if not found:
        click.echo("nothing was refused")
        return
    rows = [
        [each.table, rule, *(f"{number:,}" for number in _numbers(count)), instant(count.oldest)]
        for each in found
        for rule, count in each.rules.items()
    ]
    header = ["table", "rule", "waiting", "overdue", "discarded", "landed", "oldest refused at"]
    click.echo("\n".join(aligned(header, rows, right=range(2, 6))))
    waiting, overdue = (sum(getattr(each.all, name) for each in found) for name in ("waiting", "overdue"))
    click.echo(f"{waiting:,} rows wait{f', {overdue:,} of them overdue' if overdue else ''}")
    if waiting:
        most = max(found, key=lambda each: each.all.waiting)
        click.echo(f"to see them: {session.command} quarantine show{session.options} {_bare(most.table)}")


@quarantine.command(short_help="Show refused rows: why, what the source told, and their history.")
@click.argument("table")
@_WHERE
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Show at most so many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def show(session: Session, table: str, where: str | None, limit: int, as_json: bool) -> None:
    """Show the refused rows of TABLE, newest first: the rules they broke, the record, where it stands, its history.

    Personal values are hidden unless `masking.rules` of the config file says `none` for their classification; the
    table itself holds them as the source told them.
    """
    from headwater.run.refused_rows import place, shown

    contract = session.contracts[known_table(session, table)]
    name = place(contract)
    count, rows = shown(session.settings, contract, session.contracts, where, limit)
    if as_json:
        told = {"table": name, "rows": count, "shown": [asdict(row) for row in rows]}
        click.echo(json.dumps(told, default=json_value, ensure_ascii=False))
        return
    for row in rows:
        click.echo("\n".join([*_lines(row), ""]))
    asked = " for which that holds" if where else ""
    click.echo(f"{len(rows):,} of {count:,} rows of {name}{asked}")


@quarantine.command(short_help="Try refused rows again, by today's contract and limits.")
@click.argument("table")
@_WHERE
@_AT
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@common_options
@click.pass_obj
def replay(session: Session, table: str, where: str | None, at: datetime | None, as_json: bool) -> int:
    """Try the refused rows of TABLE again, by today's contract, rules and gate.

    Of a Silver table, those that break no rule any more are accepted, or superseded where a newer version of their key
    stands; the others stay, with their history. Rows that --where leaves out stay as they are until an input moves.
    Of a Bronze table, what can be read as a row by now lands, as a run would land it; the reject is marked. A replay
    is a run in the ledger; repeated, or begun anew after it was interrupted, it changes nothing more.

    Exit codes: 0 every row has its end, 1 an error, 2 the gate refused the table: nothing was published.
    """
    from headwater.observe.progress import Progress
    from headwater.run.refused_rows import place
    from headwater.run.replay import replay as replayed

    contract = session.contracts[known_table(session, table)]
    place(contract)
    at = at or lake_clock(session)
    with Progress(sys.stderr, quiet=session.quiet) as progress:
        progress.step("starting the engine")
        done = replayed(session.settings, contract.name, where, at=at, observers=(progress,))
    if as_json:
        report = done.report
        told = {"run_id": done.run_id, "table": contract.table, "outcome": report.outcome, "terms": dict(report.terms)}
        click.echo(json.dumps(told | {"reason": report.reason, "version": report.version}))
    else:
        click.echo("\n".join(_outcome(session, contract, done)))
    return done.exit_code


@quarantine.command(short_help="Give refused rows up: they stay, and are not tried again.")
@click.argument("table")
@_WHERE
@why_option("which stays with the rows")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@common_options
@click.pass_obj
def discard(session: Session, table: str, where: str | None, why: str, yes: bool) -> None:
    """Give up the refused rows of TABLE: they are marked with who did it, when and why.

    They stay where they are and count as quarantined, but no run and no replay tries them again. There is no way back.
    """
    from headwater.observe.tabular import counted
    from headwater.run.discard import discard as discarded
    from headwater.run.refused import waiting
    from headwater.run.refused_rows import place, read

    contract = session.contracts[known_table(session, table)]
    name = place(contract)
    rows = read(session.settings, contract)
    count = rows.filter(waiting(rows, where)).num_rows
    if not count:
        click.echo(
            f"no row of {name} is meant{f' by {where}' if where else ''}, or all are discarded; nothing was done"
        )
        return
    if not yes:
        confirm(f"{count:,} rows of {name} are never tried again; discard them?")
    done = discarded(session.settings, contract, where, why, waiting=say_waiting)
    click.echo(f"{name}: {counted(done.rows, 'row')} discarded by {done.by}: {why}")


def refusals(session: Session, contracts: "list[Contract]", at: datetime) -> "list[Refusals]":
    """What these tables have refused, and what of it is overdue at an instant by the limits."""
    from headwater.quality.limits import load_limits
    from headwater.run.refused_rows import counted

    limits = load_limits(session.settings.dq, session.contracts).tables
    after = {name: each.orphan_after for name, each in limits.items()}
    return counted(session.settings, contracts, after, at)


def _contracts(session: Session, table: str | None) -> "list[Contract]":
    if table is None:
        return [each for each in session.contracts.values() if each.layer != "gold"]

    from headwater.run.refused_rows import with_inputs
    from headwater.transform.table import load_tables

    return with_inputs(session.contracts[known_table(session, table)], session.contracts, load_tables())


def _numbers(count: "Count") -> tuple[int, int, int, int]:
    return count.waiting, count.overdue, count.discarded, count.landed


def _document(found: "Refusals") -> dict[str, Any]:
    return {
        "table": found.table,
        **asdict(found.all),
        "rules": {name: asdict(count) for name, count in found.rules.items()},
    }


def _bare(place: str) -> str:
    return place.rpartition(".")[2]


def _lines(row: "Shown") -> list[str]:
    from headwater.observe.tabular import instant

    lines = [f"{row.where}", f"  {row.reason} ({', '.join(row.rules)})"]
    if isinstance(row.record, str):
        lines.append(f"  {row.record}")
    else:
        told = (f"{name}={'' if value is None else value}" for name, value in row.record.items())
        lines.append(f"  {' '.join(told)}")
    lines.append(f"  refused since {instant(row.refused_at)}, first by run {row.refused_run_id}")
    if row.rules_before:
        lines.append(f"  before that it broke {', '.join(row.rules_before)}")
    if row.replays:
        lines.append(f"  replayed in vain: {row.replays:,}, last at {instant(row.tried_at)}")
    if row.landed_at:
        lines.append(f"  landed at {instant(row.landed_at)}")
    if row.discarded_at:
        lines.append(f"  discarded by {row.discarded_by} at {instant(row.discarded_at)}: {row.discarded_why}")
    return lines


def _outcome(session: Session, contract: "Contract", done: "Replayed") -> list[str]:
    """What became of the rows, in words, and what to type next."""
    from headwater.observe.refusal import Refusal
    from headwater.observe.refusal import lines as refusal_lines
    from headwater.run.refused_rows import place

    terms, report, name = done.report.terms, done.report, place(contract)
    if not done.asked:
        return [f"no row of {name} is to be tried again; nothing was done"]
    show = f"{session.command} quarantine show{session.options} {contract.name}"
    onward = f"to bring what is made of it up to date: {session.command} run{session.options}"
    if contract.layer == "bronze":
        again = terms["refused_again"]
        lines = [f"{name}: {done.asked:,} records tried again, {again:,} of them refused again"]
        held = terms["repeated"] - again
        lines.append(f"{contract.table}: {terms['landed']:,} rows landed" + (f", {held:,} it had" if held else ""))
        lines += [f"what is refused still, and why: {show}"] if again else []
        return [*lines, onward] if terms["landed"] else lines
    lines = [f"{name}: {done.asked:,} rows tried again, {terms['held_back']:,} held back"]
    brought = f"{terms['new']:,} new + {terms['retried']:,} retried"
    ends = " + ".join(f"{terms[end]:,} {end}" for end in ("accepted", "deleted", "superseded", "quarantined"))
    lines.append(f"{contract.table}: {brought} = {ends}")
    if report.outcome == "gate failed":
        refusal = Refusal(contract.layer, contract.name, done.run_id, report.checks, report.below)
        return [*lines, *refusal_lines(refusal, session.advice)]
    if terms["quarantined"]:
        lines.append(f"what is refused still, and why: {show}")
    return [*lines, onward] if report.outcome == "committed" else lines
