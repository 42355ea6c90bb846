"""Where settings come from: one layer over the other, of which the last that has a key wins."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Layer:
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


@dataclass(frozen=True)
class Context:
    """Where settings were read: the project folder, the config file, and all layers, the lowest first."""

    folder: Path
    file: Path
    layers: tuple[Layer, ...]


def origin_of(layers: tuple[Layer, ...], key: str) -> str:
    """Where the value of a dotted key came from: a file, an environment variable or `default`."""
    for layer in reversed(layers):
        if layer.holds(key):
            return layer.names.get(key, layer.name)
    return "default"
