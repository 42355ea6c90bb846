"""How the values of a column are spread: few bins, their counts, and what follows from them.

A number's bin is one of eight to each doubling, 9 % wide, so quantiles and limits found by bins are that exact. Other
values are bins of their own. No value has the bin None.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final, TypeAlias

from headwater.quality.blocks import Outliers

Bin: TypeAlias = int | str | None
Bins: TypeAlias = Mapping[Bin, int]

OTHERS: Final = "(others)"
"""The bin of all values of a text column that are not among its most common ones."""
MOST_BINS: Final = 200

_PER_DOUBLING: Final = 8
_ZERO: Final = 0
_ONE: Final = 1000
"""The bin in which 1 lies; that of a positive number is above 0."""
_FARTHEST: Final = 900
_NORMAL: Final = 1.4826
"""Median distances in a standard deviation, of a normal distribution; and mean ones."""
_NORMAL_MEAN: Final = 1.2533
_ENOUGH: Final = 20
"""Fewer values than that have no outliers: one could not tell."""


def bin_of(column: str, *, number: bool) -> str:
    """The bin of a column's value in SQL."""
    if not number:
        return f"CAST(`{column}` AS STRING)"
    value = f"CAST(`{column}` AS DOUBLE)"
    size = f"CAST(floor(greatest(least(log2(abs({value})) * {_PER_DOUBLING}, {_FARTHEST}), -{_FARTHEST})) AS INT)"
    return (
        f"CASE WHEN {value} IS NULL OR isnan({value}) THEN NULL WHEN {value} = 0 THEN {_ZERO} "
        f"WHEN {value} > 0 THEN {_ONE} + {size} ELSE -{_ONE} - {size} END"
    )


def middle(of: int) -> float:
    """The value in the middle of a number's bin."""
    if of == _ZERO:
        return 0.0
    return math.copysign(2 ** ((abs(of) - _ONE + 0.5) / _PER_DOUBLING), of)


def quantile(values: Sequence[tuple[float, int]], share: float) -> float:
    """The value below which a share of the counted values lies; `values` are in order and not empty."""
    reached = list(accumulate(count for _, count in values))
    wanted = share * reached[-1]
    return next(value for (value, _), total in zip(values, reached, strict=True) if total >= wanted)


def ends(values: Sequence[tuple[float, int]], how: Outliers) -> tuple[float, float]:
    """Beyond which two ends a value is an outlier."""
    if how.method == "iqr":
        low, high = quantile(values, 0.25), quantile(values, 0.75)
        return low - how.beyond * (high - low), high + how.beyond * (high - low)
    centre = quantile(values, 0.5)
    distances = sorted((abs(value - centre), count) for value, count in values)
    spread = _NORMAL * quantile(distances, 0.5)
    if spread == 0:  # over half are alike
        spread = _NORMAL_MEAN * sum(away * count for away, count in distances) / sum(count for _, count in distances)
    return centre - how.beyond * spread, centre + how.beyond * spread


@dataclass(frozen=True)
class Outlying:
    """How many of a group's values are outliers, beyond which ends they lie, and in which bins."""

    group: str | None
    outliers: int
    of: int
    low: float = -math.inf
    high: float = math.inf
    beyond: tuple[int, ...] = ()


def outlying(group: str | None, bins: Mapping[int, int], how: Outliers) -> Outlying:
    """The outliers among numbers of a group; on a log scale those that are not above 0 are left out."""
    counted = sorted(bins.items())
    if how.scale == "log":
        counted = [(each, count) for each, count in counted if each > 0]
    scaled: Callable[[float], float] = math.log if how.scale == "log" else float
    back: Callable[[float], float] = math.exp if how.scale == "log" else float
    values = [(scaled(middle(each)), count) for each, count in counted]
    of = sum(count for _, count in values)
    if of < _ENOUGH:
        return Outlying(group, 0, of)
    low, high = ends(values, how)
    beyond = {each: count for each, count in counted if not low <= scaled(middle(each)) <= high}
    return Outlying(group, sum(beyond.values()), of, back(low), back(high), tuple(beyond))


def outlying_groups(counted: Iterable[tuple[str | None, int | None, int]], how: Outliers) -> list[Outlying]:
    """The outliers of every group; `counted` are groups, bins of numbers and their rows."""
    groups: dict[str | None, dict[int, int]] = {}
    for group, of, count in counted:
        if of is not None:
            groups.setdefault(group, {})[of] = count
    return [outlying(group, bins, how) for group, bins in groups.items()]


def most_outlying(found: Iterable[Outlying]) -> Outlying:
    """The group that has most outliers."""
    return max(found, key=lambda each: (each.outliers, str(each.group)))


def merged(before: Bins, new: Bins, most: int) -> dict[Bin, int]:
    """New counts on top of those before, which together count for `most` rows at most."""
    standing = sum(before.values())
    kept = min(1.0, most / standing) if standing else 0.0
    both = {each: round(before.get(each, 0) * kept) + new.get(each, 0) for each in {*before, *new}}
    ranked = sorted(both.items(), key=lambda pair: (-pair[1], str(pair[0])))
    return {each: count for each, count in ranked[:MOST_BINS] if count}


def psi(before: Bins, new: Bins) -> float:
    """The population stability index: 0 of the same distribution, 0.25 of one that has clearly moved.

    Numbers are compared by tenths of those before, other values by themselves, the rare ones together.
    """
    places = _places(before)
    old, now = _placed(before, places), _placed(new, places)
    groups = sorted({*old, *now})
    # Half a row is put into each group: an empty one would make the index infinite.
    shares = [
        [(counts.get(group, 0) + 0.5) / (sum(counts.values()) + 0.5 * len(groups)) for group in groups]
        for counts in (old, now)
    ]
    index: float = sum((b - a) * math.log(b / a) for a, b in zip(*shares, strict=True))
    return index


def _places(before: Bins) -> Callable[[Bin], str]:
    """In which group a bin belongs, by what stood before."""
    total = sum(count for each, count in before.items() if each is not None) or 1
    numbers = sorted(each for each in before if isinstance(each, int))
    uppers, reached, group = [], 0, 0
    for each in numbers:
        reached += before[each]
        if reached * 10 >= total * (group + 1):
            uppers.append(each)
            group = reached * 10 // total
    common = {each for each, count in before.items() if isinstance(each, str) and count * 100 >= total}

    def place(each: Bin) -> str:
        match each:
            case None:
                return "null"
            case int():
                return f"number {sum(upper < each for upper in uppers[:-1])}"
            case str():
                return f"text {each}" if each in common else OTHERS

    return place


def _placed(bins: Bins, place: Callable[[Bin], str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each, count in bins.items():
        counts[place(each)] = counts.get(place(each), 0) + count
    return counts


def from_pairs(pairs: Sequence[Sequence[Any]]) -> dict[Bin, int]:
    """Bins as JSON has them: pairs of a bin and its count."""
    return {each: int(count) for each, count in pairs}


def as_pairs(bins: Bins) -> list[list[Any]]:
    return [[each, count] for each, count in bins.items()]
