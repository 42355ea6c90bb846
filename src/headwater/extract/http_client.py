"""What the sources that speak HTTP share: how long an answer is waited for, and what `Retry-After` says."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import httpx

from headwater.config import SourceSettings
from headwater.extract.base_extractor import Pace


def http_client(settings: SourceSettings, headers: Mapping[str, str] | None = None, **options: Any) -> httpx.Client:
    """A client that waits as long as a source's settings say, and gives up an answer that drips (`httpx.ReadTimeout`)."""
    timeout = httpx.Timeout(settings.answer_timeout.total_seconds(), connect=settings.connect_timeout.total_seconds())
    paced: list[Callable[..., None]] = [partial(_paced, settings.answer_timeout)]
    return httpx.Client(headers=headers, timeout=timeout, event_hooks={"response": paced}, **options)


def retry_after(response: httpx.Response) -> float | None:
    """`Retry-After` in seconds, told as such or as a date beside the answer's own."""
    told = response.headers.get("Retry-After", "")
    if told.isdecimal():
        return float(told)
    try:
        then, now = parsedate_to_datetime(told), parsedate_to_datetime(response.headers.get("Date", ""))
    except ValueError:
        return None
    return max((then - now).total_seconds(), 0.0)


def _paced(patience: timedelta, response: httpx.Response) -> None:
    """Have an answer's body read under a watch; its head is here by now."""
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _PacedStream(response.stream, patience)


class _PacedStream(httpx.SyncByteStream):
    """A body that raises where it drips: httpx itself only minds the time between two bytes."""

    def __init__(self, stream: httpx.SyncByteStream, patience: timedelta) -> None:
        self._stream = stream
        self._patience = patience

    def __iter__(self) -> Iterator[bytes]:
        pace = Pace(self._patience)
        for part in self._stream:
            yield part
            if pace.drips(len(part)):
                raise httpx.ReadTimeout("the answer drips")

    def close(self) -> None:
        self._stream.close()
