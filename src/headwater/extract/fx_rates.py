"""Currency exchange rates from a vendor's REST API, page by page."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from headwater.config import FxVendorSettings
from headwater.contracts import Contract
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract.again import from_records
from headwater.extract.base_extractor import (
    Extractor,
    Partition,
    Position,
    Reject,
    TimeWindow,
    credential,
    referred,
    retried,
    scrubbed,
    setting,
)
from headwater.extract.conform import BronzeShape
from headwater.extract.from_text import reject_batch

if TYPE_CHECKING:
    from httpx import Client, Response

TABLES = {"fx_vendor_rates": "/v1/rates"}
"""Where each Bronze table is in the API."""

_STATUS = "/v1/status"
_PAGE_ROWS = 5_000
_MOST_SHOWN = 200


class FXRatesExtractor(Extractor):
    """Rates by the instant at which they were published or corrected (`as_of_time`).

    A span is one window: the API can't count, and a page is all that is held of it. A page is asked for again while the
    vendor is busy or silent; `Retry-After` is honoured.
    """

    source = "fx_vendor"
    places = TABLES

    def __init__(self, settings: FxVendorSettings, secret: Mapping[str, str], contract: Contract) -> None:
        """`secret` has `api_key`."""
        self._settings = settings
        self._base_url = setting(self.source, "base_url", settings.base_url).rstrip("/")
        self._path = f"/{self.place_of(contract).lstrip('/')}"
        self._place = f"{self._base_url}{self._path}"
        self._secret = secret
        self._shape = BronzeShape(self.source, self._place, contract, self.drift)

    def check(self) -> str:
        with self._client() as client:
            page = self._page(client, {"page_size": "1"})
        return f"the API key is accepted; {self._place} can be read" + (
            "" if page["rates"] else ", and has no rate yet"
        )

    def clock(self) -> datetime:
        """The vendor's time, to the second: the `Date` of its answer."""
        with self._client() as client:
            told = self._asked(client, _STATUS, {}).headers.get("Date", "")
        try:
            return parsedate_to_datetime(told).astimezone(UTC)
        except ValueError as error:
            raise SourceRejected(self.source, f"{self._base_url}{_STATUS} answers without a Date header") from error

    def partitions(self, since: Position, until: datetime) -> list[Partition]:
        """One window; none where the span is empty."""
        if since.watermark is not None and since.watermark >= until:
            return []
        return [TimeWindow(since.watermark, until)]

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        """Yield a batch per page, typed as the Bronze contract; a rate that does not parse is rejected as it was told.

        Raises:
            SourceUnavailable: the vendor did not answer, is still busy at the last attempt, or goes round in circles.
            SourceRejected: it refused the key or the request, or what it answers are not rates.
        """
        if not isinstance(partition, TimeWindow):
            raise TypeError(f"a time window was expected, not {partition}")
        span = {"as_of_to": _instant(partition.end), "page_size": str(_PAGE_ROWS)}
        if partition.start is not None:
            span["as_of_from"] = _instant(partition.start)
        named: set[str] = set()
        with self._client() as client:
            page = self._page(client, span)
            while True:
                yield from self._batches(page, reject)
                following = page.get("next_cursor")
                if not following:
                    return
                if following in named:  # a page that was given twice, by a cache perhaps; or the vendor never ends
                    raise SourceUnavailable(
                        self.source, f"{self._place} names the same next page twice: {following}", whole=False
                    )
                named.add(str(following))
                page = self._page(client, {**span, "cursor": str(following)})

    def again(self, rejects: pa.Table, reject: Reject) -> Iterator[pa.RecordBatch]:
        return from_records(self._shape, rejects, reject)

    def sample(self, rows: int) -> pa.Table:
        """Rates from the beginning of the API's list, every value as the text that it was told as."""
        told: list[dict[str, Any]] = []
        asked = {"page_size": str(min(rows, _PAGE_ROWS))}
        with self._client() as client:
            while len(told) < rows:
                page = self._page(client, asked)
                told += [rate for rate in page["rates"] if isinstance(rate, dict)]
                if not page.get("next_cursor"):
                    break
                asked = {**asked, "cursor": str(page["next_cursor"])}
        names = dict.fromkeys(name for rate in told for name in rate)
        return pa.table(
            {name: pa.array([_text(rate.get(name)) for rate in told[:rows]], pa.string()) for name in names}
        )

    def _batches(self, page: Mapping[str, Any], reject: Reject) -> Iterator[pa.RecordBatch]:
        """A page's rates as one batch, if it has any."""
        rates = page["rates"]
        rows = [rate for rate in rates if isinstance(rate, dict)]
        if len(rows) < len(rates):
            self._reject_strange([_as_told(rate) for rate in rates if not isinstance(rate, dict)], reject)
        if rows:
            names = list(dict.fromkeys(name for shown in dict.fromkeys(map(tuple, rows)) for name in shown))
            texts = [_texts([row.get(name) for row in rows]) for name in names]
            batch = pa.RecordBatch.from_arrays(texts, names=names)
            yield self._shape.cast(batch, reject, raw=lambda row: _as_told(rows[row]).encode())

    def _reject_strange(self, told: Sequence[str], reject: Reject) -> None:
        raws = [each.encode() for each in told]
        ids = [sha256(raw).hexdigest() for raw in raws]
        reject(reject_batch(ids, [self._place] * len(raws), ["a rate is no JSON object"] * len(raws), raws))

    def _client(self) -> "Client":
        from headwater.extract.http_client import http_client

        key = credential(self.source, self._secret, "api_key")
        return http_client(self._settings, {"Authorization": f"Bearer {key}"})

    def _asked(self, client: "Client", path: str, params: Mapping[str, str]) -> "Response":
        return retried(lambda: self._get(client, path, params), self._settings)

    def _page(self, client: "Client", span: Mapping[str, str]) -> dict[str, Any]:
        """One page; its numbers are the text that the vendor sent."""
        response = self._asked(client, self._path, span)
        try:
            page = json.loads(response.content, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
        except ValueError as error:
            if response.content.lstrip().startswith(b"{"):
                raise SourceUnavailable(self.source, f"an answer of {self._place} broke off") from error
            raise SourceRejected(
                self.source, f"{self._place} does not answer in JSON: check data_sources.fx_vendor.base_url"
            ) from error
        if isinstance(page, dict) and page.get("success") is False:
            told = scrubbed(_as_told(page.get("error")), self._secret)[:_MOST_SHOWN]
            raise SourceRejected(self.source, f"{self._place} refused the request: {told}")
        if not isinstance(page, dict) or not isinstance(page.get("rates"), list):
            raise SourceRejected(
                self.source, f"{self._place} answers without a list of rates: check data_sources.fx_vendor.base_url"
            )
        return page

    def _get(self, client: "Client", path: str, params: Mapping[str, str]) -> "Response":
        """Ask once; an answer that is not 200 becomes our error."""
        import httpx

        from headwater.extract.http_client import retry_after

        try:
            response = client.get(f"{self._base_url}{path}", params=dict(params))
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise SourceRejected(
                self.source, f"data_sources.fx_vendor.base_url is no address: {self._base_url}"
            ) from error
        except httpx.TransportError as error:
            told = scrubbed(error, self._secret) or type(error).__name__
            raise SourceUnavailable(self.source, f"{self._base_url} did not answer: {told}") from error
        match response.status_code:
            case 200:
                return response
            case 401 | 403 as status:
                raise SourceRejected(
                    self.source,
                    f"{self._base_url} refused the API key (HTTP {status}): check api_key in "
                    f"{referred(self.source, self._secret)}, and that it has the right to read {self._path}",
                    whole=True,
                )
            case 408 | 429 as status:
                raise SourceUnavailable(self.source, f"{self._base_url} is busy (HTTP {status})", retry_after(response))
            case status if status >= 500:
                raise SourceUnavailable(self.source, f"{self._base_url} fails (HTTP {status})", retry_after(response))
            case status:
                told = scrubbed(response.text, self._secret)[:_MOST_SHOWN]
                raise SourceRejected(self.source, f"{self._base_url}{path} answers HTTP {status}: {told}")


class _Number(str):
    """A JSON number as it was sent."""

    __slots__ = ()


def _texts(values: list[object]) -> pa.Array:
    """Values as text; most are, as they are sent."""
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.array([_text(value) for value in values], pa.string())


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else _as_told(value)


def _as_told(value: object) -> str:
    """JSON again, each number digit by digit as it came."""
    match value:
        case _Number():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)}: {_as_told(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(_as_told(each) for each in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
