"""The records of a Salesforce organisation at one instant, and how a query finds them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, TypeAlias, assert_never

import duckdb
import pyarrow as pa

from headwater.sandbox.salesforce.soql import (
    Aggregate,
    Comparison,
    Condition,
    Joined,
    Membership,
    Name,
    Not,
    Query,
    QueryRefused,
    Text,
    Value,
)
from headwater.sandbox.visible import served, versions

Kind: TypeAlias = Literal[
    "id", "reference", "string", "picklist", "email", "phone", "textarea", "currency", "percent", "double", "int",
    "date", "datetime", "boolean",
]  # fmt: skip
_TEXTS = {"string", "picklist", "email", "phone", "textarea"}
_NUMBERS = {"currency", "percent", "double", "int"}
_KNOWN_KINDS: dict[str, Kind] = {
    **dict.fromkeys(
        (
            "Industry",
            "LeadSource",
            "Origin",
            "Priority",
            "Rating",
            "Reason",
            "StageName",
            "Status",
            "TaskSubtype",
            "Type",
        ),
        "picklist",
    ),
    **dict.fromkeys(("Description", "SolutionNote"), "textarea"),
    "Email": "email",
    "SuppliedEmail": "email",
    "Phone": "phone",
    "BillingStreet": "textarea",
    "Probability": "percent",
}
_POLYMORPHIC = {"Who": ("Contact", "Lead"), "What": ("Account", "Case", "Opportunity", "Solution")}
_RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_HINT = (
    "If you are attempting to use a custom {what}, be sure to append the '__c' after the {where} name. "
    "Please reference your WSDL or the describe call for the appropriate names."
)


@dataclass(frozen=True)
class Field:
    """One field of an object, by Salesforce's name and type."""

    name: str
    kind: Kind
    precision: int = 0
    scale: int = 0

    @property
    def refers_to(self) -> list[str]:
        """The objects whose ids a reference may hold; a task's two may hold those of several."""
        if self.kind != "reference":
            return []
        relation = self.name.removesuffix("Id")
        return list(_POLYMORPHIC.get(relation, (relation.removeprefix("Converted"),)))


@dataclass(frozen=True)
class SObject:
    """An object's fields, in the file's order and then IsDeleted."""

    name: str
    file: Path
    fields: tuple[Field, ...]

    @classmethod
    def of(cls, file: Path) -> "SObject":
        """The object that a dataset's file of the same name holds."""
        fields = [_field(column) for column in served(file) if not column.name.startswith("_")]
        return cls(file.stem, file, (*fields, Field("IsDeleted", "boolean")))


def _field(column: pa.Field) -> Field:
    kind = column.type
    if pa.types.is_decimal(kind):
        return Field(column.name, _KNOWN_KINDS.get(column.name, "currency"), kind.precision, kind.scale)
    if column.name == "Id":
        return Field("Id", "id")
    if column.name.endswith("Id"):
        return Field(column.name, "reference")
    guessed: Kind = "string"
    if pa.types.is_timestamp(kind):
        guessed = "datetime"
    elif pa.types.is_date(kind):
        guessed = "date"
    elif pa.types.is_boolean(kind):
        guessed = "boolean"
    elif pa.types.is_integer(kind):
        guessed = "int"
    elif pa.types.is_floating(kind):
        guessed = "double"
    return Field(column.name, _KNOWN_KINDS.get(column.name, guessed))


@dataclass(frozen=True)
class Records:
    """What a query found: one column per item, named as answered; `ids` beside them unless it aggregates."""

    object: SObject
    fields: tuple[Field, ...]
    rows: pa.Table
    ids: pa.ChunkedArray | None


