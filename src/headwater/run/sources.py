"""What the tables of one run share of their sources: whether they answer, their clocks, how many are read at once."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract.base_extractor import Extractor

_READERS = 4


@dataclass
class _Source:
    """One source as a run has found it; `asking` lets one table at a time find out its clock."""

    asking: threading.Lock = field(default_factory=threading.Lock)
    clock: datetime | None = None
    asked: bool = False
    closed: SourceUnavailable | SourceRejected | None = None
    """Why no other table asks it in this run."""


class Sources:
    """One for each run: a circuit for each source, its clock, and a bound on how much is read at once.

    A source that a table has found silent, its attempts used up, is asked by no other table: each would wait as long
    for the same. One that refused the login is not either: a few more wrong ones, and it locks the user out. Its clock is
    asked for once, by whichever table comes first; an older time only reads less.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Source] = defaultdict(_Source)
        self._readers = threading.BoundedSemaphore(_READERS)

    @contextmanager
    def asked_by(self, table: str, source: str) -> Iterator[None]:
        """Do a table's work on its source.

        Raises:
            SourceUnavailable: it is known not to answer, or is found so now.
            SourceRejected: it is known to refuse the login, or does so now.
        """
        known = self._known[source]
        _raise_if_closed(known)
        try:
            yield
        except (SourceUnavailable, SourceRejected) as error:
            if error.whole:
                _close(known, error, table)
            raise

    def clock(self, extractor: Extractor, table: str) -> datetime | None:
        """The source's own time, as it was when the run first asked."""
        known = self._known[extractor.source]
        with known.asking:
            _raise_if_closed(known)
            if not known.asked:
                try:
                    known.clock, known.asked = extractor.clock(), True
                except SourceRejected as error:
                    if error.whole:  # before the next table, which waits for us, logs in
                        _close(known, error, table)
                    raise
            return known.clock

    def reading(self) -> threading.BoundedSemaphore:
        """Held while a span is read: bounds how many are read at once, whatever the tables."""
        return self._readers


def _close(known: _Source, error: SourceUnavailable | SourceRejected, table: str) -> None:
    if known.closed is None:
        did = "refused the login" if isinstance(error, SourceRejected) else "did not answer"
        said = f"not asked again in this run, for it {did} ({table} found it so: {error.said})"
        known.closed = type(error)(error.source, said)


def _raise_if_closed(known: _Source) -> None:
    match known.closed:
        case SourceUnavailable(source=source, said=said):
            error = SourceUnavailable(source, said)
            error.tried = True
            raise error
        case SourceRejected(source=source, said=said):
            raise SourceRejected(source, said)
