"""What people and later runs want to know without opening a table: watermarks, leases, the ledger of runs.

Three stores hold the same documents: files of this machine, objects in S3, items in DynamoDB. The tables are right where
the two differ.
"""

from pathlib import Path

from headwater.config import Settings
from headwater.errors import ConfigurationError
from headwater.state.documents import Documents
from headwater.state.leases import Holder, Leases, Waiting
from headwater.state.store import StateStore

__all__ = ["Holder", "Leases", "StateStore", "Waiting", "open_store"]


def open_store(settings: Settings) -> StateStore:
    """The store that `state_store` names: a folder (below the state folder by default), `s3://<bucket>/<prefix>` or
    `dynamodb://<table>`.

    Raises:
        ConfigurationError: it is none of them.
    """
    return StateStore(_documents(settings))


def _documents(settings: Settings) -> Documents:
    place = settings.state_store or str(settings.state / "state")
    scheme, found, _ = place.partition("://")
    if not found:
        from headwater.state.local import LocalDocuments

        return LocalDocuments(Path(place))
    if scheme == "s3":
        from headwater.state.s3 import S3Documents

        return S3Documents(place, settings.aws)
    if scheme == "dynamodb":
        from headwater.state.dynamodb import DynamoDocuments

        return DynamoDocuments(place, settings.aws.region, settings.aws.endpoint_url)
    raise ConfigurationError(
        f"state_store: {place} is neither a folder nor s3://<bucket>/<prefix> nor dynamodb://<table>"
    )
