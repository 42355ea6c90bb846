"""The columns of a dataset's Parquet file: which types serve, and which rows break the page's rules."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from headwater.sandbox.datasets.findings import Finding, listed
from headwater.sandbox.datasets.folder import CURSORS, PARTITIONS, SOURCE_SCHEMAS

_INT64_MAX = 2**63 - 1
_WIDEST_DECIMAL = 38


@dataclass(frozen=True)
class RowRule:
    """A condition in SQL under which a row is wrong.

    Attributes:
        shows: the columns whose values belong into the message.
        window: an expression over other rows that `broken` reads as the column `alias`.
    """

    column: str
    broken: str
    problem: str
    fix: str
    shows: tuple[str, ...] = ()
    error: bool = True
    window: str = ""
    alias: str = ""


def column_findings(name: str, schema: pa.Schema) -> Iterator[Finding]:
    """Columns that lack, that nobody knows, or whose type cannot hold what the page says."""
    file, wanted = f"{name}.parquet", SOURCE_SCHEMAS[name]
    missing = [each for each in wanted if each.name not in schema.names]
    for field in missing:
        if not field.nullable or field.name == "_deleted_at":
            fix = f"add it as {shown(field.type)}" + (", null in rows that are not deleted" if field.nullable else "")
            yield Finding(file, "the column is missing", fix, None, field.name)
    for column in schema.names:
        if column not in wanted.names:
            near = difflib.get_close_matches(column.lower(), [each.name.lower() for each in missing], 1)
            meant = next((each.name for each in missing if near and each.name.lower() == near[0]), None)
            fix = f"rename it to {meant}" if meant else f"take it out; known are {listed(wanted.names)}"
            yield Finding(file, "the table has no such column", fix, None, column)
    if twice := sorted({each for each in schema.names if schema.names.count(each) > 1}):
        yield Finding(file, f"{listed(twice)} stands there twice", "keep one", None, twice[0])
    for field in wanted:
        if field.name in schema.names and (problem := _unfit(field, schema.field(field.name).type)):
            yield Finding(file, problem[0], problem[1], None, field.name)
        elif field.name in schema.names and (remark := _zone(schema.field(field.name).type)):
            yield Finding(
                file, remark, "days and months are those of the instant in UTC", None, field.name, error=False
            )


def shown(kind: pa.DataType) -> str:
    """A type as the page spells it."""
    if pa.types.is_timestamp(kind):
        return f"timestamp({kind.unit}{f', {kind.tz}' if kind.tz else ''})"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    if pa.types.is_list(kind):
        return "list of struct(key string, value binary)"
    return str(kind).replace("[day]", "")


def _unfit(field: pa.Field, kind: pa.DataType) -> tuple[str, str] | None:
    """Why a column of this type cannot be served as the field, and what to do; None if it can."""
    if serves(field, kind):
        return None
    wanted = f"write it as {shown(field.type)}"
    said = f"it is {shown(kind)}, not {shown(field.type)}"
    if pa.types.is_timestamp(field.type) and pa.types.is_timestamp(kind):
        if kind.tz is None:
            return f"{said}: without a zone nobody knows which instants are meant", f"{wanted}: say that it is UTC"
        return f"{said}: sources keep microseconds", wanted
    if pa.types.is_decimal(field.type) and pa.types.is_floating(kind):
        return f"{said}: a floating point number is not the amount that was written", wanted
    if pa.types.is_null(kind):
        return f"{said}: it is null throughout and may not be null", wanted
    return said, wanted


def serves(field: pa.Field, kind: pa.DataType) -> bool:
    """Whether a column of type `kind` can hold the field's values without loss; whether each fits is for the rows."""
    wanted = field.type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_null(kind):
        return bool(field.nullable)
    if pa.types.is_string(wanted):
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
    if pa.types.is_binary(wanted):
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))
    if pa.types.is_integer(wanted):
        return bool(pa.types.is_integer(kind))
    if pa.types.is_decimal(wanted):
        return bool(pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.precision <= _WIDEST_DECIMAL))
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(kind) and kind.tz is not None and kind.unit != "ns")
    if pa.types.is_list(wanted):
        return _is_headers(kind)
    return bool(kind.equals(wanted))


def _is_headers(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)) or not pa.types.is_struct(kind.value_type):
        return False
    inner = {each.name: each for each in kind.value_type}
    key, value = pa.field("key", pa.string(), nullable=False), pa.field("value", pa.binary())
    return inner.keys() == {"key", "value"} and serves(key, inner["key"].type) and serves(value, inner["value"].type)


def _zone(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind) and kind.tz not in (None, "UTC", "+00:00", "Etc/UTC", "Z"):
        return f"its zone is {kind.tz}; the instants are served in UTC"
    return ""


def row_rules(name: str, schema: pa.Schema) -> list[RowRule]:
    """What the rows of a file must not be, for those of its columns whose type serves."""
    fields = [each for each in SOURCE_SCHEMAS[name] if each.name in schema.names]
    fit = {each.name: schema.field(each.name).type for each in fields if serves(each, schema.field(each.name).type)}
    rules = [rule for each in fields if each.name in fit for rule in _of_column(each, fit[each.name])]
    if name.startswith("kafka/"):
        return rules + _of_messages(fit)
    return rules + _of_versions(name, fit) + _of_source(name, fit)


