"""What is wrong in a config file, in the words of whoever wrote it."""

import difflib
from dataclasses import fields as fields_of
from typing import Any

from pydantic import ValidationError

from headwater.config.layers import Layer, origin_of
from headwater.config.settings import (
    AwsSettings,
    FxSettings,
    LeaseSettings,
    MaskingSettings,
    SandboxSettings,
    Settings,
    TableSettings,
)
from headwater.config.sources import DataSources


def explained(error: ValidationError, layers: list[Layer]) -> str:
    """The first thing that is wrong: where it stands, its dotted key, and what would be right."""
    first = error.errors(include_url=False, include_context=False)[0]
    parts = [str(part) for part in first["loc"]]
    while parts and not any(layer.holds(".".join(parts)) for layer in layers) and len(parts) > 1:
        parts.pop()  # pydantic appends the branch of a union that it tried
    key = ".".join(parts)
    place = origin_of(tuple(layers), key)
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
            return [key_of(name) for name in Settings.model_fields]
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


def key_of(name: str) -> str:
    """What a field of `Settings` is called in a config file."""
    return Settings.model_fields[name].alias or name
