"""Typed settings: defaults, then the config file, then the running sandbox, then `HEADWATER_…` in the environment.

A later layer wins key by key, and `Settings.origin` says which layer a value came from. A key that no setting has is
an error. Secrets are only ever references here; `settings.secrets.get(name)` follows one when it is needed.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from dataclasses import fields as fields_of
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError, ValidationInfo
from pydantic.dataclasses import dataclass

from headwater.errors import ConfigurationError
from headwater.secrets import Reference, Secrets

_PREFIX = "HEADWATER_"
_OTHER_VARIABLES = frozenset({"HEADWATER_CI"})
"""Variables with our prefix that are switches of the tests, not settings."""

CHOSEN = "sandbox.yaml"
"""Below the state folder: the dataset that `sandbox up --dataset` chose in place of the config file's."""

CONNECTIONS = "sandbox/connections.yaml"
"""Below the state folder: where the sandbox's stand-ins listen, and references to their secrets."""

_STRICT = ConfigDict(extra="forbid", frozen=True)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> object:
    match = re.fullmatch(r"(\d+)\s*([smhd])", value.strip()) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, timedelta):
            return value
        raise ValueError(f"{value!r} is not a duration such as 30s, 15m, 1h or 2d")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])


def _place(value: object, info: ValidationInfo) -> object:
    """Make a relative path relative to the project folder; leave a URI such as s3://bucket alone."""
    folder = (info.context or {}).get("folder")
    if not isinstance(value, str | Path) or "://" in str(value) or folder is None:
        return value
    return os.path.normpath(folder / Path(value).expanduser())


Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_duration)]
Patience: TypeAlias = Annotated[Duration, Field(gt=timedelta(0))]
"""How long something is waited for: some time."""
LocalPath: TypeAlias = Annotated[Path, BeforeValidator(_place)]
Location: TypeAlias = Annotated[str, BeforeValidator(_place)]
"""An absolute path or a URI."""


@dataclass(config=_STRICT)
class SourceSettings:
    """What every source has: how long it is waited for, and how often it is asked again.

    A login is answered within `connect_timeout`. After it `answer_timeout` is the longest silence; an answer that drips
    counts as silence. A source that did not answer is asked `attempts` times in all, the last of them within `retry_for`
    of the first failure; one that wants to be left alone for longer is left to the next run.
    """

    enabled: bool = False
    connect_timeout: Patience = timedelta(seconds=10)
    answer_timeout: Patience = timedelta(minutes=5)
    attempts: int = Field(default=3, ge=1)
    retry_for: Duration = timedelta(minutes=5)


@dataclass(config=_STRICT)
class SnowflakeSettings(SourceSettings):
    """Where Snowflake is; `host`, `port` and `protocol` only where it is not `<account>.snowflakecomputing.com`."""

    connect_timeout: Patience = timedelta(seconds=20)
    account: str | None = None
    host: str | None = None
    port: int | None = None
    protocol: Literal["https", "http"] = "https"
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    role: str | None = None


@dataclass(config=_STRICT)
class RedshiftSettings(SourceSettings):
    """Where Redshift is; with `iam_role` credentials come from AWS unless the secret has a password.

    `ssl_mode` is libpq's; Redshift always offers TLS, so only a stand-in goes without.
    """

    host: str | None = None
    port: int = 5439
    database: str | None = None
    schema: str | None = None
    iam_role: str | None = None
    ssl_mode: Literal["verify-full", "verify-ca", "require", "disable"] = "require"


@dataclass(config=_STRICT)
class SalesforceSettings(SourceSettings):
    """Where Salesforce is, and how many records are asked for at once: fewer where wide ones take it too long."""

    answer_timeout: Patience = timedelta(minutes=2)
    login_url: str = "https://login.salesforce.com"
    api_version: str = "64.0"
    page_records: int = Field(default=2000, ge=1, le=2000)


@dataclass(config=_STRICT)
class S3Settings(SourceSettings):
    answer_timeout: Patience = timedelta(seconds=30)
    bucket: str | None = None
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None


@dataclass(config=_STRICT)
class KafkaSettings(SourceSettings):
    """Where Kafka is; a broker never says that it refuses a login, so `connect_timeout` is what that takes to be told."""

    connect_timeout: Patience = timedelta(seconds=8)
    answer_timeout: Patience = timedelta(seconds=30)
    bootstrap_servers: str | None = None
    security_protocol: Literal["SASL_SSL", "SSL", "SASL_PLAINTEXT", "PLAINTEXT"] = "SASL_SSL"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    ssl_ca_location: LocalPath | None = None


