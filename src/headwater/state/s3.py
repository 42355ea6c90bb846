"""State in a bucket: an object for each document, swapped by S3's conditional put."""

from collections.abc import Mapping
from typing import Any

from headwater.config import AwsSettings
from headwater.errors import ConfigurationError, StateUnavailable
from headwater.object_store import s3_store
from headwater.state.documents import Document, decoded, encoded


class S3Documents:
    """JSON objects below `s3://<bucket>/<prefix>`; every machine with the right shares them.

    Source: Amazon S3 user guide, "Conditional writes" (`If-Match`, `If-None-Match`).
    """

    on_this_machine = False

    def __init__(self, uri: str, aws: AwsSettings) -> None:
        """Credentials are boto3's to find.

        Raises:
            ConfigurationError: the URI names no bucket, or the extra aws is not installed.
        """
        if not uri.removeprefix("s3://").strip("/"):
            raise ConfigurationError(f"state_store: {uri} names no bucket; write s3://<bucket>/<prefix>")
        self.place = uri
        self._store = s3_store(uri, aws)

    def get(self, kind: str, name: str) -> Document | None:
        import obstore

        try:
            answer = obstore.get(self._store, _key(kind, name))
            return Document(decoded(bytes(answer.bytes())), str(answer.meta["e_tag"]))
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise self._gone(error) from error
            return None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._gone(error) from error

    def put(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        import obstore

        try:
            obstore.put(self._store, _key(kind, name), encoded(content))
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._gone(error) from error

    def swap(self, kind: str, name: str, content: Mapping[str, Any], tag: str | None) -> str | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            mode: Any = "create" if tag is None else {"e_tag": tag}
            answer = obstore.put(self._store, _key(kind, name), encoded(content), mode=mode, use_multipart=False)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError, FileExistsError):
            return None
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._gone(error) from error
        return str(answer["e_tag"])

    def sweep(self) -> int:
        return 0  # nothing is ever half-written here

    def names(self, kind: str, prefix: str = "") -> list[str]:
        import obstore

        try:
            pages = obstore.list(self._store, f"{kind}/")
            paths = [str(each["path"]) for page in pages for each in page]
        except (obstore.exceptions.BaseError, OSError) as error:
            raise self._gone(error) from error
        names = (path.removeprefix(f"{kind}/").removesuffix(".json") for path in paths if path.endswith(".json"))
        return sorted(name for name in names if name.startswith(prefix))

    def _gone(self, error: Exception) -> StateUnavailable:
        if "NoSuchBucket" in str(error):
            return StateUnavailable(f"the state store {self.place}: there is no such bucket; create it")
        first = (str(error).strip().splitlines() or ["no message"])[0][:200]
        return StateUnavailable(f"the state store {self.place} did not answer: {first}")


def _key(kind: str, name: str) -> str:
    return f"{kind}/{name}.json"
