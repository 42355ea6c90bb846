"""The contract of one table, as the rest of Headwater reads it."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal, TypeAlias

import pyarrow as pa

from headwater.contracts.types import arrow_type

Layer: TypeAlias = Literal["bronze", "silver", "gold"]
Bound: TypeAlias = float | str
"""The end of a range: a number, or for dates and timestamps ISO 8601 text."""
Comparison: TypeAlias = Literal["trimmed", "trimmed-lowercase"]

CLASSIFICATIONS: Final = ("pii:email", "pii:phone", "pii:name", "pii:address", "pii:embedded", "sensitive")
"""How a column may be classified: personal, and of what kind, or sensitive; `pii:embedded` is text in which e-mail
addresses and phone numbers may stand."""

FORGOTTEN: Final = "(forgotten)"
"""What stands where the key or a value of somebody stood who was forgotten. As a foreign key it needs no parent."""


@dataclass(frozen=True)
class Column:
    """One column: `type` is its Spark SQL type, the rest are rules on its values.

    `minimum` and `maximum` may be met, `exclusive_minimum` and `exclusive_maximum` may not; lengths are in characters.
    No two rows of the table have the same value in a `unique` column. `classification` is one of `CLASSIFICATIONS`.
    `joined_with` are columns (`accounts.primary_email`) that a function finds this column's rows by, and `compared_as`
    says what of the text counts in that: all of it, or all but spaces at its ends (`trimmed`) and its case too
    (`trimmed-lowercase`).
    """

    name: str
    type: str
    description: str = ""
    required: bool = False
    unique: bool = False
    allowed: tuple[str, ...] = ()
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: Bound | None = None
    maximum: Bound | None = None
    exclusive_minimum: Bound | None = None
    exclusive_maximum: Bound | None = None
    classification: str | None = None
    joined_with: tuple[str, ...] = ()
    compared_as: Comparison | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        return arrow_type(self.type)

    @property
    def bounds(self) -> tuple[str, ...]:
        """The ends of its range in words: `at least 0`, `below 100`."""
        named = {
            "at least": self.minimum,
            "above": self.exclusive_minimum,
            "at most": self.maximum,
            "below": self.exclusive_maximum,
        }
        return tuple(f"{words} {_shown(bound)}" for words, bound in named.items() if bound is not None)

    @property
    def lengths(self) -> tuple[str, ...]:
        """The ends of its length in words: `at least 2 characters long`."""
        named = {"at least": self.min_length, "at most": self.max_length}
        return tuple(f"{words} {length} characters long" for words, length in named.items() if length is not None)


@dataclass(frozen=True)
class ForeignKey:
    """A column whose value, unless null, is the key of a row of a Silver parent."""

    column: str
    parent: str
    parent_column: str


@dataclass(frozen=True)
class Conservation:
    """What a Gold table must keep of its inputs: a query over it and them whose one value is 0 if nothing got lost.

    `${table}` in the query stands for the table, the names of Silver tables for themselves.
    """

    name: str
    description: str
    query: str


@dataclass(frozen=True)
class Promise:
    """What a table's owner promises of it as a whole: how old its newest row may be, and how many rows it has.

    The gate holds it to this; None where nothing is promised, and `dq.yaml` alone says.
    """

    max_age: timedelta | None = None
    of: str | None = None
    """The column that `max_age` is the age of; the cursor if None."""
    min_rows: int | None = None
    max_rows: int | None = None


@dataclass(frozen=True)
class Contract:
    """One table: where it lies below the lake, what its columns are, and how a newer version of a row is told.

    `cursor` is the column by which row versions are ordered (and, in Bronze, read from the source); `tie_break` is
    the source column that decides at equal cursors, before landing order does. `deletion` is the boolean column that
    marks a version as the deletion of its key; Bronze keeps it, a Silver function returns it and Silver does not.
    `required` on a Bronze column means that the source must have it; anywhere else, that no row lacks a value. One that
    is `partial` tells only some of the table's columns. Of one that is not `held`, only what tells rows apart is judged.
    `at_source` is what the source calls a Bronze table, where its extractor does not know.
    """

    layer: Layer
    name: str
    path: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    cursor: str | None = None
    tie_break: str | None = None
    deletion: str | None = None
    partition_by: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    conserved: tuple[Conservation, ...] = ()
    description: str = ""
    owner: str = ""
    promise: Promise = Promise()
    partial: bool = False
    held: bool = True
    at_source: str | None = None

    @property
    def table(self) -> str:
        """The name people use: `silver.orders`."""
        return f"{self.layer}.{self.name}"

    @property
    def arrow_schema(self) -> pa.Schema:
        """Every column, nullable: what is required is a row rule, not a property of the file."""
        return pa.schema([pa.field(column.name, column.arrow_type) for column in self.columns])

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def ddl(self) -> str:
        """The columns as Spark SQL spells a schema."""
        return ", ".join(f"`{column.name}` {column.type}" for column in self.columns)

    def unheld(self) -> "Contract":
        """This contract without its rules on values: what stays is needed to type rows and to tell them apart.

        Of Bronze nothing changes: its `required` says what must be asked of the source.
        """
        if self.layer == "bronze":
            return self
        columns = tuple(
            Column(
                name=each.name,
                type=each.type,
                description=each.description,
                required=each.name in self.key,
                classification=each.classification,
            )
            for each in self.columns
        )
        return replace(self, columns=columns, foreign_keys=(), promise=Promise(), held=False)

    def only(self, *names: str) -> "Contract":
        """This contract with some of its columns: what else its source has is left alone."""
        return replace(self, columns=tuple(each for each in self.columns if each.name in names), partial=True)

    def column(self, name: str) -> Column:
        """The column of that name; raises `StopIteration` where there is none."""
        return next(column for column in self.columns if column.name == name)


def _shown(bound: Bound) -> str:
    return bound if isinstance(bound, str) else f"{bound:g}"
