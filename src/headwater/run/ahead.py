"""Lets a stream be produced while what came before is used: reading, hashing and writing go on at the same time."""

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Queue
from typing import Generic, TypeVar

import pyarrow as pa

_AHEAD = 2
_ROWS = 1 << 16
_BYTES = 32 << 20

Item = TypeVar("Item")


class _Stopped(Exception):
    """Nobody wants the rest of a stream."""


class _Over:
    """Comes after the last item; `error` is what the stream failed of."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Producer(Generic[Item]):
    """A thread that works through a stream, at most two items ahead of who takes them."""

    def __init__(self, items: Iterator[Item]) -> None:
        self._items = items
        self._handed: Queue[Item | _Over] = Queue(_AHEAD)
        self._unwanted = threading.Event()
        name = f"{threading.current_thread().name}-ahead"
        self._thread = threading.Thread(target=self._produce, name=name, daemon=True)
        self._thread.start()

    def taken(self) -> Iterator[Item]:
        while True:
            given = self._handed.get()
            if not isinstance(given, _Over):
                yield given
            elif given.error is not None:
                raise given.error
            else:
                return

    def end(self) -> None:
        """Return once the thread has ended; what it still wants to hand over is thrown away."""
        self._unwanted.set()
        while self._thread.is_alive():
            with suppress(Empty):
                self._handed.get(timeout=0.05)
        self._thread.join()

    def _produce(self) -> None:
        try:
            for item in self._items:
                self._hand_over(item)
            self._hand_over(_Over())
        except _Stopped:
            if isinstance(self._items, Generator):
                self._items.close()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever takes the items
            self._handed.put(_Over(error))

    def _hand_over(self, given: Item | _Over) -> None:
        self._handed.put(given)
        if self._unwanted.is_set():
            raise _Stopped


@contextmanager
def ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """The same items, produced by a thread of their own that is at most two of them ahead.

    What `items` raises is raised where its turn comes. At the end, whatever it was, the thread has ended, and a
    generator that was not used up is closed, by the thread that ran it.
    """
    producer = _Producer(items)
    try:
        yield producer.taken()
    finally:
        producer.end()


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
