"""What an operator may tune of one table: the blocks of `config/dq.yaml`, each threshold with its unit."""

import re
from datetime import date, timedelta
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from headwater.config import Duration

Severity: TypeAlias = Literal["critical", "warning"]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]

PRICED: Final = "amount_usd"
"""The column whose share of nulls `unpriced` limits."""

_QUOTED: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`[^`]*`|--[^\n]*|/\*.*?\*/""", re.DOTALL)
_PARAMETER: Final = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")


class Block(BaseModel):
    """A part of the file; a key that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Freshness(Block):
    """The newest `column` (the contract's cursor, if not told) is at most `max_age` older than the run's instant.

    Rows dated later than that instant do not count.
    """

    max_age: Duration
    column: str | None = None
    severity: Severity = "critical"


class Volume(Block):
    """Rows that a table may have, and the share of its standing rows that it may lose at once."""

    min_rows: int = Field(default=1, ge=0)
    max_rows: int | None = Field(default=None, ge=0)
    max_shrink: Share = 0.5
    severity: Severity = "critical"


class Unpriced(Block):
    """The share of rows that may be without `amount_usd`."""

    max_share: Share
    severity: Severity = "critical"


class Daily(Block):
    """Rows of each business day, in times of what is usual on that weekday; `column` dates a row.

    Usual is the median over the same weekday in the 14 days before the days that a batch brings. Where that is less
    than `min_usual` rows, chance decides, and nothing is judged.
    """

    column: str | None = None
    min_ratio: Annotated[float, Field(ge=0, le=1)] = 0.55
    max_ratio: Annotated[float, Field(ge=1)] = 1.8
    min_usual: Annotated[int, Field(ge=1)] = 100
    severity: Severity = "critical"


class Missing(Block):
    """By column, the share of new rows that may be without a value that is not required."""

    max_share: dict[str, Share] = {}
    severity: Severity = "warning"


class Outliers(Block):
    """The share of a column's new values that may lie far from the others, or from those of the same `per`.

    Far is more than `beyond` robust standard deviations (1.4826 times the median distance from the median) from the median,
    or more than `beyond` interquartile ranges outside the quartiles; on a log scale distances are factors.
    """

    method: Literal["robust_z", "iqr"] = "robust_z"
    scale: Literal["linear", "log"] = "linear"
    beyond: Annotated[float, Field(gt=0)]
    per: str | None = None
    max_share: Share
    severity: Severity = "warning"


class NearDuplicates(Block):
    """The share of new rows that may equal another one in everything but the key and the columns to `ignore`."""

    ignore: tuple[str, ...] = ()
    max_share: Share
    severity: Severity = "warning"


class Drift(Block):
    """How far the distribution of each of `columns` may be from that of the versions published before.

    `max_psi` bounds the population stability index; of fewer than `min_rows` new rows it would mostly be chance.
    """

    columns: tuple[str, ...] = ()
    max_psi: Annotated[float, Field(gt=0)] = 0.25
    min_rows: Annotated[int, Field(ge=1)] = 1000
    severity: Severity = "warning"


class SqlExpectation(Block):
    """A query whose one value counts bad rows of `candidate`, which may have `max_rows`.

    `:name` in it stands for the value of a parameter.
    """

    sql: Annotated[str, Field(min_length=1)]
    parameters: dict[str, bool | int | float | date | str] = {}
    max_rows: Annotated[int, Field(ge=0)] = 0
    severity: Severity = "critical"
    description: str = ""

    @property
    def named(self) -> set[str]:
        """The parameters that the query names."""
        return set(_PARAMETER.findall(_QUOTED.sub(" ", self.sql)))

    @property
    def query(self) -> str:
        """The query with its parameters as literals; what stands in quotes or comments is left alone."""
        said, last, parts = self.sql.strip().rstrip(";"), 0, []
        for quoted in _QUOTED.finditer(said):
            parts += [self._filled(said[last : quoted.start()]), quoted[0]]
            last = quoted.end()
        return "".join([*parts, self._filled(said[last:])])

    def _filled(self, text: str) -> str:
        return _PARAMETER.sub(lambda found: _literal(self.parameters[found[1]]), text)


def _literal(value: bool | float | date | str) -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            return repr(value)
        case date():
            return f"DATE '{value:%Y-%m-%d}'"
        case str():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"


class TableLimits(Block):
    """The limits of one table. `refused` holds the share of a batch that may break a row rule, by its name."""

    freshness: Freshness | None = None
    volume: Volume = Volume()
    refused: dict[str, Share] = {}
    unpriced: Unpriced | None = None
    daily: Daily = Daily()
    missing: Missing = Missing()
    outliers: dict[str, Outliers] = {}
    near_duplicates: NearDuplicates | None = None
    drift: Drift = Drift()
    expectations: dict[str, SqlExpectation] = {}
    late_after: Duration = timedelta(days=1)
    orphan_after: Duration = timedelta(days=7)

    def refused_share(self, rule: str) -> float:
        """The share of a batch that may break `rule`; none may where nothing is said."""
        return self.refused.get(rule, self.refused.get("default", 0.0))