class Org:
    """All records that stand at one instant; it never changes: another instant is another `Org`.

    Salesforce keeps milliseconds: finer digits of a dataset's times are cut off. A deleted record keeps its fields,
    has IsDeleted, and counts as modified when it was deleted.
    """

    def __init__(self, dataset: Path, at: datetime) -> None:
        """Load what `dataset` shows at `at`."""
        self.clock = at
        self.objects = {file.stem: SObject.of(file) for file in sorted((dataset / "salesforce").glob("*.parquet"))}
        self._memory = duckdb.connect(":memory:", config={"threads": 1})
        for each in self.objects.values():
            self._load(each)

    def _load(self, sobject: SObject) -> None:
        columns = ", ".join(_shown_column(field) for field in sobject.fields)
        instant = int(self.clock.astimezone(UTC).timestamp()) * 1_000_000 + self.clock.microsecond
        shown = self._memory.sql(
            f"""
            SELECT {columns} FROM (
                SELECT *, coalesce(epoch_us(_deleted_at) <= $clock, false) AS _deleted
                FROM {versions(sobject.file)} WHERE epoch_us(_visible_at) <= $clock
                QUALIFY row_number() OVER (PARTITION BY "Id" ORDER BY _visible_at DESC, file_row_number DESC) = 1)
            ORDER BY "Id"
            """,  # noqa: S608 - the names are the file's, quoted
            params={"clock": instant},
        ).to_arrow_table()
        self._memory.register("shown", shown)
        self._memory.execute(f"CREATE TABLE {_quoted(sobject.name)} AS FROM shown")
        self._memory.unregister("shown")

    def find(self, query: Query, *, deleted_too: bool) -> Records:
        """The records that a query asks for; `deleted_too` as in `queryAll`.

        Raises:
            QueryRefused: it names what does not exist, or compares what cannot be compared.
        """
        return _Statement(self._object(query), query, deleted_too=deleted_too).run(self._memory.cursor())

    def check(self, query: Query) -> None:
        """Find what is wrong with a query, without asking it.

        Raises:
            QueryRefused: as `find`.
        """
        _Statement(self._object(query), query, deleted_too=False).compile()

    def _object(self, query: Query) -> SObject:
        wanted = query.object.text.lower()
        for each in self.objects.values():
            if each.name.lower() == wanted:
                return each
        message = f"sObject type '{query.object.text}' is not supported. " + _HINT.format(what="object", where="entity")
        raise query.refusal("INVALID_TYPE", query.object, message)


