"""What the tables of one run share of their sources: whether they answer, their clocks, how many are read at once."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from headwater.errors import SourceUnavailable
from headwater.extract.base_extractor import Extractor

_READERS = 4


@dataclass
class _Source:
    """One source as a run has found it; `asking` lets one table at a time find out its clock."""

    asking: threading.Lock = field(default_factory=threading.Lock)
    clock: datetime | None = None
    asked: bool = False
    gone: str = ""


class Sources:
    """One for each run.

    A source that a table has found silent, its attempts used up, is asked by no other table: each would wait as long
    for the same. Its clock is asked for once, by whichever table comes first; an older time only reads less.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Source] = defaultdict(_Source)
        self._readers = threading.BoundedSemaphore(_READERS)

    @contextmanager
    def asked_by(self, table: str, source: str) -> Iterator[None]:
        """Do a table's work on its source.

        Raises:
            SourceUnavailable: it is known not to answer, or is found so now.
        """
        known = self._known[source]
        self._raise_if_gone(known, source)
        try:
            yield
        except SourceUnavailable as error:
            if error.whole:
                known.gone = known.gone or f"{table} found it so: {str(error).removeprefix(f'{source}: ')}"
            raise

    def clock(self, extractor: Extractor) -> datetime | None:
        """The source's own time, as it was when the run first asked."""
        known = self._known[extractor.source]
        with known.asking:
            self._raise_if_gone(known, extractor.source)
            if not known.asked:
                known.clock, known.asked = extractor.clock(), True
            return known.clock

    def reading(self) -> threading.BoundedSemaphore:
        """Held while a span is read: bounds how many are read at once, whatever the tables."""
        return self._readers

    @staticmethod
    def _raise_if_gone(known: _Source, source: str) -> None:
        if known.gone:
            raise SourceUnavailable(source, f"not asked again in this run, for it did not answer ({known.gone})")
