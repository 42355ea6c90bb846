"""What a contract demands of one row, compiled into predicates that name every rule a row breaks."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Final, Literal, TypeAlias, assert_never

from pyspark.sql import Column as Expression
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from headwater.contracts import Contract, ForeignKey
from headwater.contracts.columns import instant_of
from headwater.contracts.contract import FORGOTTEN, Bound, Column
from headwater.quality.typed import RAW

Kind: TypeAlias = Literal["required", "type", "allowed", "range", "pattern", "length", "reference"]

RULES: Final = "_rules"
"""Column of the names of the rules that a row breaks, in the contract's order; empty where it is accepted."""
REFUSED: Final = "_refused"
"""Column that tells whether a row breaks any."""
NULLED: Final = "_nulled"
"""Column of the names of the rules for which fields of an accepted row were set to null; null where none was."""
PARSE: Final = "parse"
"""The rule of what a source sent and no row could be made of: it lies in the rejects, and counts in the batch."""

_ORPHANS_IN_PLAN: Final = 5_000


@dataclass(frozen=True)
class Rule:
    """One demand on one column: `orders` has `quantity:range`."""

    column: str
    kind: Kind

    @property
    def name(self) -> str:
        return f"{self.column}:{self.kind}"


def rules(contract: Contract) -> tuple[Rule, ...]:
    """Every rule that rows of this table can break."""
    return tuple(
        Rule(column.name, kind)
        for column in contract.columns
        for kind, demanded in _demands(contract, column).items()
        if demanded
    )


def rule_names(contract: Contract) -> tuple[str, ...]:
    """The names by which evidence, quarantine and `dq.yaml` know this table's row rules."""
    return (PARSE, *(rule.name for rule in rules(contract)))


def forgiven(rows: DataFrame, contract: Contract) -> DataFrame:
    """The same rows with `_nulled`, and null in each field that broke a rule and may be missing.

    Fields that a row cannot do without (its key, its cursor, its tie-break, what is required) are left as they are, for
    `judged` to refuse; a deletion's too.
    """
    broken: dict[str, list[tuple[Rule, Expression]]] = {}
    for rule, condition in _conditions(rows, contract):
        if _forgivable(rule, contract):
            broken.setdefault(rule.column, []).append((rule, F.coalesce(condition, F.lit(False))))
    if not broken:
        return rows.withColumn(NULLED, F.lit(None).cast("array<string>"))
    every = [pair for pairs in broken.values() for pair in pairs]
    names = F.array_compact(F.array(*(F.when(condition, F.lit(rule.name)) for rule, condition in every)))
    marked = F.when(_any(every), names).alias(NULLED)
    fine = {name: ~_any(pairs) for name, pairs in broken.items()}
    fine |= {RAW + name: condition for name, condition in fine.items()}
    fields = (F.when(fine[name], F.col(name)).alias(name) if name in fine else F.col(name) for name in rows.columns)
    return rows.select(*fields, marked)


def value_rules(contract: Contract) -> tuple[Rule, ...]:
    """The rules on what a value may be, where there is one."""
    return tuple(rule for rule in rules(contract) if rule.kind in ("allowed", "range", "pattern", "length"))


def values_broken(rows: DataFrame, contract: Contract) -> dict[Rule, Expression]:
    """For each of `value_rules` the condition that a row breaks it."""
    told, wanted = _conditions(rows, contract), value_rules(contract)
    return {rule: condition for rule, condition in told if rule in wanted}


def judged(rows: DataFrame, contract: Contract, parents: Mapping[str, DataFrame]) -> DataFrame:
    """The same rows with `_rules` and `_refused`.

    `rows` are typed by the contract; `parents` holds the Silver tables that foreign keys refer to, as they now stand.
    A foreign key whose parent is not among them is not judged. A deletion is judged by its key and its cursor only.
    The keys without a parent are looked up here, once, so that what is returned reads its rows in one pass.
    """
    columns, broken = rows.columns, _conditions(rows, contract)
    for foreign_key in contract.foreign_keys:
        if (parent := parents.get(foreign_key.parent)) is not None:
            rows, orphan = _orphans(rows, foreign_key, parent)
            if orphan is not None:
                rule = Rule(foreign_key.column, "reference")
                broken.append((rule, _unless_deleted(orphan, rule, contract)))
    return _with_rules(rows, contract, broken).select(*columns, RULES, REFUSED)


def in_words(rule: str, contract: Contract) -> str:
    """A sentence for people: what the rule found wrong with the row."""
    if rule == PARSE:
        return "the source sent something that is no row"
    name, _, kind = rule.rpartition(":")
    column = contract.column(name)
    match kind:
        case "required":
            return f"{name} is missing"
        case "type":
            return f"{name} cannot be read as {column.type}"
        case "allowed":
            return f"{name} is none of {', '.join(column.allowed)}"
        case "range":
            return f"{name} is not {' and '.join(column.bounds)}"
        case "length":
            return f"{name} is not {' and '.join(column.lengths)}"
        case "pattern":
            return f"{name} does not look like {column.pattern}"
        case "reference":
            parents = [each.parent for each in contract.foreign_keys if each.column == name]
            return f"{name} is not in {' or '.join(parents)}"
    raise ValueError(f"{rule} is no rule of {contract.table}")


def reasons(contract: Contract) -> Expression:
    """What is wrong with a row of `_rules`, as one text."""
    said = [
        F.when(F.array_contains(RULES, rule.name), F.lit(in_words(rule.name, contract))) for rule in rules(contract)
    ]
    return F.concat_ws("; ", *said)


