"""Read the settings of a project: its config file and what overrides it."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from headwater.config.layers import Context, Layer
from headwater.config.mistakes import explained, key_of
from headwater.config.settings import Settings
from headwater.config.yaml_file import read_yaml, shown
from headwater.errors import ConfigurationError

_PREFIX = "HEADWATER_"
_OTHER_VARIABLES = frozenset({"HEADWATER_CI"})
"""Variables with our prefix that are switches of the tests, not settings."""

CHOSEN = "sandbox.yaml"
"""Below the state folder: the dataset that `sandbox up --dataset` chose in place of the config file's."""

CONNECTIONS = "sandbox/connections.yaml"
"""Below the state folder: where the sandbox's stand-ins listen, and references to their secrets."""


def load_settings(file: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read `file` and what overrides it.

    Raises:
        ConfigurationError: the file is missing or not YAML, a key is unknown or a value is not what its key takes;
            the message names the file (or variable) and the key.
    """
    environment = os.environ if environment is None else environment
    file = file.expanduser()
    folder = project_folder(file)
    layers = [Layer(shown(file, folder), read_yaml(file, folder)), _from_environment(environment)]
    settings = _validated(layers, folder, file)
    if settings.sandbox is not None:
        kept = [each for each in (settings.state / CHOSEN, settings.state / CONNECTIONS) if each.exists()]
        layers[1:1] = [Layer(shown(each, folder), read_yaml(each, folder)) for each in kept]
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


def _from_environment(environment: Mapping[str, str]) -> Layer:
    """Read `HEADWATER_<SECTION>__<KEY>`; a variable without `__` counts only if it is, or nearly is, a key."""
    top = {key_of(name): name for name in Settings.model_fields}
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
    return Layer("the environment", values, names)


def _validated(layers: list[Layer], folder: Path, file: Path) -> Settings:
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, layer.values)
    try:
        settings = Settings.model_validate(merged, context={"folder": folder})
    except ValidationError as error:
        raise ConfigurationError(explained(error, layers)) from error
    settings._context = Context(folder, file.absolute(), tuple(layers))
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
