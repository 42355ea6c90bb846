"""A first draft of a contract out of some rows: what they show, and no limit that the next row may well break.

Values of columns that look personal or sensitive are never written into it.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from headwater.contracts.contract import Layer
from headwater.contracts.standard import VERSION, is_of_the_standard
from headwater.contracts.types import logical_type

_PERSONAL: Final = (
    ("pii:email", r"e_?mail"),
    ("pii:phone", r"phone|mobile|fax"),
    ("pii:address", r"street|address|post_?code|postal|(^|_)zip"),
    ("pii:name", r"(first|last|middle|given|family|full|contact|person|supplied|employee|customer)_?name"),
    ("sensitive", r"revenue|amount|salary|wage|bonus|budget|probability|score|balance"),
)
"""How a column is classified whose name looks so."""

_EMAIL: Final = r"^\s*[^@\s]+@[^@\s]+\.[^@\s]+\s*$"
_PHONE: Final = r"^\s*(\+|\(0|00)[\d ()./-]{7,}\s*$"
_SHARE: Final = re.compile(r"probability|percent|(^|_)(pct|share|ratio)")
_CHANGED: Final = (r"modstamp", r"modified|changed|updated|as_of", r"event_(ts|time)|timestamp", r"created|_ts$|_at$")
_NAMES_A_ROW: Final = re.compile(r"(^|_)(id|key|number|code|no|uuid)$")

_FEW_VALUES, _ENOUGH_ROWS, _LONGEST_VALUE = 12, 20, 40
_NEARLY_ALL: Final = 0.95
"""So many of the values make a type, or a key: sources are not clean."""
_LANDED: Final[dict[Layer, tuple[str, ...]]] = {"bronze": ("_",), "silver": ("_", "kafka_"), "gold": ("_",)}
"""How columns begin that say where a row lay, and are no business of the layer."""
_EXACT: Final = {"kafka_partition": "int"}
"""Columns whose type is ours to choose."""


@dataclass(frozen=True)
class Drafted:
    """What a draft is to be called, and what its rows are: `place` says of what they are, for people."""

    layer: Layer
    name: str
    path: str
    place: str
    rows: pa.Table
    domain: str = "to be named"


@dataclass(frozen=True)
class _Seen:
    """What the rows show of one column."""

    name: str
    type: str
    values: pa.ChunkedArray
    classification: str | None
    nulls: int
    misfits: int
    distinct: int
    common: Sequence[str] = field(default_factory=tuple)

    @property
    def is_whole_and_distinct(self) -> bool:
        return self.nulls == 0 and len(self.values) > 0 and self.distinct == len(self.values)

    @property
    def tells_rows_apart(self) -> bool:
        """By its name and nearly always: a source repeats a row's versions, and loses a key now and then."""
        named = _NAMES_A_ROW.search(self.name) is not None and self.classification is None
        return named and self.distinct >= _NEARLY_ALL * len(self.values) > 0


def draft(of: Drafted) -> str:
    """The text of a contract file. Its status is draft, so that it counts only once somebody has read it.

    In Bronze it says the columns and types; rules on values are for Silver and Gold.
    """
    names = [name for name in of.rows.column_names if not name.startswith(_LANDED[of.layer])]
    seen = [_seen(name, of.rows[name]) for name in names]
    key = _key(of.rows, seen)
    cursor = next(_cursors(seen), None)
    table: dict[str, Any] = {
        "name": of.name,
        "logicalType": "object",
        "physicalType": "table",
        "physicalName": of.path,
        "dataGranularityDescription": f"One row per {', '.join(key)}" if key else "Not known: no key was found",
    }
    if cursor:
        table["customProperties"] = [{"property": "cursor", "value": cursor}]
    table["properties"] = [_property(each, key, of) for each in seen]
    document = {
        "apiVersion": VERSION,
        "kind": "DataContract",
        "id": f"headwater-{of.layer}-{of.name}".replace("_", "-"),
        "name": f"{of.layer}.{of.name}",
        "version": "0.1.0",
        "status": "draft",
        "domain": of.domain,
        "description": {"purpose": f"What {of.place} holds; say what it is for."},
        "team": {"name": "to be named"},
        "schema": [table],
    }
    if not is_of_the_standard(document):
        raise ValueError(f"the draft of {of.name} is no contract of the standard")
    told = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)
    return f"# Drafted from {of.rows.num_rows:,} rows of {of.place}: a guess by what these hold. {_TO_DO}\n{told}"


