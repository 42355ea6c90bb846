"""Where our own files are: a folder of this machine, or a prefix of a bucket; and how each library is told of it.

On S3 five libraries read and write the same lake: delta-rs its log, obstore single objects, Sail and pyarrow Parquet,
boto3 finds the credentials. All are given one region and one endpoint, and find credentials as every AWS SDK does.
"""

import os
import re
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from headwater.config import AwsSettings, Settings
from headwater.errors import ConfigurationError, LakeError

if TYPE_CHECKING:
    from obstore.auth.boto3 import Boto3CredentialProvider
    from obstore.store import S3Store
    from pyarrow.fs import FileSystem

_PATIENCE = timedelta(seconds=20)
_RETRIES = 3
_SCHEME = "s3://"


class _Clients:
    """What the places of one lake share: connections, and credentials that were found once."""

    def __init__(self) -> None:
        self.objects: S3Store | None = None
        self.s3: FileSystem | None = None
        self.lock = threading.Lock()


@dataclass(frozen=True)
class Place:
    """A folder of this machine, or `s3://<bucket>/<prefix>`.

    Raises:
        ConfigurationError: the URI is of another kind, names no bucket, or has characters that libraries escape.
    """

    uri: str
    aws: AwsSettings = field(default_factory=AwsSettings)
    _clients: _Clients = field(default_factory=_Clients, repr=False, compare=False)

    def __post_init__(self) -> None:
        scheme, found, rest = self.uri.partition("://")
        if not found:
            return
        if scheme != "s3" or not rest.strip("/"):
            raise ConfigurationError(f"lake: {self.uri} is neither a folder nor s3://<bucket>/<prefix>")
        if strange := sorted(set(_STRANGE.findall(rest.partition("/")[2]))):
            # delta-rs and Sail escape them twice.
            raise ConfigurationError(
                f"lake: {self.uri}: a prefix with {' '.join(map(repr, strange))} cannot be read back"
            )

    def __str__(self) -> str:
        return self.uri

    @property
    def is_on_s3(self) -> bool:
        return self.uri.startswith(_SCHEME)

    @property
    def bucket(self) -> str:
        return self.uri.removeprefix(_SCHEME).partition("/")[0]

    @property
    def prefix(self) -> str:
        """What the keys of a place on S3 begin with, without a slash at the end; empty for a whole bucket."""
        return self.uri.removeprefix(_SCHEME).partition("/")[2].strip("/")

    def at(self, path: str) -> "Place":
        """The place of something below this one."""
        return Place(f"{self.uri.rstrip('/')}/{path}", self.aws, self._clients)

    @property
    def drafts(self) -> str:
        """Where on this machine files are written before they are in the place."""
        return tempfile.gettempdir() if self.is_on_s3 else self.uri

    @property
    def log_options(self) -> dict[str, str] | None:
        """What delta-rs is told."""
        if not self.is_on_s3:
            return None
        told = s3_options(self.aws)
        if "aws_region" in told and not os.environ.get("AWS_REGION"):
            # Where delta-rs looks for credentials it takes the region from the environment only, or asks the network
            # for the region of this machine: once a table, and it complains if nobody knows.
            os.environ["AWS_REGION"] = told["aws_region"]
        patience = {"max_retries": str(_RETRIES), "retry_timeout": f"{_PATIENCE.seconds}s"}
        # Without the last one delta-rs looks for credentials neither in a profile nor at the single sign-on.
        return told | patience | {"aws_force_credential_load": "true"}

    @property
    def environment(self) -> dict[str, str]:
        """What Sail is told, which only reads variables of the process."""
        if not self.is_on_s3:
            return {}
        told = s3_options(self.aws)
        # Not AWS_ENDPOINT_URL: boto3 does not know this name, and goes on to ask AWS for secrets.
        names = {"aws_region": "AWS_REGION", "aws_endpoint_url": "AWS_ENDPOINT", "aws_allow_http": "AWS_ALLOW_HTTP"}
        return {names[key]: value for key, value in told.items()}

    @property
    def objects(self) -> "S3Store":
        """The whole bucket of a place on S3, for obstore."""
        with self._clients.lock:
            if self._clients.objects is None:
                self._clients.objects = s3_store(f"{_SCHEME}{self.bucket}", self.aws)
            return self._clients.objects

    @property
    def filesystem(self) -> "FileSystem":
        """The files below a place, for pyarrow; read without going through Python."""
        from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

        if not self.is_on_s3:
            return SubTreeFileSystem(self.uri, LocalFileSystem())
        with self._clients.lock:
            if self._clients.s3 is None:
                self._clients.s3 = _arrow_s3(self.aws)
            return SubTreeFileSystem(self.uri.removeprefix(_SCHEME), self._clients.s3)

    def check(self) -> None:
        """Ask S3 for the place, which costs one request.

        Raises:
            LakeError: there is no such bucket, S3 refuses us, or does not answer; says which setting to look at.
        """
        if not self.is_on_s3:
            return
        import obstore

        try:
            obstore.list_with_delimiter(self.objects, f"{self.prefix}/" if self.prefix else None)
        except (obstore.exceptions.BaseError, OSError) as error:
            raise LakeError(self.refusal(error) or f"the lake {self.uri} cannot be listed") from error

    def content(self, name: str) -> bytes | None:
        """The bytes of a file below the place; None where there is none."""
        if not self.is_on_s3:
            try:
                return (Path(self.uri) / name).read_bytes()
            except FileNotFoundError:
                return None
        import obstore

        try:
            return bytes(obstore.get(self.objects, self.at(name).prefix).bytes())
        except FileNotFoundError:
            return None

    def claimed(self, name: str, content: bytes) -> bytes:
        """Keep `content` under a name below the place, unless something stands there; say what does."""
        if not self.is_on_s3:
            path = Path(self.uri) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError), path.open("xb") as file:
                file.write(content)
            return path.read_bytes()
        import obstore

        place = self.at(name).prefix
        with suppress(obstore.exceptions.AlreadyExistsError, FileExistsError):
            obstore.put(self.objects, place, content, mode="create", use_multipart=False)
        return bytes(obstore.get(self.objects, place).bytes())

    def refusal(self, error: BaseException) -> str:
        """What to do if an error says that S3 refused us or was silent, whichever library met it; empty for any other."""
        said = str(error)
        if not self.is_on_s3:
            return ""
        if "NoSuchBucket" in said:
            return f"the lake {self.uri}: there is no bucket {self.bucket}; create it, or correct `lake:`"
        if any(code in said for code in ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocation")):
            return f"the lake {self.uri} is in another region than aws.region says; correct aws.region"
        if found := _DENIED.search(said) or _FORBIDDEN.search(said):
            return (
                f"the lake {self.uri}: S3 refuses the credentials or lacks a right ({found[0]}); check the AWS profile, "
                f"role or variables of this process, and its right to list, read, write and delete there"
            )
        if "169.254.169.254" in said or "169.254.170.2" in said or "CredentialsNotLoaded" in said:
            return f"the lake {self.uri}: {_NO_CREDENTIALS}"
        if "Generic S3 error" in said or "AWS Error" in said:
            asked = self.aws.endpoint_url or "S3"
            return f"the lake {self.uri}: {asked} does not answer; check aws.endpoint_url, aws.region and the network"
        return ""


def lake_of(settings: Settings) -> Place:
    """Where a project keeps its lake.

    Raises:
        ConfigurationError: `lake:` is neither a folder nor a place on S3.
    """
    return Place(settings.lake, settings.aws)


_STRANGE = re.compile(r"[^A-Za-z0-9_.=/-]")
_DENIED = re.compile(r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|ACCESS_DENIED")
_FORBIDDEN = re.compile(r"403 Forbidden|401 Unauthorized|PermissionDenied")
_NO_CREDENTIALS = (
    "no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the "
    "machine a role"
)


def s3_options(aws: AwsSettings) -> dict[str, str]:
    """Options by the names that Rust's object_store knows, which delta-rs, obstore and Sail are built on.

    Like credentials, what no setting says may be told by the environment, as AWS's own SDKs read it.
    """
    options: dict[str, str] = {}
    if region := aws.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        options["aws_region"] = region
    endpoint = aws.endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        options["aws_endpoint_url"] = endpoint
        options["aws_allow_http"] = str(endpoint.startswith("http://")).lower()
    return options


def s3_store(uri: str, aws: AwsSettings) -> "S3Store":
    """The objects below `s3://<bucket>/<prefix>`.

    Raises:
        ConfigurationError: the extra aws is not installed, or no credentials are to be found.
    """
    from obstore.store import S3Store

    bucket, _, prefix = uri.removeprefix(_SCHEME).strip("/").partition("/")
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=cast("Any", s3_options(aws)),
        credential_provider=_credentials(),
        client_options={"connect_timeout": timedelta(seconds=5), "allow_http": True},
        retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
    )


def _arrow_s3(aws: AwsSettings) -> "FileSystem":
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    options, retries = s3_options(aws), AwsStandardS3RetryStrategy(max_attempts=_RETRIES)
    endpoint = options.get("aws_endpoint_url")
    return S3FileSystem(region=options.get("aws_region"), endpoint_override=endpoint, retry_strategy=retries)


def _credentials() -> "Boto3CredentialProvider":
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise ConfigurationError("S3 needs the extra aws; install it: pip install 'headwater[aws]'") from error
    try:
        return Boto3CredentialProvider()
    except ValueError as error:
        raise ConfigurationError(_NO_CREDENTIALS) from error
