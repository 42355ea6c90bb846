"""`schema_contracts:` of `dq.yaml`: whether and how rows are held to contracts, where those lie, which must be there."""

import difflib
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from headwater.config import Settings, UniqueKeys
from headwater.contracts.odcs import Contracts, load_contracts
from headwater.errors import ConfigurationError

UNHELD: Final = (
    "not checked: required columns, types, allowed values, ranges, patterns, lengths, unique columns, references, and "
    "what contracts promise of freshness and volume. Still checked: keys and cursors, that a function returns its "
    "contract's columns, and every limit of dq.yaml"
)
"""What `enabled: false` means, for people."""

_DEFAULT: Final = "config/contracts"


class SchemaContracts(BaseModel):
    """`strict` refuses a row with a value that its contract does not allow; `loose` sets the field to null and warns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    validation_mode: Literal["strict", "loose"] = "strict"
    contracts_path: str | None = None
    required_tables: tuple[str, ...] = ()


def dq_document(path: Path) -> dict[str, Any]:
    """What stands in `dq.yaml`.

    Raises:
        ConfigurationError: it cannot be read, or is no YAML of keys and values.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            values = yaml.load(stream, UniqueKeys) or {}  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot read the gate's limits: {error.strerror}; set `dq` to their file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: expected keys and values at the top, such as `defaults:` and `tables:`")
    return values


def contracts_location(settings: Settings) -> str:
    """Where the project's contracts lie: `schema_contracts.contracts_path`, or its alias, the setting `contracts`.

    Raises:
        ConfigurationError: the two differ, or `dq.yaml` is wrong.
    """
    given = dq_document(settings.dq).get("schema_contracts") or {}
    try:
        block = SchemaContracts.model_validate(given)
    except ValidationError as error:
        raise ConfigurationError(f"{settings.dq}: {_explained(error)}") from error
    chosen = None if block.contracts_path is None else _absolute(block.contracts_path, settings)
    if chosen is not None and settings.contracts is not None and chosen.rstrip("/") != settings.contracts.rstrip("/"):
        raise ConfigurationError(
            f"{settings.dq}: schema_contracts.contracts_path is {chosen}, but contracts "
            f"({settings.origin('contracts')}) is {settings.contracts}: set only one of them"
        )
    return chosen or settings.contracts or _absolute(_DEFAULT, settings)


def project_contracts(settings: Settings) -> Contracts:
    """The contracts of a project, wherever they lie.

    Raises:
        ConfigurationError: they cannot be read, or one of them is wrong; names the file and the key.
    """
    return load_contracts(contracts_location(settings), settings.aws)


def in_force(contracts: Contracts, block: SchemaContracts) -> Contracts:
    """The contracts as rows are held to them: all of each, or without its rules where the block is not enabled."""
    return contracts if block.enabled else {name: each.unheld() for name, each in contracts.items()}


def _absolute(location: str, settings: Settings) -> str:
    return location if "://" in location else str((settings.folder / Path(location).expanduser()).resolve())


def _explained(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    key = ".".join(["schema_contracts", *(str(part) for part in first["loc"])])
    if first["type"] != "extra_forbidden":
        return f"{key}: {first['msg']}"
    near = difflib.get_close_matches(str(first["loc"][0]), SchemaContracts.model_fields, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SchemaContracts.model_fields)}"
    return f"{key} is not known; {hint}"
