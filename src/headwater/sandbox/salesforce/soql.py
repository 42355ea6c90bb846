"""SOQL, parsed: what a query says, as data, or Salesforce's complaint about it."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any, Literal, TypeAlias

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedEOF, UnexpectedInput, UnexpectedToken, VisitError

MAX_OFFSET = 2000


class QueryRefused(Exception):
    """Salesforce's answer to a query that it does not take: one of its documented error codes, and its words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Name:
    """A field or object as the query spells it, and where."""

    text: str
    position: int = 0


@dataclass(frozen=True)
class Text:
    """A quoted string; `pattern` keeps the backslash before a `%` or `_` that stands for itself."""

    value: str
    pattern: str


Value: TypeAlias = Text | datetime | date | Decimal | bool | None


@dataclass(frozen=True)
class Comparison:
    """`field operator value`; operators are =, !=, <, <=, >, >= and LIKE."""

    field: Name
    operator: str
    value: Value


@dataclass(frozen=True)
class Membership:
    """`field [NOT] IN (values)`."""

    field: Name
    values: tuple[Value, ...]
    negated: bool


@dataclass(frozen=True)
class Not:
    """The opposite of a condition."""

    condition: "Condition"


@dataclass(frozen=True)
class Joined:
    """Several conditions, all or any of which must hold."""

    word: Literal["AND", "OR"]
    conditions: tuple["Condition", ...]


Condition: TypeAlias = Comparison | Membership | Not | Joined


@dataclass(frozen=True)
class Aggregate:
    """`FUNCTION(field) alias`; COUNT() has no field."""

    function: Name
    field: Name | None
    alias: str | None


@dataclass(frozen=True)
class Ordering:
    """One item of ORDER BY; nulls come first unless the query says otherwise."""

    field: Name
    descending: bool
    nulls_last: bool


@dataclass(frozen=True)
class Query:
    """One SELECT."""

    text: str
    items: tuple[Name | Aggregate, ...]
    object: Name
    alias: str | None
    where: Condition | None
    order: tuple[Ordering, ...]
    limit: int | None
    offset: int

    @property
    def is_aggregate(self) -> bool:
        """Whether it asks for counts or extremes rather than for records."""
        return any(isinstance(item, Aggregate) for item in self.items)

    @property
    def is_count(self) -> bool:
        """Whether it is `SELECT COUNT()`, whose answer is only a total."""
        return len(self.items) == 1 and isinstance(self.items[0], Aggregate) and self.items[0].field is None

    def refusal(self, code: str, name: Name, message: str) -> QueryRefused:
        """Salesforce's complaint about one word of this query, with the place shown."""
        return QueryRefused(code, _shown(self.text, name.position, message))


def parse(text: str) -> Query:
    """What the query says.

    Raises:
        QueryRefused: it is not SOQL, or not the part of it that the stand-in speaks.
    """
    try:
        parts = _Parts().transform(_grammar().parse(text))
    except UnexpectedEOF as error:
        raise QueryRefused("MALFORMED_QUERY", "unexpected token: '<EOF>'") from error
    except UnexpectedInput as error:
        raise QueryRefused("MALFORMED_QUERY", _unexpected(text, error)) from error
    except VisitError as error:
        if isinstance(error.orig_exc, QueryRefused):
            raise error.orig_exc from error
        raise
    query = Query(text=text, **parts)
    if query.offset > MAX_OFFSET:
        raise QueryRefused("NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
    counts = [item for item in query.items if isinstance(item, Aggregate) and item.field is None]
    if counts and (len(query.items) > 1 or counts[0].function.text.upper() != "COUNT"):
        raise query.refusal("MALFORMED_QUERY", counts[0].function, f"unexpected token: '{counts[0].function.text}'")
    return query


@cache
def _grammar() -> Lark:
    grammar = (resources.files("headwater.sandbox.salesforce") / "soql.lark").read_text(encoding="utf-8")
    return Lark(grammar, start="query", parser="lalr", propagate_positions=True)


def _unexpected(text: str, error: UnexpectedInput) -> str:
    position = error.pos_in_stream or 0
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return "unexpected token: '<EOF>'"
    word = re.match(r"\w+|\S", text[position:])
    return _shown(text, position, f"unexpected token: '{word.group() if word else ''}'")


def _shown(text: str, position: int, message: str) -> str:
    """The message as Salesforce gives it: the query around the place, a caret below, row and column."""
    row = text.count("\n", 0, position) + 1
    column = position - (text.rfind("\n", 0, position) + 1)
    line = text.split("\n")[row - 1]
    begin = max(0, column - 40)
    return (
        f"\n{line[begin : column + 40]}\n{' ' * (column - begin)}^\nERROR at Row:{row}:Column:{column + 1}\n{message}"
    )


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}


