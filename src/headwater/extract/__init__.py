"""One extractor for each source. Client libraries are imported when a source is first asked, not with this package."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headwater.contracts import Contract
from headwater.errors import ConfigurationError
from headwater.extract import fx_rates, kafka_orders_stream, redshift_behavior, s3_files, salesforce, snowflake_orders
from headwater.extract.base_extractor import Extractor
from headwater.extract.fx_rates import FXRatesExtractor
from headwater.extract.kafka_orders_stream import KafkaConsumer
from headwater.extract.redshift_behavior import RedshiftExtractor
from headwater.extract.s3_files import S3FileExtractor
from headwater.extract.salesforce import SalesforceExtractor
from headwater.extract.snowflake_orders import SnowflakeExtractor

__all__ = [
    "EXTRACTORS",
    "FXRatesExtractor",
    "KafkaConsumer",
    "RedshiftExtractor",
    "S3FileExtractor",
    "SalesforceExtractor",
    "SnowflakeExtractor",
    "Source",
    "build",
]


@dataclass(frozen=True)
class Source:
    """Where a Bronze table comes from: `name` is the key below `data_sources:` and `secrets:`.

    `extractor` is made from the source's settings, its secret and the table's contract.
    """

    name: str
    extractor: type[Extractor]


EXTRACTORS: dict[str, Source] = {
    **dict.fromkeys(snowflake_orders.TABLES, Source("snowflake", SnowflakeExtractor)),
    **dict.fromkeys(redshift_behavior.TABLES, Source("redshift", RedshiftExtractor)),
    **dict.fromkeys(salesforce.OBJECTS, Source("salesforce", SalesforceExtractor)),
    **dict.fromkeys(s3_files.FOLDERS, Source("s3", S3FileExtractor)),
    **dict.fromkeys(kafka_orders_stream.TOPICS, Source("kafka", KafkaConsumer)),
    **dict.fromkeys(fx_rates.TABLES, Source("fx_vendor", FXRatesExtractor)),
}
"""Every Bronze table, and what reads it."""


def build(table: str, settings: Any, secret: Mapping[str, str], contract: Contract) -> Extractor:
    """The extractor of a Bronze table; `settings` is its source's own block of `data_sources`.

    Raises:
        ConfigurationError: no source has this table, or a setting that its source needs is missing.
    """
    if table not in EXTRACTORS:
        raise ConfigurationError(f"no source has the table {table}; known: {', '.join(sorted(EXTRACTORS))}")
    return EXTRACTORS[table].extractor(settings, secret, contract)
