"""What a state store is made of: small JSON documents, each replaced as a whole by whoever saw its last state."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Document:
    """A document as it was read; `content` is None where something else than a JSON object stands in its place."""

    content: Mapping[str, Any] | None
    tag: str


class Documents(Protocol):
    """Documents by kind and name. Every verb raises `StateUnavailable` where the place does not answer."""

    @property
    def place(self) -> str:
        """Where the documents are, for people."""
        ...

    @property
    def on_this_machine(self) -> bool:
        """No other machine reaches them, so that whoever wrote one is, or was, a process here."""
        ...

    def get(self, kind: str, name: str) -> Document | None:
        """The document, or None where there is none."""
        ...

    def put(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        """Replace the document, whatever it was. A reader sees the old one or the new one, also after a power cut."""
        ...

    def swap(self, kind: str, name: str, content: Mapping[str, Any], tag: str | None) -> str | None:
        """Replace the document if it is still the one with `tag` (None: if there is none), and say its new tag.

        Says None, and changes nothing, where somebody was faster. Of any number who swap one state, one succeeds.
        """
        ...

    def sweep(self) -> int:
        """Remove what writers that died left half-written, and say how many there were."""
        ...

    def names(self, kind: str, prefix: str = "") -> list[str]:
        """The names of a kind that begin with `prefix`, sorted."""
        ...


def encoded(content: Mapping[str, Any]) -> bytes:
    """A document's bytes; what JSON lacks becomes text."""
    return json.dumps(content, sort_keys=True, default=str, ensure_ascii=False).encode()


def decoded(raw: bytes | str) -> Mapping[str, Any] | None:
    """A document's content; None where the bytes are no JSON object."""
    try:
        content = json.loads(raw)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None