def _demands(contract: Contract, column: Column) -> dict[Kind, bool]:
    return {
        "required": column.required or column.name in contract.key,
        "type": contract.held or column.name in _indispensable(contract),
        "allowed": bool(column.allowed),
        "range": bool(column.bounds),
        "pattern": column.pattern is not None,
        "length": bool(column.lengths),
        "reference": any(each.column == column.name for each in contract.foreign_keys),
    }


def _indispensable(contract: Contract) -> set[str | None]:
    """What tells rows and their versions apart."""
    return {*contract.key, contract.cursor, contract.tie_break}


def _forgivable(rule: Rule, contract: Contract) -> bool:
    return not contract.column(rule.column).required and rule.column not in _indispensable(contract)


def _conditions(rows: DataFrame, contract: Contract) -> list[tuple[Rule, Expression]]:
    """Every rule that can be told from a row alone, with the condition that the row breaks it."""
    columns, found = set(rows.columns), []
    references = {each.column for each in contract.foreign_keys}
    for rule in rules(contract):
        column = contract.column(rule.column)
        raw = F.col(RAW + column.name) if RAW + column.name in columns else None
        if (condition := _breaks(rule.kind, column, raw)) is not None:
            if column.name in references and rule.kind in ("allowed", "pattern", "length"):
                condition &= F.col(column.name) != FORGOTTEN
            found.append((rule, _unless_deleted(condition, rule, contract)))
    return found


def _any(broken: list[tuple[Rule, Expression]]) -> Expression:
    return reduce(lambda either, condition: either | condition, (condition for _, condition in broken))


def _breaks(kind: Kind, column: Column, raw: Expression | None) -> Expression | None:
    value = F.col(column.name)
    match kind:
        case "required":
            return value.isNull() if raw is None else value.isNull() & raw.isNull()
        case "type":
            return None if raw is None else value.isNull() & raw.isNotNull()
        case "allowed":
            return value.isNotNull() & ~value.cast("string").isin(*column.allowed)
        case "range":
            return value.isNotNull() & ~_within(column)
        case "pattern":
            return value.isNotNull() & ~value.rlike(str(column.pattern))
        case "length":
            long = F.length(value)
            short = F.lit(False) if column.min_length is None else long < column.min_length
            return value.isNotNull() & (short if column.max_length is None else short | (long > column.max_length))
        case "reference":
            return None
    assert_never(kind)


def _within(column: Column) -> Expression:
    value = F.col(column.name)
    tests = []
    if column.minimum is not None:
        tests.append(value >= _bound(column, column.minimum))
    if column.exclusive_minimum is not None:
        tests.append(value > _bound(column, column.exclusive_minimum))
    if column.maximum is not None:
        tests.append(value <= _bound(column, column.maximum))
    if column.exclusive_maximum is not None:
        tests.append(value < _bound(column, column.exclusive_maximum))
    return reduce(lambda both, test: both & test, tests)


def _bound(column: Column, bound: Bound) -> Expression:
    if isinstance(bound, str):
        return F.lit(instant_of(bound, column.type)).cast(column.type)
    if column.type.startswith("decimal"):
        return F.lit(Decimal(str(bound)))
    return F.lit(int(bound) if float(bound).is_integer() else bound)


def _unless_deleted(condition: Expression, rule: Rule, contract: Contract) -> Expression:
    judged_anyway = rule.kind in ("required", "type") and rule.column in (*contract.key, contract.cursor)
    if contract.deletion is None or judged_anyway:
        return condition
    return condition & ~F.coalesce(F.col(contract.deletion), F.lit(False))


def _orphans(rows: DataFrame, key: ForeignKey, parent: DataFrame) -> tuple[DataFrame, Expression | None]:
    """What tells that a row's foreign key has no parent; None if every row has one.

    Orphans are few: their keys are looked up among the distinct ones and stand in the plan as literals. (A join of all
    rows costs more than all other rules together, as both sides are sorted.) Only if they are many is it a join.
    """
    value = F.col(key.column)
    known = parent.select(F.col(key.parent_column).alias(key.column)).where(value.isNotNull()).distinct()
    missing = rows.select(value).where(value.isNotNull()).distinct().join(known, key.column, "left_anti")
    missing = missing.where(F.col(key.column).cast("string") != FORGOTTEN)
    found = missing.limit(_ORPHANS_IN_PLAN + 1).toArrow().column(0).to_pylist()
    if not found:
        return rows, None
    if len(found) <= _ORPHANS_IN_PLAN:
        return rows, value.isNotNull() & value.isin(*found)
    mark = f"_parent_of_{key.column}"
    joined = rows.join(known.withColumnRenamed(key.column, mark), value == F.col(mark), "left")
    return joined, value.isNotNull() & (value.cast("string") != FORGOTTEN) & F.col(mark).isNull()


def _with_rules(rows: DataFrame, contract: Contract, broken: list[tuple[Rule, Expression]]) -> DataFrame:
    none = F.array().cast("array<string>")
    if not broken:
        return rows.withColumn(RULES, none).withColumn(REFUSED, F.lit(False))
    order = {rule: position for position, rule in enumerate(rules(contract))}
    broken = sorted(broken, key=lambda pair: order[pair[0]])
    names = [F.when(condition, F.lit(rule.name)) for rule, condition in broken]
    # Nearly every row breaks none: the array of names is only built where one is broken.
    refused = rows.withColumn(REFUSED, F.coalesce(_any(broken), F.lit(False)))
    return refused.withColumn(RULES, F.when(F.col(REFUSED), F.array_compact(F.array(*names))).otherwise(none))
