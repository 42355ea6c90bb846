"""silver.behavior: events with their visit's start, their place and their pages taken apart."""

import re

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from headwater.transform.steps import month, text, version_of
from headwater.transform.table import silver

_SESSION = r"^S(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})-[0-9A-Fa-f]+$"
_COUNTRY = r"^([A-Za-z]{2})(-([A-Za-z0-9]{1,3}))?$"
_POSITIONS = (
    r"^([+-]?\d{1,3}(?:\.\d+)?) *, *([+-]?\d{1,3}(?:\.\d+)?)$",
    # RFC 5870, whose third number is a height
    r"^[Gg][Ee][Oo]:(-?\d{1,3}(?:\.\d+)?),(-?\d{1,3}(?:\.\d+)?)(?:,-?\d+(?:\.\d+)?)?(?:;u=\d+(?:\.\d+)?)?$",
    # ISO 6709, the same
    r"^([+-]\d{2}(?:\.\d+)?)([+-]\d{3}(?:\.\d+)?)(?:[+-]\d+(?:\.\d+)?)?/$",
)
_URL = re.compile(r"url_(\d+)")


@silver("behavior")
def behavior(redshift_behavior: DataFrame) -> DataFrame:
    """Take apart the visit, the place and the pages of every event. One row per input version.

    What is not told in a known form is null; the columns `session_id` and `geo` keep it as it was told.
    """
    latitude, longitude = _degrees(1, limit=90), _degrees(2, limit=180)
    on_earth = latitude.isNotNull() & longitude.isNotNull()
    return redshift_behavior.select(
        text("event_id"),
        text("customer_id"),
        text("event_name"),
        F.col("event_ts"),
        text("session_id"),
        _session_start().alias("session_start_ts"),
        text("device"),
        text("geo"),
        F.upper(_part("geo", _COUNTRY, 1)).alias("geo_country"),
        F.upper(_part("geo", _COUNTRY, 3)).alias("geo_region"),
        F.when(on_earth, latitude).alias("geo_latitude"),
        F.when(on_earth, longitude).alias("geo_longitude"),
        _urls(redshift_behavior.columns).alias("urls"),
        F.col("metadata"),
        month("event_ts", "event_month"),
        *version_of("redshift_behavior"),
    )


def _part(column: str, pattern: str, group: int) -> Column:
    """What a group of the pattern found, null for nothing."""
    return F.nullif(F.regexp_extract(text(column), pattern, group), F.lit(""))


def _session_start() -> Column:
    """The instant in a session's name: `S20241102100000-9f3a` began at 2024-11-02 10:00:00 UTC."""
    year, month_, day, hour, minute, second = (_part("session_id", _SESSION, group) for group in range(1, 7))
    date, time = F.concat_ws("-", year, month_, day), F.concat_ws(":", hour, minute, second)
    return F.when(year.isNotNull(), F.concat(date, F.lit(" "), time)).try_cast("timestamp")


def _degrees(group: int, limit: int) -> Column:
    degrees = F.coalesce(*(_part("geo", form, group) for form in _POSITIONS)).cast("double")
    return F.when(F.abs(degrees) <= limit, degrees)


def _urls(columns: list[str]) -> Column:
    """The pages in the order of their columns' numbers, however many columns there are; empty ones left out."""
    numbered = sorted((int(match[1]), match[0]) for match in map(_URL.fullmatch, columns) if match)
    return F.array_compact(F.array(*(text(name) for _, name in numbered))).cast("array<string>")
