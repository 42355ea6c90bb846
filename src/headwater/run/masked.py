"""Keeps masks of two keys, or of two sets of rules, out of one table and out of what is made of it."""

from collections.abc import Mapping
from typing import Any

from headwater.contracts import Contract
from headwater.engine import Head
from headwater.errors import MaskedOtherwise
from headwater.run.context import Context


def masks_differ(context: Context, contract: Contract, head: Head) -> bool:
    """Whether a Silver table must be rebuilt for its masks; one whose last commit can't be read is rebuilt anyway.

    Raises:
        MaskedOtherwise: it stands with other masks, and the run was not asked to rebuild it.
    """
    asked = context.masking.record(contract.name)
    if head.inputs is None or contract.layer != "silver" or head.metadata.get("masking") == asked:
        return False
    if not context.remask:
        raise MaskedOtherwise(
            f"{_difference(contract, head, asked)}; masks are never mixed: correct the settings, or rebuild it and what "
            f"is made of it with `headwater run --remask`"
        )
    return True


def check_inputs(context: Context, contract: Contract, heads: Mapping[str, Head | None]) -> None:
    """See that all that a Gold table is made of stands with the masks of the settings.

    Raises:
        MaskedOtherwise: an input does not.
    """
    for name, head in heads.items():
        asked = context.masking.record(name)
        if head is not None and head.metadata.get("masking") != asked:
            told = _difference(context.contracts[name], head, asked)
            raise MaskedOtherwise(f"{contract.table} is made of it: {told}; run with --remask, {name} among the tables")


def _difference(contract: Contract, head: Head, asked: Mapping[str, Any] | None) -> str:
    """What stands and what is asked for; ids of keys tell nothing of the keys."""
    standing = head.metadata.get("masking")
    if standing is None:
        return f"{contract.table} stands unmasked, and the settings mask it"
    if asked is None:
        return f"{contract.table} stands masked, and the settings do not mask it"
    if standing.get("key") != asked["key"]:
        return f"{contract.table} is masked with the key {standing.get('key')}, and secrets.masking is the key {asked['key']}"
    return f"{contract.table} is masked by other rules than the settings have"