def _text(token: str) -> Text:
    value, pattern = [], []
    for part in re.findall(r"\\u[0-9A-Fa-f]{4}|\\.|[^\\]", token[1:-1], re.DOTALL):
        if part in (r"\%", r"\_"):
            value.append(part[1])
            pattern.append(part)
        else:
            literal = part
            if part.startswith("\\"):
                literal = part.encode().decode("unicode_escape") if len(part) > 2 else _ESCAPES.get(part[1], "")
                if not literal:
                    raise QueryRefused(
                        "MALFORMED_QUERY",
                        f"Invalid string literal '{token[1:-1]}'. Illegal character sequence '{part}'",
                    )
            value.append(literal)
            pattern.append("\\\\" if literal == "\\" else literal)
    return Text("".join(value), "".join(pattern))


def _value(token: Token) -> Value:
    try:
        match token.type:
            case "STRING":
                return _text(token)
            case "DATETIME":
                return datetime.fromisoformat(token.upper()).astimezone(UTC)
            case "DATE":
                return date.fromisoformat(token)
            case "BOOLEAN":
                return token.upper() == "TRUE"
            case "NULL":
                return None
            case _:
                return Decimal(token)
    except ValueError as error:
        raise QueryRefused("MALFORMED_QUERY", f"Invalid date: {token}") from error


@v_args(inline=True)
class _Parts(Transformer[Token, dict[str, Any]]):
    """Turns the parse tree into the classes above, from the leaves up."""

    def query(self, items: tuple[Any, ...], name: Token, *rest: Any) -> dict[str, Any]:
        parts: dict[str, Any] = {"alias": None, "where": None, "order": (), "limit": None, "offset": 0}
        for part in rest:
            parts |= {"alias": str(part)} if isinstance(part, Token) else part
        return parts | {"items": items, "object": Name(str(name), name.start_pos or 0)}

    def selection(self, *items: Any) -> tuple[Any, ...]:
        return items

    def path(self, *names: Token) -> Name:
        return Name(".".join(names), names[0].start_pos or 0)

    def function(self, name: Token, *rest: Any) -> Aggregate:
        field = next((each for each in rest if isinstance(each, Name)), None)
        alias = next((str(each) for each in rest if isinstance(each, Token)), None)
        return Aggregate(Name(str(name), name.start_pos or 0), field, alias)

    def where(self, condition: Condition) -> dict[str, Any]:
        return {"where": condition}

    def conjunction(self, *conditions: Condition) -> Joined:
        return Joined("AND", conditions)

    def disjunction(self, *conditions: Condition) -> Joined:
        return Joined("OR", conditions)

    def negation(self, condition: Condition) -> Not:
        return Not(condition)

    def comparison(self, field: Name, operator: Token, value: Value) -> Comparison:
        return Comparison(field, "!=" if operator == "<>" else str(operator), value)

    def likeness(self, field: Name, value: Value) -> Comparison:
        return Comparison(field, "LIKE", value)

    def negated(self) -> Literal["NOT"]:
        return "NOT"

    def membership(self, field: Name, *rest: Any) -> Membership:
        negated = bool(rest) and rest[0] == "NOT" and isinstance(rest[0], str)
        return Membership(field, tuple(rest[1:] if negated else rest), negated)

    def value(self, token: Token) -> Value:
        return _value(token)

    def order(self, *orderings: Ordering) -> dict[str, Any]:
        return {"order": orderings}

    def ordering(self, field: Name, *words: Token) -> Ordering:
        types = {word.type for word in words}
        return Ordering(field, descending="DESC" in types, nulls_last="LAST" in types)

    def limit(self, number: Token) -> dict[str, Any]:
        return {"limit": int(number)}

    def offset(self, number: Token) -> dict[str, Any]:
        return {"offset": int(number)}
