"""Where contracts lie: a folder here or on S3 with `bronze/`, `silver/` and `gold/`, a YAML file for each table."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import yaml

from headwater.config import AwsSettings
from headwater.contracts.contract import Layer
from headwater.errors import ConfigurationError
from headwater.object_store import s3_store

if TYPE_CHECKING:
    pass

LAYERS: tuple[Layer, ...] = ("bronze", "silver", "gold")
Place: TypeAlias = Sequence[str | int]
"""Where something stands in a document: keys and positions, from the outside in."""

_AT_ONCE = 8


@dataclass(frozen=True)
class ContractFile:
    """The text of one file; `shown` is its path or URI, `layer` the folder that it lies in."""

    shown: str
    layer: Layer
    stem: str
    text: str

    def line(self, place: Place) -> int:
        """The line, from 1, on which `place` begins, or the innermost of what holds it that is there."""
        return line_of(self.text, place)


def line_of(text: str, place: Place) -> int:
    """The line, from 1, of a YAML document on which `place` begins, or the innermost of what holds it that is there."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        return 1 if error.problem_mark is None else error.problem_mark.line + 1
    line = 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == step), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def contract_files(location: str, aws: AwsSettings) -> list[ContractFile]:
    """Every file of a folder, by layer and then by name; `location` is a path or `s3://<bucket>/<prefix>`.

    Raises:
        ConfigurationError: there is none, or S3 does not show them; the message names the place.
    """
    if location.startswith("s3://"):
        files = list(_on_s3(location, aws))
    elif "://" in location:
        raise ConfigurationError(f"{location}: contracts are read from a folder or from s3://<bucket>/<prefix>")
    else:
        files = [
            ContractFile(str(path), layer, path.stem, path.read_text(encoding="utf-8"))
            for layer in LAYERS
            for path in sorted((Path(location) / layer).glob("*.yaml"))
        ]
    if not files:
        raise ConfigurationError(
            f"{location}: no contracts; it should hold bronze/, silver/ and gold/ with a file a table"
        )
    return files


def contract_file(path: Path) -> ContractFile:
    """One file, wherever it lies: its layer is that of its folder, or else the first part of its own `name`.

    Raises:
        ConfigurationError: it cannot be read, or does not say its layer.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot read the contract: {error}") from error
    for layer in LAYERS:
        if path.parent.name == layer or f"\nname: {layer}." in f"\n{text}":
            return ContractFile(str(path), layer, path.stem, text)
    raise ConfigurationError(f"{path}: name: begin it with the table's layer, as in silver.orders")


def _on_s3(location: str, aws: AwsSettings) -> Iterator[ContractFile]:
    import obstore
    from obstore.exceptions import BaseError

    root = f"s3://{location.removeprefix('s3://').rstrip('/')}"
    if not root.removeprefix("s3://"):
        raise ConfigurationError(f"{location}: contracts_path names no bucket; write s3://<bucket>/<prefix>")
    store = s3_store(root, aws)
    try:
        listed = [str(item["path"]) for page in obstore.list(store) for item in page]
        keys = [f"{layer}/{key}" for layer in LAYERS for key in sorted(_names(listed, layer))]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            texts = pool.map(lambda key: bytes(obstore.get(store, key).bytes()).decode("utf-8"), keys)
            for key, text in zip(keys, texts, strict=True):
                layer, _, name = key.partition("/")
                yield ContractFile(f"{root}/{key}", cast("Layer", layer), name.removesuffix(".yaml"), text)
    except (BaseError, OSError) as error:
        code = re.search(r"<Code>(\w+)</Code>", str(error))
        told = code[1] if code else str(error).strip().splitlines()[0][:300]
        raise ConfigurationError(
            f"{location}: S3 does not show the contracts ({told}); check the bucket, `aws.region`, `aws.endpoint_url` and "
            "the right to list and read there"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{location}: a contract is not UTF-8 text: {error}") from error


def _names(keys: Sequence[str], layer: Layer) -> list[str]:
    """The files that lie directly in the folder of a layer."""
    below = (key.removeprefix(f"{layer}/") for key in keys if key.startswith(f"{layer}/"))
    return [name for name in below if name.endswith(".yaml") and "/" not in name]
