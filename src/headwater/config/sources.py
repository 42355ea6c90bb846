"""What is set for each of the six sources."""

from dataclasses import field
from dataclasses import fields as fields_of
from datetime import timedelta
from typing import Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from headwater.config.values import STRICT, Duration, LocalPath, Patience


@dataclass(config=STRICT)
class SourceSettings:
    """What every source has: how long it is waited for, and how often it is asked again.

    A login is answered within `connect_timeout`. After it `answer_timeout` is the longest silence; an answer that drips
    counts as silence. A source that did not answer is asked `attempts` times in all, the last of them within `retry_for`
    of the first failure; one that wants to be left alone for longer is left to the next run.
    """

    enabled: bool = False
    connect_timeout: Patience = timedelta(seconds=10)
    answer_timeout: Patience = timedelta(minutes=5)
    attempts: int = Field(default=3, ge=1)
    retry_for: Duration = timedelta(minutes=5)


@dataclass(config=STRICT)
class SnowflakeSettings(SourceSettings):
    """Where Snowflake is; `host`, `port` and `protocol` only where it is not `<account>.snowflakecomputing.com`."""

    connect_timeout: Patience = timedelta(seconds=20)
    account: str | None = None
    host: str | None = None
    port: int | None = None
    protocol: Literal["https", "http"] = "https"
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    role: str | None = None


@dataclass(config=STRICT)
class RedshiftSettings(SourceSettings):
    """Where Redshift is; with `iam_role` credentials come from AWS unless the secret has a password.

    `ssl_mode` is libpq's; Redshift always offers TLS, so only a stand-in goes without.
    """

    host: str | None = None
    port: int = 5439
    database: str | None = None
    schema: str | None = None
    iam_role: str | None = None
    ssl_mode: Literal["verify-full", "verify-ca", "require", "disable"] = "require"


@dataclass(config=STRICT)
class SalesforceSettings(SourceSettings):
    """Where Salesforce is, and how many records are asked for at once: fewer where wide ones take it too long."""

    answer_timeout: Patience = timedelta(minutes=2)
    login_url: str = "https://login.salesforce.com"
    api_version: str = "64.0"
    page_records: int = Field(default=2000, ge=1, le=2000)


@dataclass(config=STRICT)
class S3Settings(SourceSettings):
    answer_timeout: Patience = timedelta(seconds=30)
    bucket: str | None = None
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None


@dataclass(config=STRICT)
class KafkaSettings(SourceSettings):
    """Where Kafka is; a broker never says that it refuses a login, so `connect_timeout` is what that takes to be told."""

    connect_timeout: Patience = timedelta(seconds=8)
    answer_timeout: Patience = timedelta(seconds=30)
    bootstrap_servers: str | None = None
    security_protocol: Literal["SASL_SSL", "SSL", "SASL_PLAINTEXT", "PLAINTEXT"] = "SASL_SSL"
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = "SCRAM-SHA-512"
    ssl_ca_location: LocalPath | None = None


@dataclass(config=STRICT)
class FxVendorSettings(SourceSettings):
    answer_timeout: Patience = timedelta(seconds=30)
    base_url: str | None = None


@dataclass(config=STRICT)
class DataSources:
    """The six sources; one whose block is absent is not enabled."""

    snowflake: SnowflakeSettings = field(default_factory=SnowflakeSettings)
    redshift: RedshiftSettings = field(default_factory=RedshiftSettings)
    salesforce: SalesforceSettings = field(default_factory=SalesforceSettings)
    s3: S3Settings = field(default_factory=S3Settings)
    kafka: KafkaSettings = field(default_factory=KafkaSettings)
    fx_vendor: FxVendorSettings = field(default_factory=FxVendorSettings)

    def enabled(self) -> tuple[str, ...]:
        """The names of the sources that are asked."""
        return tuple(each.name for each in fields_of(self) if getattr(self, each.name).enabled)
