"""What a contract says of each column: its type, its rules on values, what it refers to."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import cast, get_args

from headwater.contracts.contract import CLASSIFICATIONS, Column, Comparison, ForeignKey
from headwater.contracts.files import Place
from headwater.contracts.standard import Node
from headwater.contracts.types import arrow_type

Say = Callable[[Place, str], None]
"""Takes what is wrong, and where."""

_BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusive_minimum": "exclusiveMinimum",
    "exclusive_maximum": "exclusiveMaximum",
}
_OWN_PROPERTIES = ("joinedWith", "comparedAs")
# Sail's expressions have none; Spark's would.
_AROUND = re.compile(r"\(\?<?[=!]|\\[1-9]")


def columns_of(properties: list[Node], say: Say) -> Iterator[Column]:
    """Every column, as far as it can be read."""
    for number, field in enumerate(properties):
        place = ("schema", 0, "properties", number)
        name, spark_type = str(field["name"]), str(field.get("physicalType") or "")
        try:
            arrow_type(spark_type)
        except ValueError as error:
            said = str(error) if spark_type else "it is missing"
            say((*place, "physicalType"), f"{name}.physicalType: {said}")
            continue
        options: Node = field.get("logicalTypeOptions") or {}
        own = own_properties(field, _OWN_PROPERTIES, place, f"{name}.", say)
        column = Column(
            name=name,
            type=spark_type,
            description=field.get("description") or "",
            required=bool(field.get("required") or field.get("primaryKey")),
            unique=bool(field.get("unique")),
            allowed=_allowed(field, place, say),
            pattern=options.get("pattern"),
            min_length=options.get("minLength"),
            max_length=options.get("maxLength"),
            classification=field.get("classification"),
            joined_with=tuple(own.get("joinedWith", "").replace(",", " ").split()),
            compared_as=_comparison(own.get("comparedAs"), name, place, say),
            **{mine: options.get(theirs) for mine, theirs in _BOUNDS.items()},
        )
        _check(column, field, place, say)
        yield column


def foreign_keys_of(properties: list[Node], say: Say) -> Iterator[ForeignKey]:
    for number, field in enumerate(properties):
        for relationship in field.get("relationships") or []:
            name, to = str(field["name"]), str(relationship["to"])
            parent, _, column = to.partition(".")
            if column and "." not in column:
                yield ForeignKey(column=name, parent=parent, parent_column=column)
            else:
                place = ("schema", 0, "properties", number, "relationships")
                say(place, f"{name}.relationships: {to} should read table.column")


def own_properties(node: Node, known: tuple[str, ...], place: Place, above: str, say: Say) -> dict[str, str]:
    """What a contract says in the standard's place for what is its reader's own."""
    own = {str(each["property"]): str(each["value"]) for each in node.get("customProperties") or []}
    if unknown := own.keys() - set(known):
        where = (*place, "customProperties")
        say(where, f"{above}customProperties has {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return own


def _comparison(told: str | None, name: str, place: Place, say: Say) -> Comparison | None:
    if told is not None and told not in get_args(Comparison):
        known = ", ".join(get_args(Comparison))
        say((*place, "customProperties"), f"{name}: comparedAs {told} is none of {known}")
        return None
    return cast("Comparison | None", told)


def _allowed(field: Node, place: Place, say: Say) -> tuple[str, ...]:
    """The column's closed set of values: v3.1 says it as a quality check, later versions as `enum`."""
    checks = field.get("quality") or []
    values = [each["value"] for each in field.get("enum") or []]
    for number, check in enumerate(checks):
        key, where = f"{field['name']}.quality[{number}]", (*place, "quality", number)
        given = check.get("arguments") or {}
        if check.get("metric") != "invalidValues" or check.get("mustBe") != 0 or set(given) != {"validValues"}:
            say(
                where,
                f"{key}: of a column only the metric invalidValues with validValues and mustBe: 0 is checked; "
                "write required, unique, a pattern or a range as such",
            )
        elif values:
            say(where, f"{key}: the allowed values are said twice")
        elif not given["validValues"]:
            say(where, f"{key}.validValues is empty: no value would be allowed")
        else:
            values = list(given["validValues"])
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def _check(column: Column, field: Node, place: Place, say: Say) -> None:
    if column.classification is not None and column.classification not in CLASSIFICATIONS:
        known = ", ".join(CLASSIFICATIONS)
        say((*place, "classification"), f"{column.name}.classification is {column.classification}; known: {known}")
    items = (field.get("items") or {}).get("physicalType")
    if items and column.type != f"array<{items}>":
        say((*place, "items"), f"{column.name}.items are {items}, but the column is {column.type}")
    where, key = (*place, "logicalTypeOptions"), f"{column.name}.logicalTypeOptions"
    if (column.bounds or column.lengths or column.pattern) and column.type in ("boolean", "binary"):
        say(where, f"{key}: values of the type {column.type} have no order and no pattern")
    if column.allowed and (column.type == "binary" or column.type.startswith("array")):
        say(place, f"{column.name}: values of the type {column.type} cannot be listed")
    if column.pattern is not None:
        try:
            re.compile(column.pattern)
            wrong = "looks around or back, which not every engine can" if _AROUND.search(column.pattern) else ""
        except re.error as error:
            wrong = f"is no regular expression: {error}"
        if wrong:
            say(where, f"{key}.pattern {wrong}")
    if (column.min_length or 0) > (column.max_length if column.max_length is not None else 2**31):
        say(where, f"{key}: minLength is above maxLength, so no value fits")
    _check_range(column, where, key, say)


def _check_range(column: Column, where: Place, key: str, say: Say) -> None:
    given = {theirs: getattr(column, mine) for mine, theirs in _BOUNDS.items()}
    ends: dict[str, float | date] = {}
    for name, bound in given.items():
        if bound is None:
            continue
        if isinstance(bound, str) != (column.type in ("date", "timestamp")):
            say(where, f"{key}.{name}: {bound!r} is no bound for {column.type}")
            continue
        try:
            ends[name] = instant_of(bound, column.type) if isinstance(bound, str) else bound
        except ValueError:
            say(where, f"{key}.{name}: {bound!r} is no {column.type} such as 2024-11-02 or 2024-11-02T10:00:00")
    lows = [ends[name] for name in ("minimum", "exclusiveMinimum") if name in ends]
    highs = [ends[name] for name in ("maximum", "exclusiveMaximum") if name in ends]
    if any(low > high for low in lows for high in highs):  # type: ignore[operator] # both are of the column's type
        say(where, f"{key}: the minimum is above the maximum, so no value fits")


def instant_of(bound: str, spark_type: str) -> date:
    """The end of a range of dates or timestamps; a timestamp without a zone is UTC.

    Raises:
        ValueError: the text is none.
    """
    if spark_type == "date":
        return date.fromisoformat(bound)
    told = datetime.fromisoformat(bound)
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
