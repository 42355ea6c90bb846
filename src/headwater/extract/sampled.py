"""Some rows of any table of any source, through the extractor that a run reads it with; it needs no contract yet."""

import re
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from headwater.config import Settings
from headwater.contracts import Contract
from headwater.errors import ConfigurationError
from headwater.extract import EXTRACTORS
from headwater.extract.base_extractor import Extractor

_PREFIXES: Final = {"s3": "external"}
"""How the Bronze tables of a source are called, where not by its name."""


@dataclass(frozen=True)
class Sample:
    """`bronze` is what the Bronze table is or would be called, `path` where it would lie, `name` a short name."""

    bronze: str
    path: str
    name: str
    rows: pa.Table


def sampled(settings: Settings, table: str, rows: int) -> Sample:
    """At most `rows` rows of a table named as `<source>.<table>`, the latter as the source calls it.

    Raises:
        ConfigurationError: there is no such source, or it is not enabled.
        SourceUnavailable: it did not answer.
        SourceRejected: it refused the login, or has no such table.
    """
    source, _, wanted = table.partition(".")
    extractors = {each.name: each.extractor for each in EXTRACTORS.values()}
    if source not in extractors or not wanted:
        known = ", ".join(sorted(extractors))
        raise ConfigurationError(f"{table} is no <source>.<table>, such as snowflake.ORDERS; sources: {known}")
    if source not in settings.data_sources.enabled():
        place = settings.origin(f"data_sources.{source}.enabled")
        raise ConfigurationError(f"{source} is not enabled ({place}); set data_sources.{source}.enabled: true")
    bronze, at_source = _found(extractors[source], source, wanted)
    prefix = _PREFIXES.get(source, source)
    contract = Contract("bronze", bronze, f"bronze/{prefix}", (), at_source=at_source, partial=True)
    secret = settings.secrets.get(source)
    extractor = extractors[source](getattr(settings.data_sources, source), secret, contract)
    try:
        told = extractor.sample(rows)
    finally:
        extractor.close()
    return Sample(bronze, f"{prefix}/{_plain(wanted)}", _plain(wanted.rpartition("/")[2]), told)


def _found(extractor: type[Extractor], source: str, wanted: str) -> tuple[str, str]:
    """The Bronze table's name and what the source calls it, by the source's own list or as it is given."""
    for bronze, place in extractor.places.items():
        if wanted.lower() in (place.lower(), place.strip("/").rpartition("/")[2].lower()):
            return bronze, place
    return f"{_PREFIXES.get(source, source)}_{_plain(wanted.rpartition('/')[2])}", wanted


def _plain(name: str) -> str:
    """A name in small letters, digits and underscores."""
    return re.sub(r"\W+", "_", name).strip("_").lower()