_TO_DO: Final = "Read every rule, name the owner,\n# say what each column means, then set status: active."


def _property(seen: _Seen, key: Sequence[str], of: Drafted) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": seen.name,
        "logicalType": logical_type(seen.type),
        "physicalType": seen.type,
        "description": _described(seen, of.rows.num_rows),
    }
    if seen.nulls == seen.misfits == 0 and of.rows.num_rows:
        told["required"] = True
    if seen.name in key:
        told |= {"primaryKey": True, "primaryKeyPosition": key.index(seen.name) + 1}
    if seen.classification:
        told["classification"] = seen.classification
    if of.layer == "bronze":
        return told
    if seen.name not in key and seen.is_whole_and_distinct and _names_rows(seen, of.rows.num_rows):
        told["unique"] = True
    if limits := _limits(seen):
        told["logicalTypeOptions"] = limits
    if seen.common and seen.name not in key:
        told["quality"] = [
            {
                "metric": "invalidValues",
                "description": "One of these values and no other.",
                "arguments": {"validValues": list(seen.common)},
                "mustBe": 0,
            }
        ]
    return told


def _described(seen: _Seen, rows: int) -> str:
    """What was seen of it; of classified columns no value."""
    missing = f"missing in {seen.nulls / rows:.1%}" if seen.nulls else "never missing"
    told = f"Seen: {missing}, {seen.distinct:,} different {'value' if seen.distinct == 1 else 'values'}"
    told += f", {seen.misfits:,} that are no {seen.type}" if seen.misfits else ""
    if seen.classification is None and seen.distinct and seen.type not in ("string", "boolean", "binary"):
        least, most = (_shown(pc.min_max(seen.values)[end].as_py()) for end in ("min", "max"))
        told += f", from {least} to {most}"
    return f"{told}."


