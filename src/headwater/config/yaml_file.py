"""A YAML file whose every key stands once."""

from pathlib import Path
from typing import Any

import yaml

from headwater.errors import ConfigurationError


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


def read_yaml(file: Path, folder: Path) -> dict[str, Any]:
    """What a file has at its top; a key without a value is as if it were not there.

    Raises:
        ConfigurationError: it cannot be read, or has no keys and values at the top.
    """
    try:
        with file.open(encoding="utf-8") as stream:
            values = yaml.load(stream, UniqueKeys)  # noqa: S506 - a SafeLoader
    except OSError as error:
        found = sorted(str(each.relative_to(folder)) for each in folder.glob("config/*.yaml") if each.name != "dq.yaml")
        hint = f"; found here: {', '.join(found)}" if found else "; run from the project folder or give --config"
        raise ConfigurationError(f"cannot read the config file {file}: {error.strerror}{hint}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{shown(file, folder)} is not valid YAML: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigurationError(
            f"{shown(file, folder)}: expected keys and values at the top, such as `engine: embedded`"
        )
    return {key: value for key, value in values.items() if value is not None}


def shown(file: Path, folder: Path) -> str:
    """A file as people know it: below the project folder by the path from there."""
    absolute = file.absolute()
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)
