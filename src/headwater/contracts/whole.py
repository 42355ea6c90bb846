"""What a contract says of its table as a whole: what it keeps of its inputs, how fresh and how large it is."""

from collections.abc import Iterator
from datetime import timedelta

from headwater.contracts.columns import Say
from headwater.contracts.contract import Conservation, Promise
from headwater.contracts.standard import Node

_UNITS = {"d": 86_400, "day": 86_400, "days": 86_400, "h": 3_600, "hour": 3_600, "hours": 3_600}
_UNITS |= {"m": 60, "min": 60, "minute": 60, "minutes": 60}


def conserved_of(table: Node, say: Say) -> Iterator[Conservation]:
    """The queries whose one value must be 0."""
    for number, check in enumerate(table.get("quality") or []):
        key, place = f"quality[{number}]", ("schema", 0, "quality", number)
        if check.get("metric") == "rowCount":
            continue
        if check.get("type") != "sql" or check.get("mustBe") != 0:
            say(place, f"{key}: of a whole table only rowCount and checks of type sql with mustBe: 0 are made")
            continue
        for word in ("name", "description"):
            if not check.get(word):
                say(place, f"{key}.{word} is missing")
        told = str(check.get("description") or "")
        yield Conservation(str(check.get("name") or ""), told, str(check["query"]).strip())


def promised_of(document: Node, table: Node, say: Say) -> Promise:
    """Its freshness (`slaProperties`) and the rows that it has (`quality` with the metric rowCount)."""
    max_age, of = _freshness(document, table, say)
    least, most = _rows(table, say)
    return Promise(max_age, of, least, most)


def _freshness(document: Node, table: Node, say: Say) -> tuple[timedelta | None, str | None]:
    found: tuple[timedelta | None, str | None] = (None, None)
    columns = {str(each["name"]): each.get("physicalType") for each in table.get("properties") or []}
    for number, promise in enumerate(document.get("slaProperties") or []):
        key, place = f"slaProperties[{number}]", ("slaProperties", number)
        value, unit = promise["value"], str(promise.get("unit"))
        of = str(promise["element"]).removeprefix(f"{table.get('name')}.") if promise.get("element") else None
        if promise["property"] != "freshness":
            say(place, f"{key}: only freshness is held to, not {promise['property']}")
        elif isinstance(value, bool) or not isinstance(value, int | float) or value <= 0 or unit not in _UNITS:
            say(place, f"{key}: freshness is a number with the unit d, h or min, not {value} {unit}")
        elif of is not None and columns.get(of) not in ("date", "timestamp"):
            say(place, f"{key}.element: {of} is no date or timestamp column of this table")
        elif found != (None, None):
            say(place, f"{key}: freshness is promised twice")
        else:
            found = timedelta(seconds=value * _UNITS[unit]), of
    return found


def _rows(table: Node, say: Say) -> tuple[int | None, int | None]:
    least: int | None = None
    most: int | None = None
    for number, check in enumerate(table.get("quality") or []):
        if check.get("metric") != "rowCount":
            continue
        if "mustBeBetween" in check:
            least, most = (int(end) for end in check["mustBeBetween"])
        elif "mustBeGreaterOrEqualTo" in check:
            least = int(check["mustBeGreaterOrEqualTo"])
        elif "mustBeLessOrEqualTo" in check:
            most = int(check["mustBeLessOrEqualTo"])
        else:
            place = ("schema", 0, "quality", number)
            say(
                place,
                f"quality[{number}]: a rowCount mustBeBetween, mustBeGreaterOrEqualTo or mustBeLessOrEqualTo a number",
            )
    if least is not None and most is not None and most < least:
        say(("schema", 0, "quality"), "quality: the largest rowCount is below the smallest, so every volume fails")
    return least, most