def _shown_column(field: Field) -> str:
    name = _quoted(field.name)
    if field.name == "IsDeleted":
        return f"_deleted AS {name}"
    if field.kind != "datetime":
        return name
    microseconds = f"epoch_us({name})"
    if field.name in {"SystemModstamp", "LastModifiedDate"}:
        microseconds = f"CASE WHEN _deleted THEN epoch_us(_deleted_at) ELSE {microseconds} END"
    return f"make_timestamp(({microseconds}) // 1000 * 1000) AS {name}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _Statement:
    """One SOQL query as SQL; every value is a parameter, every name one of the object's own."""

    def __init__(self, sobject: SObject, query: Query, *, deleted_too: bool) -> None:
        self._object = sobject
        self._query = query
        self._deleted_too = deleted_too
        self._fields = {field.name.lower(): field for field in sobject.fields}
        self._values: list[Any] = []

    def compile(self) -> tuple[str, tuple[Field, ...]]:
        """The SQL, whose parameters are kept, and the fields of the answer."""
        query = self._query
        answered, selected = self._selection()
        conditions = [] if self._deleted_too else ['NOT "IsDeleted"']
        if query.where is not None:
            conditions.append(self._condition(query.where))
        sql = f"SELECT {', '.join(selected)} FROM {_quoted(self._object.name)}"  # noqa: S608 - our own names
        if conditions:
            sql += f" WHERE {' AND '.join(conditions)}"
        if query.order:
            sql += f" ORDER BY {', '.join(self._ordering())}"
        if query.limit is not None:
            sql += f" LIMIT {query.limit:d}"
        if query.offset:
            sql += f" OFFSET {query.offset:d}"
        if query.is_count:
            sql = f"SELECT count(*) FROM ({sql})"  # noqa: S608 - built above, of our own names and of parameters
        return sql, answered

    def run(self, memory: duckdb.DuckDBPyConnection) -> Records:
        """Ask it."""
        sql, answered = self.compile()
        found = memory.sql(sql, params=self._values).to_arrow_table()
        ids = None if self._query.is_aggregate else found.column("Id")
        rows = found if ids is None else found.remove_column(0)
        return Records(self._object, answered, rows, ids)

    def _selection(self) -> tuple[tuple[Field, ...], list[str]]:
        """The fields of the answer, and the SQL of each; records begin with their id."""
        query = self._query
        if query.is_count:
            return (Field("count", "int"),), ["1"]
        if query.is_aggregate:
            pairs = [self._aggregate(item, number) for number, item in enumerate(query.items)]
            return tuple(field for field, _ in pairs), [sql for _, sql in pairs]
        fields = tuple(self._field(item) for item in query.items if isinstance(item, Name))
        seen: set[str] = set()
        for field in fields:
            if field.name in seen:
                raise QueryRefused("MALFORMED_QUERY", f"duplicate field selected: {field.name}")
            seen.add(field.name)
        return fields, ['"Id"', *(f'{_quoted(field.name)} AS "_{at}"' for at, field in enumerate(fields))]

    def _aggregate(self, item: Name | Aggregate, number: int) -> tuple[Field, str]:
        query = self._query
        if isinstance(item, Name):
            message = f"Field must be grouped or aggregated: {item.text}"
            raise query.refusal("MALFORMED_QUERY", item, message)
        function = item.function.text.upper()
        if function not in {"COUNT", "MIN", "MAX"} or item.field is None:
            raise query.refusal("MALFORMED_QUERY", item.function, f"unexpected token: '{item.function.text}'")
        field = self._field(item.field)
        name = item.alias or f"expr{number}"
        answered = Field(name, "int") if function == "COUNT" else Field(name, field.kind, field.precision, field.scale)
        return answered, f'{function}({_quoted(field.name)}) AS "_{number}"'

    def _field(self, name: Name) -> Field:
        first, _, rest = name.text.partition(".")
        own = {self._object.name.lower(), (self._query.alias or "").lower()}
        plain = rest if rest and first.lower() in own else name.text
        if "." in plain:
            message = (
                f"Didn't understand relationship '{first}' in field path: the sandbox has no relationship queries."
            )
            raise self._query.refusal("INVALID_FIELD", name, message)
        field = self._fields.get(plain.lower())
        if field is None:
            message = f"No such column '{plain}' on entity '{self._object.name}'. "
            raise self._query.refusal("INVALID_FIELD", name, message + _HINT.format(what="field", where="custom field"))
        return field

    def _ordering(self) -> list[str]:
        items = []
        for each in self._query.order:
            field = self._field(each.field)
            items.append(
                f"{_comparable(field)} {'DESC' if each.descending else 'ASC'} "
                f"NULLS {'LAST' if each.nulls_last else 'FIRST'}"
            )
        return items

    def _condition(self, condition: Condition) -> str:
        """SQL that is true or false, never null: a comparison with an empty field does not hold, its opposite does."""
        match condition:
            case Joined(word, conditions):
                return "(" + f" {word} ".join(self._condition(each) for each in conditions) + ")"
            case Not(opposite):
                return f"(NOT {self._condition(opposite)})"
            case Comparison():
                return self._comparison(condition)
            case Membership(name, values, negated):
                field = self._field(name)
                alternatives = " OR ".join(self._equal(field, name, value) for value in values)
                return f"(NOT ({alternatives}))" if negated else f"({alternatives})"
            case _:
                assert_never(condition)

    def _comparison(self, comparison: Comparison) -> str:
        name, operator, value = comparison.field, comparison.operator, comparison.value
        field = self._field(name)
        if operator == "=":
            return self._equal(field, name, value)
        if operator == "!=":
            return f"(NOT {self._equal(field, name, value)})"
        if operator == "LIKE":
            if field.kind not in _TEXTS or not isinstance(value, Text):
                raise self._query.refusal("INVALID_FIELD", name, f"invalid operator on {field.kind} field")
            self._values.append(value.pattern)
            return f"coalesce({_quoted(field.name)} ILIKE ? ESCAPE '\\', false)"
        if field.kind == "boolean" or value is None:
            raise self._query.refusal("INVALID_FIELD", name, f"invalid operator on {field.kind} field")
        self._values.append(self._parameter(field, name, value))
        return f"coalesce({_comparable(field)} {operator} {_parameter_sql(field)}, false)"

    def _equal(self, field: Field, name: Name, value: Value) -> str:
        if value is None or (
            isinstance(value, Text) and value.value == "" and field.kind in _TEXTS | {"id", "reference"}
        ):
            return f"({_quoted(field.name)} IS NULL)"
        self._values.append(self._parameter(field, name, value))
        if field.kind in {"id", "reference"}:
            return f"coalesce(left({_quoted(field.name)}, 15) = left(?, 15), false)"
        return f"coalesce({_comparable(field)} = {_parameter_sql(field)}, false)"

    def _parameter(self, field: Field, name: Name, value: Value) -> Any:
        """The value as DuckDB compares it with the field; a value of another type is refused."""
        if field.kind in {"id", "reference"} and isinstance(value, Text):
            if value.value and not _RECORD_ID.fullmatch(value.value):
                raise self._query.refusal("INVALID_QUERY_FILTER_OPERATOR", name, f"invalid ID field: {value.value}")
            return value.value
        if field.kind in _TEXTS and isinstance(value, Text):
            return value.value
        if field.kind in _NUMBERS and isinstance(value, Decimal):
            return value
        if field.kind == "boolean" and isinstance(value, bool):
            return value
        if field.kind == "datetime" and isinstance(value, datetime):
            return value.astimezone(UTC).replace(tzinfo=None)
        if field.kind == "date" and isinstance(value, date) and not isinstance(value, datetime):
            return value
        kind = {"reference": "id", "currency": "double", "percent": "double", "datetime": "dateTime"}.get(
            field.kind, field.kind
        )
        quotes = "should be enclosed" if field.kind in _TEXTS | {"id", "reference"} else "should not be enclosed"
        message = f"value of filter criterion for field '{field.name}' must be of type {kind} and {quotes} in quotes"
        raise self._query.refusal("INVALID_FIELD", name, message)


def _comparable(field: Field) -> str:
    """Salesforce compares text without case, ids with it."""
    return f"lower({_quoted(field.name)})" if field.kind in _TEXTS else _quoted(field.name)


def _parameter_sql(field: Field) -> str:
    return "lower(?)" if field.kind in _TEXTS else "?"
