"""Which columns are masked, and how: `masking:` of the settings held against the contracts, before anything is read."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from headwater.config import MaskRule, Settings
from headwater.contracts import Column, Contract, Contracts
from headwater.errors import ConfigurationError
from headwater.masking.key import Key
from headwater.masking.masks import EMBEDDED, KEYED, Mask

_FORM: Final = 1
"""Of the masks' results: raised when a rule begins to give other values than before."""

_KEEPS_EQUALITY: Final = KEYED | {"none"}


@dataclass(frozen=True)
class Masking:
    """The masks of every Silver table's columns, by the bare names of both; a column without one is kept."""

    masks: Mapping[str, Mapping[str, Mask]] = field(default_factory=dict)
    key: Key | None = None

    def of(self, table: str) -> Mapping[str, Mask]:
        return self.masks.get(table, {})

    def tokenized(self, table: str) -> Mapping[str, Mask]:
        """Those whose values are kept in the table of tokens."""
        return {name: mask for name, mask in self.of(table).items() if mask.rule == "tokenize"}

    def record(self, table: str) -> dict[str, Any] | None:
        """What a commit of the table says of its masks: which rules, and which key, by their fingerprints."""
        masks = self.of(table)
        if not masks:
            return None
        rules = {name: [mask.rule, mask.kind, mask.compared_as] for name, mask in masks.items()}
        text = json.dumps([_FORM, rules], sort_keys=True)
        keyed = self.key is not None and any(mask.rule in KEYED for mask in masks.values())
        return {
            "rules": hashlib.sha256(text.encode()).hexdigest()[:16],
            "key": self.key.id if keyed and self.key is not None else None,
        }


def load_masking(settings: Settings, contracts: Contracts) -> Masking:
    """The masks that the settings ask for, with the key that they need.

    Raises:
        ConfigurationError: a rule names what no contract has or cannot be kept there, a personal column has no rule
            where masking is required, or the key is not to be had; names the file and the key.
    """
    masks = masks_of(settings, contracts)
    if not any(mask.rule in KEYED for each in masks.values() for mask in each.values()):
        return Masking(masks)
    key = Key.standing(settings.secrets)
    return Masking(
        {table: {name: replace(mask, key=key) for name, mask in each.items()} for table, each in masks.items()}, key
    )


def masks_of(settings: Settings, contracts: Contracts) -> dict[str, dict[str, Mask]]:
    """The masks that the settings ask for, without their key: enough to say what they are. Raises as `load_masking`."""
    silver = [contract for contract in contracts.values() if contract.layer == "silver"]
    _check_names(settings, silver)
    rules = {contract.name: dict(_rules(settings, contract)) for contract in silver}
    masks: dict[str, dict[str, Mask]] = {}
    for contract in silver:
        for column in contract.columns:
            rule = rules[contract.name][column.name]
            _check_rule(settings, contract, column, rule, contracts)
            if rule != "none":
                mask = Mask(rule, column.classification or "", column.type, column.compared_as)
                masks.setdefault(contract.name, {})[column.name] = mask
    for contract in silver:
        for column in contract.columns:
            for joined in column.joined_with:
                _check_join(settings, contract, column, joined, contracts, rules)
    return masks


def mask_told(
    contract: Contract, column: Column, inputs: Iterable[str], masks: Mapping[str, Mapping[str, Mask]]
) -> str:
    """How a column is masked, in a word; nothing of one that is neither masked nor classified.

    `inputs` are what a Gold table is made of: it takes over what they hold.
    """
    match contract.layer:
        case "silver":
            mask = masks.get(contract.name, {}).get(column.name)
            return mask.rule if mask else "none" if column.classification else ""
        case "bronze":
            return "none" if column.classification else ""
        case "gold":
            sources = [(name, masks[name][column.name]) for name in inputs if column.name in masks.get(name, {})]
            return sources[0][1].rule if sources else "none" if column.classification else ""


def _rules(settings: Settings, contract: Contract) -> Iterator[tuple[str, MaskRule]]:
    """The rule of each column of a Silver table."""
    masking = settings.masking
    for column in contract.columns:
        told = masking.columns.get(f"{contract.table}.{column.name}")
        if told is None and column.classification:
            told = masking.rules.get(column.classification)
            if told is None and masking.required and column.classification.startswith("pii:"):
                raise ConfigurationError(
                    f"{settings.origin('masking.required')}: masking is required, and {contract.table}.{column.name} "
                    f"({column.classification}) has no rule; set masking.rules.{column.classification} or "
                    f"masking.columns.{contract.table}.{column.name} to hash, partial, redact, tokenize or none"
                )
        yield column.name, told or "none"