def _shown(value: Any) -> str:
    """A number or an instant as people write it."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value.normalize():f}" if isinstance(value, Decimal) else str(value)


def _limits(seen: _Seen) -> dict[str, Any]:
    """The ends of a range that are in the nature of the column: nothing below zero, shares of a whole."""
    if seen.type not in ("bigint", "double") and not seen.type.startswith("decimal"):
        return {}
    bounds = pc.min_max(seen.values)
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    if least is None or least < 0:
        return {}
    limits: dict[str, Any] = {"minimum": 0}
    if _SHARE.search(seen.name) and most <= 100:
        limits["maximum"] = 1 if most <= 1 else 100
    return limits


def _seen(name: str, told: pa.ChunkedArray) -> _Seen:
    spark, values = _typed(told)
    empty = pc.sum(pc.equal(pc.utf8_trim_whitespace(told), "")).as_py() if pa.types.is_string(told.type) else 0
    nulls = told.null_count + (empty or 0)
    distinct = pc.count_distinct(values, mode="only_valid").as_py()
    misfits = values.null_count - nulls
    seen = _Seen(name, _EXACT.get(name, spark), values, _classified(name, values), nulls, misfits, distinct)
    return replace(seen, common=_common(seen))


def _common(seen: _Seen) -> Sequence[str]:
    """The values of a column that has few, each often."""
    present = len(seen.values) - seen.nulls
    few = 1 < seen.distinct <= _FEW_VALUES and present >= max(_ENOUGH_ROWS, 5 * seen.distinct)
    if seen.type != "string" or seen.classification or not few:
        return ()
    values = sorted(value for value in pc.unique(seen.values).to_pylist() if value is not None)
    return values if max(map(len, values)) <= _LONGEST_VALUE else ()


def _typed(told: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    """The Spark type that all values fit, and the values in an Arrow type that orders them."""
    kind = told.type
    if pa.types.is_dictionary(kind):
        return _typed(told.cast(kind.value_type))
    if pa.types.is_boolean(kind):
        return "boolean", told
    if pa.types.is_integer(kind):
        return "bigint", told
    if pa.types.is_floating(kind):
        return "double", told
    if pa.types.is_decimal(kind):
        return _decimal(kind.precision, kind.scale), told
    if pa.types.is_date(kind):
        return "date", told
    if pa.types.is_timestamp(kind):
        return "timestamp", told
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "binary", told
    return _of_text(told.cast(pa.string()) if not pa.types.is_nested(kind) else _as_text(told))


def _as_text(told: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([None if v is None else str(v) for v in told.to_pylist()], pa.string())])


def _of_text(told: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    """What nearly all texts spell, null for the others; an empty one is none."""
    trimmed = pc.utf8_trim_whitespace(told)
    text = pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)
    if text.null_count == len(text):
        return "string", text
    for pattern, cast in _SPELLED:
        matches = pc.match_substring_regex(text, pattern)
        if pc.mean(matches).as_py() >= _NEARLY_ALL:
            try:
                return cast(pc.if_else(matches, text, pa.scalar(None, pa.string())))
            except pa.ArrowInvalid:
                break  # 2024-02-30 looks like a date and is none
    return "string", text


def _boolean(text: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    return "boolean", pc.cast(pc.utf8_lower(text), pa.bool_())


def _whole(text: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    return "bigint", pc.cast(text, pa.int64())


def _fraction(text: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    values = pc.cast(text, pa.decimal128(38, 10))
    fractions = pc.replace_substring_regex(pc.cast(values, pa.string()), r"^[^.]*\.|0+$", "")
    scale = pc.max(pc.utf8_length(fractions)).as_py()
    return _decimal(16 + scale, scale), values


def _date(text: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    return "date", pc.cast(text, pa.date32())


def _instant(text: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
    zoned = pc.match_substring_regex(text, r"(Z|[+-]\d\d:?\d\d)$")
    spelled = pc.if_else(zoned, text, pc.binary_join_element_wise(text, "Z", ""))
    return "timestamp", pc.cast(spelled, pa.timestamp("us", tz="UTC"))


_SPELLED: Final[tuple[tuple[str, Callable[[pa.ChunkedArray], tuple[str, pa.ChunkedArray]]], ...]] = (
    (r"^(?i:true|false)$", _boolean),
    (r"^-?(0|[1-9]\d{0,17})$", _whole),
    (r"^-?(0|[1-9]\d{0,15})(\.\d{1,10})?([eE]\d{1,2})?$", _fraction),
    (r"^\d{4}-\d\d-\d\d$", _date),
    (r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)?$", _instant),
)
"""What text may spell, the narrower first: a leading zero makes a number a name."""


def _decimal(precision: int, scale: int) -> str:
    """A decimal with room to grow."""
    after = max(scale, 4)
    return f"decimal({min(38, max(20, precision - scale + after))},{after})"


def _classified(name: str, values: pa.ChunkedArray) -> str | None:
    """By its name, or by what half of its values look like."""
    for classification, pattern in _PERSONAL:
        if re.search(pattern, name, re.IGNORECASE):
            return classification
    if not pa.types.is_string(values.type) or values.null_count == len(values):
        return None
    present = len(values) - values.null_count
    for classification, pattern in (("pii:email", _EMAIL), ("pii:phone", _PHONE)):
        if 2 * pc.sum(pc.match_substring_regex(values, pattern)).as_py() >= present:
            return classification
    return None


def _names_rows(seen: _Seen, rows: int) -> bool:
    return rows >= _ENOUGH_ROWS and (bool(_NAMES_A_ROW.search(seen.name)) or seen.classification == "pii:email")


def _key(rows: pa.Table, seen: Sequence[_Seen]) -> tuple[str, ...]:
    """The column that tells the rows apart, by its name if several do; or else the first two or three that do together."""
    if {"kafka_partition", "kafka_offset"} <= {each.name for each in seen}:
        return "kafka_partition", "kafka_offset"
    able = [each for each in seen if each.type in ("string", "bigint", "int") and each.classification is None]
    alone = [each.name for each in able if each.tells_rows_apart]
    if alone := alone or [each.name for each in able if each.is_whole_and_distinct]:
        return (alone[0],)
    parts = [
        each.name
        for each in seen
        if each.nulls == 0
        and each.classification is None
        and (_NAMES_A_ROW.search(each.name) or each.type in ("date", "timestamp") or each.common)
    ]
    wide = {each.name: each.distinct for each in seen}
    for count in (2, 3):
        for names in itertools.combinations(parts[:8], count):
            product = 1
            for name in names:
                product *= wide[name]
            if product >= rows.num_rows > 0 and _apart(rows, names):
                return names
    return ()


def _apart(rows: pa.Table, names: Sequence[str]) -> bool:
    return bool(rows.select(names).group_by(list(names)).aggregate([]).num_rows == rows.num_rows)


def _cursors(seen: Sequence[_Seen]) -> Iterator[str]:
    """Timestamps that order versions, the likeliest by its name first."""
    instants = [each.name for each in seen if each.type == "timestamp" and each.nulls == 0]
    for pattern in _CHANGED:
        yield from (name for name in instants if re.search(pattern, name))