@dataclass(config=_STRICT)
class FxVendorSettings(SourceSettings):
    answer_timeout: Patience = timedelta(seconds=30)
    base_url: str | None = None


@dataclass(config=_STRICT)
class DataSources:
    """The six sources; one whose block is absent is not enabled."""

    snowflake: SnowflakeSettings = field(default_factory=SnowflakeSettings)
    redshift: RedshiftSettings = field(default_factory=RedshiftSettings)
    salesforce: SalesforceSettings = field(default_factory=SalesforceSettings)
    s3: S3Settings = field(default_factory=S3Settings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    fx_vendor: FxVendorSettings = field(default_factory=FxVendorSettings)

    def enabled(self) -> tuple[str, ...]:
        """The names of the sources that are asked."""
        return tuple(each.name for each in fields_of(self) if getattr(self, each.name).enabled)


@dataclass(config=_STRICT)
class SandboxSettings:
    """Local stand-ins of the sources: which dataset they show (a name or a folder), and how much of it."""

    dataset: str = "generated"
    scale: float = Field(default=1.0, gt=0)


@dataclass(config=_STRICT)
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


@dataclass(config=_STRICT)
class LeaseSettings:
    """Two runs on one table: the second waits for `wait` at most; a lease that nobody renews for `ttl` has expired."""

    ttl: Duration = timedelta(minutes=1)
    wait: Duration = timedelta(minutes=15)


@dataclass(config=_STRICT)
class AwsSettings:
    """Where AWS is for the lake and the state store; credentials are found as every AWS SDK finds them."""

    region: str | None = None
    endpoint_url: str | None = None


@dataclass(config=_STRICT)
class FxSettings:
    max_age_days: int = Field(default=7, ge=0)


MaskRule: TypeAlias = Literal["hash", "partial", "redact", "tokenize", "none"]


@dataclass(config=_STRICT)
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

    _context: "_Context" = PrivateAttr()

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
        return _origin(self._context.layers, key)

    def effective(self) -> dict[str, Any]:
        """Every leaf setting by its dotted key, as it took effect; secrets as the references they are."""
        return dict(_leaves(self.model_dump(mode="json", by_alias=True)))


@plain_dataclass(frozen=True)
class _Layer:
    """Settings from one place; `names` says for a dotted key where exactly, if that differs by key."""

    name: str
    values: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)

    def holds(self, key: str) -> bool:
        return _holds(self.values, key.split("."))


def _holds(values: Any, parts: list[str]) -> bool:
    """Whether there is a value under these parts, some of which may be one key that has dots: `silver.orders.amount`."""
    if not parts:
        return True
    if not isinstance(values, Mapping):
        return False
    starts = ((".".join(parts[:length]), parts[length:]) for length in range(1, len(parts) + 1))
    return any(first in values and _holds(values[first], rest) for first, rest in starts)


@plain_dataclass(frozen=True)
class _Context:
    folder: Path
    file: Path
    layers: tuple[_Layer, ...]


