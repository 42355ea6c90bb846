"""What a source shows otherwise than its Bronze contract says: who is told, and how new columns are named."""

import logging
import re
import threading
from collections.abc import Collection, Iterable
from hashlib import md5

from headwater.contracts.drifted import MORE

_LOG = logging.getLogger("headwater.extract")
_STRANGE = re.compile(r"\W+")
_OURS = re.compile(r"__+")


class Drift:
    """What a source showed otherwise than its contract says, each said once; several threads may tell it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._lacking: dict[str, str] = {}
        self._shown: set[str] = set()
        self._said: set[str] = set()

    def __reduce__(self) -> tuple[type["Drift"], tuple[str]]:
        """In another process an extractor begins to tell anew."""
        return Drift, (self._source,)

    def lacks(self, column: str, text: str) -> None:
        """A column of the contract is not there: a table, header or schema says so."""
        with self._lock:
            self._lacking.setdefault(column, text)
        self.warn(text)

    def shows(self, wanted: Iterable[str], shown: Collection[str], place: str) -> None:
        """Some records have these fields: what none of all the records read has is told as missing by `missing`."""
        with self._lock:
            self._shown.update(shown)
            for column in wanted:
                if column not in shown:
                    self._lacking.setdefault(column, f"no record of {place} has {column}: it is null")

    def missing(self) -> dict[str, str]:
        """The columns that lacked so far, and what is to be said of each."""
        with self._lock:
            lacking = {name: text for name, text in self._lacking.items() if name not in self._shown}
        for text in lacking.values():
            self.warn(text)
        return lacking

    def warn(self, text: str) -> None:
        """Leave a line in the log, once."""
        with self._lock:
            if text in self._said:
                return
            self._said.add(text)
        _LOG.warning("%s: %s", self._source, text)


def named(unknown: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """A source's columns by the names that they get in Bronze, beside those that are `taken`.

    Small letters; what is neither letter, digit nor `_` is `_`, and there are never two of these in a row, for
    `__` stands before a type; names that begin with `_` are our own. Of names that would be the same all but the first
    get a mark that is theirs.
    """
    found: dict[str, str] = {}
    for source in sorted(unknown):
        name = _OURS.sub("_", _STRANGE.sub("_", source.lower())).strip("_") or "column"
        if source.startswith("_"):
            name = f"source_{name}"
        if name in taken or name in found or name == MORE:
            name = f"{name}_{md5(source.encode(), usedforsecurity=False).hexdigest()[:6]}"
        found[name] = source
    return found