def _check_names(settings: Settings, silver: list[Contract]) -> None:
    """Every rule is of something: one of nothing would mask nothing."""
    kinds = {column.classification for contract in silver for column in contract.columns if column.classification}
    columns = [f"{contract.table}.{name}" for contract in silver for name in contract.column_names]
    for kind in settings.masking.rules:
        if kind not in kinds:
            _refuse(settings, f"rules.{kind}", f"no column of Silver is classified so{_nearest(kind, kinds)}")
    for name in settings.masking.columns:
        if name not in columns:
            _refuse(settings, f"columns.{name}", f"Silver has no such column{_nearest(name, columns)}")


def _check_rule(settings: Settings, contract: Contract, column: Column, rule: MaskRule, contracts: Contracts) -> None:
    if rule == "none":
        return
    place, name = _place(settings, contract, column), f"{contract.table}.{column.name}"
    if why := _must_stay(contract, column, contracts):
        _refuse(settings, place, f"{name} {why} and can't be masked; only none is possible")
    if column.classification == EMBEDDED and rule != "redact":
        _refuse(
            settings, place, f"{name} is text with e-mail addresses and phone numbers in it: redact or none, not {rule}"
        )
    if column.type not in ("string", "array<string>") and rule != "redact":
        _refuse(settings, place, f"{name} is {column.type}, no text: redact (it becomes null) or none, not {rule}")
    if column.type not in ("string", "array<string>") and column.required:
        _refuse(settings, place, f"{name} is required, and redact makes a {column.type} null; only none is possible")


def _must_stay(contract: Contract, column: Column, contracts: Contracts) -> str:
    """Why a column's values are needed as they are, if they are."""
    if column.name in contract.key:
        return "is part of the key"
    if column.name in (contract.cursor, contract.tie_break):
        return "orders the versions of a row"
    if column.name in contract.partition_by:
        return "parts the table"
    if any(key.column == column.name for key in contract.foreign_keys):
        return "refers to another table"
    referring = [key for each in contracts.values() for key in each.foreign_keys if key.parent == contract.name]
    return "is referred to by another table" if any(key.parent_column == column.name for key in referring) else ""


def _check_join(
    settings: Settings,
    contract: Contract,
    column: Column,
    joined: str,
    contracts: Contracts,
    rules: Mapping[str, Mapping[str, MaskRule]],
) -> None:
    """Both sides of a join stay comparable: each is hashed, tokenized or kept, and the other alike."""
    table, _, name = joined.partition(".")
    other = contracts[table]
    sides = [(contract, column), (other, other.column(name))]
    told = [rules[each.name][of.name] for each, of in sides]
    for (each, of), rule in zip(sides, told, strict=True):
        if rule not in _KEEPS_EQUALITY:
            _refuse(
                settings,
                _place(settings, each, of),
                f"{contract.table}.{column.name} and {other.table}.{name} are joined, which {rule} makes impossible; "
                f"set hash, tokenize or none",
            )
    alike = [
        ("none" if rule == "none" else "hash", of.classification, of.compared_as)
        for (_, of), rule in zip(sides, told, strict=True)
    ]
    if alike[0] != alike[1] and set(told) != {"none"}:
        _refuse(
            settings,
            _place(settings, contract, column),
            f"{contract.table}.{column.name} ({told[0]}) and {other.table}.{name} ({told[1]}) are joined; both need one "
            f"rule, and in their contracts one classification and one comparedAs",
        )


def _place(settings: Settings, contract: Contract, column: Column) -> str:
    """The key below `masking:` that a column's rule comes from."""
    name = f"{contract.table}.{column.name}"
    return f"columns.{name}" if name in settings.masking.columns else f"rules.{column.classification}"


def _refuse(settings: Settings, key: str, why: str) -> None:
    raise ConfigurationError(f"{settings.origin(f'masking.{key}')}: masking.{key}: {why}")


def _nearest(name: str, known: Iterable[str]) -> str:
    listed = sorted(known)
    near = difflib.get_close_matches(name, listed, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(listed[:20])}"