def load_settings(file: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `file` and what overrides it.

    Raises:
        ConfigurationError: the file is missing or not YAML, a key is unknown or a value is not what its key takes;
            the message names the file (or variable) and the key.
    """
    environment = os.environ if environment is None else environment
    file = file.expanduser()
    folder = project_folder(file)
    layers = [_Layer(_shown(file, folder), _read_yaml(file, folder)), _from_environment(environment)]
    settings = _validated(layers, folder, file)
    if settings.sandbox is not None:
        kept = [each for each in (settings.state / CHOSEN, settings.state / CONNECTIONS) if each.exists()]
        layers[1:1] = [_Layer(_shown(each, folder), _read_yaml(each, folder)) for each in kept]
        settings = _validated(layers, folder, file)
    return _with_dataset(settings)


def project_folder(file: Path) -> Path:
    """The folder above the config file's `config/`, or the file's own where it lies elsewhere."""
    parent = file.absolute().parent
    return parent.parent if parent.name == "config" else parent


def _with_dataset(settings: Settings) -> Settings:
    """In the sandbox each dataset, at each scale, has a lake of its own."""
    if settings.sandbox is None:
        return settings
    name = Path(settings.sandbox.dataset).name
    if settings.sandbox.scale != 1.0:
        name += f"-x{settings.sandbox.scale:g}"
    return settings.model_copy(update={"lake": f"{settings.lake}/{name}"})


class UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_yaml(file: Path, folder: Path) -> dict[str, Any]:
    try:
        with file.open(encoding="utf-8") as stream:
            values = yaml.load(stream, UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        found = sorted(str(each.relative_to(folder)) for each in folder.glob("config/*.yaml") if each.name != "dq.yaml")
        hint = f"; found here: {', '.join(found)}" if found else "; run from the project folder or give --config"
        raise ConfigurationError(f"cannot read the config file {file}: {error.strerror}{hint}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{_shown(file, folder)} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigurationError(
            f"{_shown(file, folder)}: expected keys and values at the top, such as `engine: embedded`"
        )
    return {key: value for key, value in values.items() if value is not None}


def _shown(file: Path, folder: Path) -> str:
    absolute = file.absolute()
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _from_environment(environment: Mapping[str, str]) -> _Layer:
    """Read `HEADWATER_<SECTION>__<KEY>`; a variable without `__` counts only if it is, or nearly is, a key."""
    top = {_key_of(name): name for name in Settings.model_fields}
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(_PREFIX) or variable in _OTHER_VARIABLES:
            continue
        parts = variable.removeprefix(_PREFIX).lower().split("__")
        if len(parts) == 1 and parts[0] not in top:
            if near := difflib.get_close_matches(parts[0], top, n=1, cutoff=0.8):
                raise ConfigurationError(
                    f"the environment variable {variable} is no setting; did you mean {_PREFIX}{near[0].upper()}?"
                )
            continue
        place = values
        for part in parts[:-1]:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigurationError(f"the environment variable {variable} and another one both set {part}")
        place[parts[-1]] = text  # a setting that is a number or a switch reads it as such
        names[".".join(parts)] = f"environment {variable}"
    return _Layer("the environment", values, names)


def _validated(layers: list[_Layer], folder: Path, file: Path) -> Settings:
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, layer.values)
    try:
        settings = Settings.model_validate(merged, context={"folder": folder})
    except ValidationError as error:
        raise ConfigurationError(_explained(error, layers)) from error
    settings._context = _Context(folder, file.absolute(), tuple(layers))
    return settings


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif isinstance(value, Mapping):
            into[key] = {}
            _merge(into[key], value)
        else:
            into[key] = value


def _explained(error: ValidationError, layers: list[_Layer]) -> str:
    """The first thing that is wrong: where it stands, its dotted key, and what would be right."""
    first = error.errors(include_url=False, include_context=False)[0]
    parts = [str(part) for part in first["loc"]]
    while parts and not any(layer.holds(".".join(parts)) for layer in layers) and len(parts) > 1:
        parts.pop()  # pydantic appends the branch of a union that it tried
    key = ".".join(parts)
    place = _origin(tuple(layers), key)
    if first["type"] not in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{place}: {key}: {first['msg'].removeprefix('Value error, ')}"
    known = _known_keys(parts[:-1])
    near = difflib.get_close_matches(parts[-1], known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
    return f"{place}: {key} is not a setting; {hint}"


def _known_keys(parts: list[str]) -> list[str]:
    """The keys that may stand below a dotted key."""
    match parts:
        case []:
            return [_key_of(name) for name in Settings.model_fields]
        case ["sandbox"]:
            block: Any = SandboxSettings
        case ["fx"]:
            block = FxSettings
        case ["lease"]:
            block = LeaseSettings
        case ["aws"]:
            block = AwsSettings
        case ["masking"]:
            block = MaskingSettings
        case ["tables", _]:
            block = TableSettings
        case ["data_sources"]:
            block = DataSources
        case ["data_sources", source, *_]:
            block = type(getattr(DataSources(), source))
        case _:
            return []
    return [each.name for each in fields_of(block)]


def _key_of(name: str) -> str:
    return Settings.model_fields[name].alias or name


def _origin(layers: tuple[_Layer, ...], key: str) -> str:
    for layer in reversed(layers):
        if layer.holds(key):
            return layer.names.get(key, layer.name)
    return "default"


def _leaves(values: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    leaves: list[tuple[str, Any]] = []
    for key, value in values.items():
        dotted = f"{above}{key}"
        leaves += _leaves(value, f"{dotted}.") if isinstance(value, dict) else [(dotted, value)]
    return leaves
