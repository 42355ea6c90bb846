"""All settings of a project, with their defaults."""

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic.dataclasses import dataclass

from headwater.config.layers import Context, origin_of
from headwater.config.sources import DataSources
from headwater.config.values import STRICT, Duration, LocalPath, Location
from headwater.secrets import Reference, Secrets


@dataclass(config=STRICT)
class SandboxSettings:
    """Local stand-ins of the sources: which dataset they show (a name or a folder), and how much of it."""

    dataset: str = "generated"
    scale: float = Field(default=1.0, gt=0)


@dataclass(config=STRICT)
class TableSettings:
    """How a Bronze table reads its source: again from `overlap` before its watermark, until `settle` before now.

    One that is not `enabled` is treated as a table of a source that is not: its source does not have it. What is due is
    landed in commits of about `rows_per_commit` rows or messages, by default a million or half a million; small files
    go together up to 64 MB.
    """

    enabled: bool = True
    overlap: Duration = timedelta(hours=1)
    settle: Duration = timedelta(0)
    rows_per_commit: int | None = Field(default=None, gt=0)


@dataclass(config=STRICT)
class LeaseSettings:
    """Two runs on one table: the second waits for `wait` at most; a lease that nobody renews for `ttl` has expired."""

    ttl: Duration = timedelta(minutes=1)
    wait: Duration = timedelta(minutes=15)


@dataclass(config=STRICT)
class AwsSettings:
    """Where AWS is for the lake and the state store; credentials are found as every AWS SDK finds them."""

    region: str | None = None
    endpoint_url: str | None = None


@dataclass(config=STRICT)
class FxSettings:
    max_age_days: int = Field(default=7, ge=0)


MaskRule: TypeAlias = Literal["hash", "partial", "redact", "tokenize", "none"]


@dataclass(config=STRICT)
class MaskingSettings:
    """How classified columns of Silver are masked: by classification (`pii:email`), and by column over that.

    A column is named with its table: `silver.accounts.billing_city`. Where masking is `required`, a personal column
    without a rule is an error; elsewhere it is not masked.
    """

    required: bool = False
    rules: dict[str, MaskRule] = field(default_factory=dict)
    columns: dict[str, MaskRule] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether something is masked."""
        return any(rule != "none" for rule in (*self.rules.values(), *self.columns.values()))


class Settings(BaseModel):
    """Everything that is set for one project; read-only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["embedded"] = "embedded"
    state: LocalPath = Field(default=Path(".headwater"), validate_default=True)
    lake: Location = Field(default=".headwater/lake", validate_default=True)
    state_store: Location | None = None
    contracts: Location | None = None
    """An alias of `schema_contracts.contracts_path` in `dq.yaml`, which is where the place of the contracts is said."""
    dq: LocalPath = Field(default=Path("config/dq.yaml"), validate_default=True)
    sandbox: SandboxSettings | None = None
    secret_references: dict[str, Reference] = Field(default_factory=dict, alias="secrets")
    data_sources: DataSources = Field(default_factory=DataSources)
    tables: dict[str, TableSettings] = Field(default_factory=dict)
    fx: FxSettings = Field(default_factory=FxSettings)
    lease: LeaseSettings = Field(default_factory=LeaseSettings)
    aws: AwsSettings = Field(default_factory=AwsSettings)
    masking: MaskingSettings = Field(default_factory=MaskingSettings)

    _context: Context = PrivateAttr()

    @property
    def folder(self) -> Path:
        """The project folder, which relative paths are relative to."""
        return self._context.folder

    @property
    def file(self) -> Path:
        """The config file."""
        return self._context.file

    @property
    def secrets(self) -> Secrets:
        """What `secrets:` refers to, read at each `get`."""
        return Secrets(self.secret_references, self.folder, tuple(layer.name for layer in self._context.layers))

    def table(self, name: str) -> TableSettings:
        """How the Bronze table `name` is read: what `tables.<name>` says, else the defaults."""
        return self.tables.get(name) or TableSettings()

    def origin(self, key: str) -> str:
        """Where the value of a dotted key came from: a file, an environment variable or `default`."""
        return origin_of(self._context.layers, key)

    def effective(self) -> dict[str, Any]:
        """Every leaf setting by its dotted key, as it took effect; secrets as the references they are."""
        return dict(_leaves(self.model_dump(mode="json", by_alias=True)))


def _leaves(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in values.items():
        dotted = f"{above}{key}"
        leaves += _leaves(value, f"{dotted}.") if isinstance(value, dict) else [(dotted, value)]
    return leaves
