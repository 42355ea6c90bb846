"""Lets a stream be produced while what came before is used: reading, hashing and writing go on at the same time."""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Generic, TypeVar

import pyarrow as pa

_AHEAD = 2
_ROWS = 1 << 16
_BYTES = 32 << 20

Item = TypeVar("Item")


class _Stopped(Exception):
    """Nobody wants the rest of a stream."""


class _Given(Generic[Item]):
    """What a stream's thread hands over: an item, or how the stream ended."""

    def __init__(self, item: Item | None = None, *, over: bool = False, error: BaseException | None = None) -> None:
        self.item, self.over, self.error = item, over, error


@contextmanager
def ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """The same items, produced by a thread of their own that is at most two of them ahead.

    What `items` raises is raised where its turn comes. At the end, whatever it was, the thread has ended, and a
    generator that was not used up is closed, by the thread that ran it.
    """
    handed: Queue[_Given[Item]] = Queue(_AHEAD)
    unwanted = threading.Event()

    def hand_over(given: _Given[Item]) -> None:
        handed.put(given)
        if unwanted.is_set():
            raise _Stopped

    def produce() -> None:
        try:
            for item in items:
                hand_over(_Given(item))
            hand_over(_Given(over=True))
        except _Stopped:
            if isinstance(items, Generator):
                items.close()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever takes the items
            handed.put(_Given(error=error))

    def taken() -> Iterator[Item]:
        while True:
            given = handed.get()
            if given.error is not None:
                raise given.error
            if given.over:
                return
            yield given.item  # type: ignore[misc]  # neither over nor failed: it is an item

    thread = threading.Thread(target=produce, name=f"{threading.current_thread().name}-ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        unwanted.set()
        while thread.is_alive():
            try:
                handed.get(timeout=0.05)  # makes room for what the thread still wants to hand over
            except Empty:
                continue
        thread.join()


def gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of some 65 thousand: small ones of one schema are put together.

    A batch is the unit of hashing and a row group of the lake's file; both pay for each one.
    """
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        if waiting and batch.schema != waiting[0].schema:
            yield pa.concat_batches(waiting)
            waiting, rows, size = [], 0, 0
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _ROWS or size >= _BYTES:
            yield waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_batches(waiting)
