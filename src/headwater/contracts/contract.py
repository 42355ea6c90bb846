"""The contract of one table, as the rest of Headwater reads it."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import pyarrow as pa

from headwater.contracts.types import arrow_type

Layer: TypeAlias = Literal["bronze", "silver", "gold"]
Comparison: TypeAlias = Literal["trimmed", "trimmed-lowercase"]


@dataclass(frozen=True)
class Column:
    """One column: `type` is its Spark SQL type, the rest are rules on its values.

    `minimum` and `maximum` may be met, `exclusive_minimum` and `exclusive_maximum` may not. `classification` is
    `pii:<kind>` or `sensitive`; `pii:embedded` is text in which e-mail addresses and phone numbers may stand.
    `joined_with` are columns (`accounts.primary_email`) that a function finds this column's rows by, and `compared_as`
    says what of the text counts in that: all of it, or all but spaces at its ends (`trimmed`) and its case too
    (`trimmed-lowercase`).
    """

    name: str
    type: str
    description: str = ""
    required: bool = False
    allowed: tuple[str, ...] = ()
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    exclusive_maximum: float | None = None
    classification: str | None = None
    joined_with: tuple[str, ...] = ()
    compared_as: Comparison | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        return arrow_type(self.type)


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
class Contract:
    """One table: where it lies below the lake, what its columns are, and how a newer version of a row is told.

    `cursor` is the column by which row versions are ordered (and, in Bronze, read from the source); `tie_break` is
    the source column that decides at equal cursors, before landing order does. `deletion` is the boolean column that
    marks a version as the deletion of its key; Bronze keeps it, a Silver function returns it and Silver does not.
    `required` on a Bronze column means that the source must have it; anywhere else, that no row lacks a value. One that
    is `partial` tells only some of the table's columns.
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
    partial: bool = False

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

    def only(self, *names: str) -> "Contract":
        """This contract with some of its columns: what else its source has is left alone."""
        return replace(self, columns=tuple(each for each in self.columns if each.name in names), partial=True)

    def column(self, name: str) -> Column:
        """The column of that name; raises `StopIteration` where there is none."""
        return next(column for column in self.columns if column.name == name)