def _of_column(field: pa.Field, kind: pa.DataType) -> Iterator[RowRule]:
    name, quoted = field.name, f'"{field.name}"'
    if not field.nullable:
        yield RowRule(name, f"{quoted} IS NULL", "it is null", "give it a value: this column has none without")
    if pa.types.is_integer(field.type) and pa.types.is_uint64(kind):
        problem = f"it is more than {_INT64_MAX}"
        yield RowRule(name, f"{quoted} > {_INT64_MAX}", problem, "no source keeps larger whole numbers", (name,))
    if pa.types.is_decimal(field.type) and not kind.equals(field.type):
        narrow = f"TRY_CAST({quoted} AS DECIMAL({field.type.precision},{field.type.scale}))"
        broken = f"{quoted} IS NOT NULL AND ({narrow} IS NULL OR {narrow} <> {quoted})"
        problem = f"it does not fit {shown(field.type)}"
        yield RowRule(name, broken, problem, "round it, or leave the row out", (name,))


def _of_versions(name: str, fit: dict[str, pa.DataType]) -> list[RowRule]:
    """Rules 5 and 6 of the page, for a file of row versions."""
    rules, cursor = [], CURSORS.get(name)
    if cursor in fit and "_visible_at" in fit:
        problem, fix = "it is later than _visible_at", "a source shows no row before it stamped it: move one of the two"
        rules.append(RowRule(str(cursor), f'"{cursor}" > "_visible_at"', problem, fix, (str(cursor), "_visible_at")))
    if "_deleted_at" in fit and "_visible_at" in fit and not pa.types.is_null(fit["_deleted_at"]):
        problem, fix = "it is not later than _visible_at", "delete a version after it was shown, or leave the row out"
        broken = '"_deleted_at" <= "_visible_at"'
        rules.append(RowRule("_deleted_at", broken, problem, fix, ("_deleted_at", "_visible_at")))
    return rules


def _of_source(name: str, fit: dict[str, pa.DataType]) -> list[RowRule]:
    """What only one source asks."""
    if name == "redshift/customer_behavior" and "event_id" in fit and not pa.types.is_null(fit["event_id"]):
        count = (
            "CASE WHEN event_id IS NOT NULL THEN row_number() OVER (PARTITION BY event_id ORDER BY file_row_number) END"
        )
        problem, fix = "this event has a version already", "give it an id of its own: the table is append only"
        return [RowRule("event_id", "_times > 1", problem, fix, ("event_id",), window=count, alias="_times")]
    if not name.startswith("salesforce/"):
        return []
    rules = []
    if "Id" in fit:
        broken = "NOT regexp_full_match(\"Id\", '[A-Za-z0-9]{18}')"
        fix = "make it 18 letters and digits, such as 001000000000001AAA"
        rules.append(RowRule("Id", broken, "it is no id of Salesforce", fix, ("Id",)))
    for stamp in (each for each, kind in fit.items() if pa.types.is_timestamp(kind) and not each.startswith("_")):
        if fit[stamp].unit == "us":
            broken, fix = f'epoch_us("{stamp}") % 1000 <> 0', "cut it to whole milliseconds: Salesforce keeps no more"
            rules.append(RowRule(stamp, broken, "it has parts of a millisecond", fix, (stamp,)))
    return rules


def _of_messages(fit: dict[str, pa.DataType]) -> list[RowRule]:
    """The partitions of a topic, their order, and what a message carries."""
    rules = []
    if "partition" in fit:
        broken, fix = f"partition NOT BETWEEN 0 AND {PARTITIONS - 1}", f"give one from 0 to {PARTITIONS - 1}"
        rules.append(RowRule("partition", broken, f"a topic has {PARTITIONS} partitions", fix, ("partition",)))
    if {"partition", "_visible_at"} <= fit.keys():
        rows = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
        before = f"max(_visible_at) OVER (PARTITION BY partition ORDER BY file_row_number {rows})"
        problem = "it is earlier than that of a row of the same partition further up"
        fix = "sort the rows of each partition by _visible_at: their order is that of the offsets"
        rules.append(RowRule("_visible_at", "_visible_at < _before", problem, fix, ("_visible_at", "partition"),
                             window=before, alias="_before"))  # fmt: skip
    if "timestamp" in fit and fit["timestamp"].unit == "us":
        broken, fix = 'epoch_us("timestamp") % 1000 <> 0', "cut it to whole milliseconds: Kafka keeps no more"
        rules.append(RowRule("timestamp", broken, "it has parts of a millisecond", fix, ("timestamp",)))
    if "headers" in fit and not pa.types.is_null(fit["headers"]):
        broken = "len(list_filter(headers, lambda each: each IS NULL OR each.key IS NULL)) > 0"
        rules.append(RowRule("headers", broken, "a header has no key", "give it one, or leave the header out"))
    return rules
