"""Where a run is killed: the points that a crash can come at, and for each of them every table and instant to try it on."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice, zip_longest
from typing import Literal

from tests.chaos.instant import Instant, named
from tests.chaos.same import EVIDENCE

from headwater.contracts import Contract, Contracts

Where = Literal["local", "s3"]


@dataclass(frozen=True)
class Slam:
    """The connection to a source that fails, counted from the first of a run: the kill comes as another is opened."""

    source: str
    connection: int


@dataclass(frozen=True)
class Kill:
    """A kill of the run that moves a table (None: of one that moves everything) from one instant's state to the next."""

    point: str
    table: str
    number: int
    at: Instant | Slam
    where: Where = "local"
    whole: bool = False
    vacuum: Instant | None = None
    """After the run was killed, a vacuum of its table is killed here, before the next run."""

    def __str__(self) -> str:
        which = ("first", "second")[self.number]
        return f"{self.point}, {self.table}, {which} run, {self.where}{', of everything' if self.whole else ''} ({self.at})"


@dataclass(frozen=True)
class Point:
    """Where a kill may come: what has happened by then, and what has not, and the kills that come there."""

    name: str
    means: str
    kills: Callable[[Contracts], Iterator[Kill]]

    def candidates(self, contracts: Contracts) -> list[Kill]:
        return list(self.kills(contracts))


BRONZE = (
    *("snowflake_orders", "redshift_behavior", "salesforce_accounts", "external_inventory", "kafka_orders_events"),
    *("fx_vendor_rates", "kafka_user_events", "salesforce_contacts", "snowflake_customers", "kafka_inventory_updates"),
    *("salesforce_opportunities", "snowflake_products"),
)
SILVER = ("orders", "inventory", "behavior", "opportunities", "order_events", "contacts", "user_events")
GOLD = ("product_perf_daily", "customer_360", "revenue_by_industry", "revenue_by_geography")
IN_WINDOWS = ("snowflake_orders", "kafka_user_events", "redshift_behavior", "salesforce_contacts")
WITH_REJECTS = ("external_inventory", "kafka_orders_events")
WITH_QUARANTINE = {"orders": (0, 1), "behavior": (0,), "inventory": (1,)}
"""The tables whose quarantine changes, and in which runs."""

_ON_THE_WAY = ("kafka_orders_events", "orders", "inventory", "product_perf_daily")
_BOTH = (0, 1)


def _each(
    name: str, tables: Sequence[str], at: Callable[[str], Sequence[Instant]], numbers: Sequence[int] = _BOTH
) -> Iterator[Kill]:
    for table in tables:
        for number in numbers:
            for instant in at(table):
                yield Kill(name, table, number, instant)


def _on_both(kills: Iterator[Kill]) -> Iterator[Kill]:
    """The same on a lake in S3."""
    for kill in kills:
        yield kill
        yield replace(kill, where="s3")


def _whole(kills: Iterator[Kill]) -> Iterator[Kill]:
    """The same in a run of everything, too; of a few tables, for such a run takes long."""
    for kill in kills:
        yield kill
        if kill.table in _ON_THE_WAY and kill.where == "local":
            yield replace(kill, whole=True)


def _event(kind: str) -> Callable[[str], Sequence[Instant]]:
    return lambda table: (Instant(event=f"{kind}:{table}"),)


def _staged(contracts: Contracts) -> Iterator[Kill]:
    yield from _on_both(_whole(_each("staged", (*BRONZE, *SILVER, *GOLD), _event("Staged"))))


def _entry(name: str, *, after: bool) -> Callable[[Contracts], Iterator[Kill]]:
    def kills(contracts: Contracts) -> Iterator[Kill]:
        def instants(table: str) -> Sequence[Instant]:
            return [named(contracts[table].path, nth, after=after) for nth in (1, 2)[: 1 + (table in IN_WINDOWS)]]

        yield from _on_both(_whole(_each(name, (*BRONZE, *SILVER, *GOLD), instants)))

    return kills


def _unrecorded(contracts: Contracts) -> Iterator[Kill]:
    yield from _on_both(_each("before-the-store", BRONZE, _event("Committed")))


def _between(contracts: Contracts) -> Iterator[Kill]:
    yield from _on_both(_each("between-windows", IN_WINDOWS, lambda table: (Instant(event=f"Recorded:{table}"),)))


def _quarantined(contracts: Contracts) -> Iterator[Kill]:
    for table, numbers in WITH_QUARANTINE.items():
        yield from _on_both(_whole(_each("after-quarantine", (table,), _event("Refused"), numbers)))


def _rejected(contracts: Contracts) -> Iterator[Kill]:
    yield from _on_both(_each("after-rejects", WITH_REJECTS, _event("Refused")))


def _evidenced(contracts: Contracts) -> Iterator[Kill]:
    instant = named(EVIDENCE, after=True)
    yield from _on_both(_each("after-evidence", (*SILVER, *GOLD), lambda table: (instant,)))


