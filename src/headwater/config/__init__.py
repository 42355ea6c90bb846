"""Typed settings: defaults, then the config file, then the running sandbox, then `HEADWATER_…` in the environment.

A later layer wins key by key, and `Settings.origin` says which layer a value came from. A key that no setting has is
an error. Secrets are only ever references here; `settings.secrets.get(name)` follows one when it is needed.
"""

from headwater.config.loading import CHOSEN, load_settings, project_folder
from headwater.config.settings import (
    AwsSettings,
    MaskRule,
    SandboxSettings,
    Settings,
    TableSettings,
)
from headwater.config.sources import (
    DataSources,
    FxVendorSettings,
    KafkaSettings,
    RedshiftSettings,
    S3Settings,
    SalesforceSettings,
    SnowflakeSettings,
    SourceSettings,
)
from headwater.config.values import Duration
from headwater.config.yaml_file import UniqueKeys

__all__ = [
    "CHOSEN",
    "AwsSettings",
    "DataSources",
    "Duration",
    "FxVendorSettings",
    "KafkaSettings",
    "MaskRule",
    "RedshiftSettings",
    "S3Settings",
    "SalesforceSettings",
    "SandboxSettings",
    "Settings",
    "SnowflakeSettings",
    "SourceSettings",
    "TableSettings",
    "UniqueKeys",
    "load_settings",
    "project_folder",
]
