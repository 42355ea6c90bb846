"""Reads what is due of one Bronze table a few pieces at a time, and hands them over oldest first."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from headwater.errors import HeadwaterError

AT_ONCE = 2
"""So many pieces of one table are read, or read and not yet committed, at the same time."""

Piece = TypeVar("Piece")
Found = TypeVar("Found")


class Stopped(HeadwaterError):
    """A piece's reading was given up because one before it failed; nobody is told."""


class Stop:
    """Asked for between two batches by whoever reads on behalf of somebody who may have failed meanwhile."""

    def __init__(self) -> None:
        self._set = threading.Event()

    def now(self) -> None:
        self._set.set()

    def check(self) -> None:
        """Give up if that was asked for."""
        if self._set.is_set():
            raise Stopped("another piece failed")


@contextmanager
def read_in_order(
    pieces: Sequence[Piece], read: Callable[[int, Piece, Stop], Found], discard: Callable[[Found], None]
) -> Iterator[Iterable[tuple[Piece, Found]]]:
    """Give each piece with what `read` made of it, in order; the next ones are read meanwhile.

    What a piece raises is raised where its turn comes. At the end, whatever it was, no piece is being read any more,
    and what was read but not given is discarded.
    """
    stop = Stop()
    if len(pieces) == 1:  # most runs: no thread is needed for it
        yield ((piece, read(0, piece, stop)) for piece in pieces)
        return
    ahead: deque[tuple[Piece, Future[Found]]] = deque()
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="window")

    def given() -> Generator[tuple[Piece, Found]]:
        for number, piece in enumerate(pieces):
            ahead.append((piece, pool.submit(read, number, piece, stop)))
            if len(ahead) == AT_ONCE:
                yield _first(ahead)
        while ahead:
            yield _first(ahead)

    try:
        yield given()
    finally:
        stop.now()
        pool.shutdown(wait=True, cancel_futures=True)
        for _, future in ahead:
            if not future.cancelled() and future.exception() is None:
                discard(future.result())


def _first(ahead: "deque[tuple[Piece, Future[Found]]]") -> tuple[Piece, Found]:
    piece, future = ahead.popleft()
    return piece, future.result()