def _merging(contracts: Contracts) -> Iterator[Kill]:
    """The table of rejects is there, made by a log entry of its own, and the files of the merge; it is not committed."""
    for table in WITH_REJECTS:
        for number in _BOTH:
            yield from _on_both(iter([Kill("in-a-merge", table, number, named(f"rejects/{table}", 2 - number))]))


def _refusing(contracts: Contracts) -> Iterator[Kill]:
    for table, numbers in WITH_QUARANTINE.items():
        yield from _on_both(_each("in-quarantine", (table,), lambda name: (named(f"quarantine/{name}"),), numbers))


def _replacing(contracts: Contracts) -> Iterator[Kill]:
    """Some of the new files are there."""

    def instants(table: str) -> Sequence[Instant]:
        return [Instant(file=f"{contracts[table].path}/*.parquet", after=True)]

    yield from _on_both(_whole(_each("in-a-replace", (*SILVER, *GOLD), instants)))


def _judging(contracts: Contracts) -> Iterator[Kill]:
    def instants(table: str) -> Sequence[Instant]:
        # The first read: of a small table there may be no other.
        return [Instant(f"Judging:{table}", f"{contracts[table].path}/*.parquet", "read")]

    yield from _each("in-the-gate", (*SILVER, *GOLD), instants)
    for kill in _each("in-the-gate", (*SILVER, *GOLD), _event("Judging")):
        yield replace(kill, where="s3")


def _vacuuming(contracts: Contracts) -> Iterator[Kill]:
    """A run has left files; of these and of the last versions' some are removed."""
    for table in (*SILVER, *GOLD, *BRONZE):
        removed = Instant(file=f"{contracts[table].path}/*.parquet", call="removed", after=True)
        kills = _each("in-a-vacuum", (table,), _event("Staged"))
        yield from _on_both(replace(kill, vacuum=removed) for kill in kills)


def _retrying(contracts: Contracts) -> Iterator[Kill]:
    for table, (source, connections) in _BEHIND_A_DOOR.items():
        for number in _BOTH:
            for connection in connections:
                yield from _on_both(iter([Kill("in-a-retry", table, number, Slam(source, connection))]))


_BEHIND_A_DOOR = {
    "fx_vendor_rates": ("fx_vendor", (1, 2)),
    "redshift_behavior": ("redshift", (1,)),  # if its second is slammed the first is asked again, and no third comes
    "salesforce_accounts": ("salesforce", (1, 2)),
}

POINTS: Mapping[str, Point] = {
    each.name: each
    for each in (
        Point("staged", "files are written that no commit names", _staged),
        Point("before-the-entry", "the log entry is about to get its name", _entry("before-the-entry", after=False)),
        Point("after-the-entry", "the log entry has just got its name", _entry("after-the-entry", after=True)),
        Point("before-the-store", "committed, and the state store does not know", _unrecorded),
        Point("between-windows", "one window landed, the next has not", _between),
        Point("after-rejects", "rejects are kept, the rows beside them have not landed", _rejected),
        Point("in-quarantine", "what is refused is written, quarantine is not committed", _refusing),
        Point("after-quarantine", "quarantine is committed, evidence and target are not", _quarantined),
        Point("after-evidence", "the evidence is kept, the target is not committed", _evidenced),
        Point("in-a-merge", "the files of a merge are written, it is not committed", _merging),
        Point("in-a-replace", "some files of the new state of a table are written", _replacing),
        Point("in-the-gate", "the gate reads the candidate", _judging),
        Point("in-a-vacuum", "some files that nobody needs are removed, others are not yet", _vacuuming),
        Point("in-a-retry", "a source failed once and is asked again", _retrying),
    )
}


def planned(
    contracts: Contracts,
    seed: int,
    kills: int,
    points: Sequence[str] = (),
    where: Where | None = None,
    whole: bool = True,
) -> list[Kill]:
    """So many kills, the same for the same seed: every point as often, over as many tables and both runs as it has.

    With `whole`, some are of runs of everything.
    """
    chance = random.Random(seed)
    chosen = []
    for name in points or POINTS:
        candidates = POINTS[name].candidates(contracts)
        candidates = [each for each in candidates if where in (None, each.where) and (whole or not each.whole)]
        chosen.append(_spread(candidates, chance))
    share = -(-kills // len(chosen))
    queues = [list(islice(cycle(candidates), share)) for candidates in chosen if candidates]
    together = [kill for kills_of_points in zip_longest(*queues) for kill in kills_of_points if kill is not None]
    return together[:kills]


def _spread(kills: Sequence[Kill], chance: random.Random) -> list[Kill]:
    """Shuffled, but such that each is of the run, the lake and the table that came least often before it."""
    left, spread, used = list(kills), list[Kill](), Counter[object]()
    chance.shuffle(left)
    while left:
        kill = min(left, key=lambda each: (used[each.number, each.where], used[each.table], each.whole))
        left.remove(kill)
        spread.append(kill)
        used.update([(kill.number, kill.where), kill.table])
    return spread


def contract_of(kill: Kill, contracts: Contracts) -> Contract | None:
    """The table that the killed run moves; None if it moves everything."""
    return None if kill.whole else contracts[kill.table]
