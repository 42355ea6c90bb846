"""Files that other systems leave in an S3 bucket, one folder a day."""

import logging
import re
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from headwater.config import AwsSettings, S3Settings
from headwater.contracts import Column, Contract
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract.again import FromPlaces
from headwater.extract.base_extractor import (
    Extractor,
    Pace,
    Partition,
    Position,
    Reject,
    SourceFile,
    credential,
    referred,
    setting,
)
from headwater.extract.beside import arrived
from headwater.extract.csv_file import read_csv
from headwater.extract.drift import named
from headwater.extract.file_records import WHOLE_FILE, FileChunk, refused_whole
from headwater.extract.file_sample import sample_csv, sample_json, sample_json_lines, sample_parquet
from headwater.extract.from_text import reject_batch
from headwater.extract.json_file import read_json, read_json_lines
from headwater.extract.packed_file import CODECS, unpack
from headwater.extract.parquet_file import read_parquet
from headwater.object_store import s3_options

if TYPE_CHECKING:
    from obstore.store import S3Store

FOLDERS = {
    "external_inventory": "erp-export/inventory",
    "external_purchasing": "erp-export/purchasing",
    "external_employees": "hr-export/employees",
    "external_performance_reviews": "hr-export/performance_reviews",
    "external_transactions": "accounting/transactions",
    "external_gl_accounts": "accounting/gl_accounts",
    "external_vendor_products": "vendor/products",
}
"""Where each Bronze table's files lie: `<prefix>/<folder>/YYYY-MM-DD/<any name>`."""

Reader: TypeAlias = Callable[[Path, str, Sequence[Column], str], Generator[FileChunk]]

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".json": read_json,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".parquet": read_parquet,
}
"""How a file is read, by the end of its name; all but Parquet, which compresses by itself, may be packed (`CODECS`)."""

SAMPLES: dict[Reader, Callable[[Path, int], pa.Table]] = {
    read_csv: sample_csv,
    read_json: sample_json,
    read_json_lines: sample_json_lines,
    read_parquet: sample_parquet,
}
"""What takes a sample of a file that `Reader` reads."""

_OWN_COLUMNS = frozenset({"file_date", "_file_key", "_file_etag", "_file_size", "_file_line"})
_DATED = re.compile(r"(\d{4}-\d{2}-\d{2})/[^/]+")
_STATUS = re.compile(r"status code: (\d{3})")
_NO_LOGIN = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"})
_CODE = re.compile(r"<Code>(\w+)</Code>")
_WRITTEN_AT_ONCE = 4 << 20
_WHOLE_TIMEOUT = timedelta(hours=1)

_log = logging.getLogger("headwater.extract")


class S3FileExtractor(Extractor):
    """The records of every file in one folder of a bucket; each version of a file is read once.

    A row is known by its file's key and etag and its place there: the line it begins on, or its number in a Parquet
    file or JSON array. An object is downloaded, and unpacked, whole before its first row is given, so that a row is
    never of a file that changed meanwhile. A file that is damaged is one reject, and keeps no other from being read.
    """

    source = "external"
    places = FOLDERS
    by_cursor = False
    unseen = "a file that was replaced or removed between two runs"
    row_id = "_row_id"

    def __init__(self, settings: S3Settings, secret: Mapping[str, str] | None, contract: Contract) -> None:
        """Without keys in `secret` the machine's own AWS role is used."""
        self._settings = settings
        self._secret = secret or {}
        self._contract = contract
        self._folder = "/".join(part for part in (settings.prefix.strip("/"), self.place_of(contract)) if part)

    def check(self) -> str:
        files = self._listed()
        return f"{self._place}: {len(files)} files" + (f", the newest {files[-1].key}" if files else "")

    def partitions(self, since: Position, until: datetime) -> list[Partition]:  # noqa: ARG002 - a file is there or not
        """The files not consumed yet in this version, by folder date, then by key; `until` does not cut them."""
        return [file for file in self._listed() if file not in since.files]

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        """Yield a file's rows in its order, with `_row_id`.

        Raises:
            SourceUnavailable: the endpoint did not answer, or the object is no longer as it was listed.
            SourceRejected: S3 refused, or the file's header lacks a required column.
        """
        if not isinstance(partition, SourceFile):
            raise TypeError(f"a file was expected, not {partition}")
        columns = [column for column in self._contract.columns if column.name not in _OWN_COLUMNS]
        contract_file = f"config/contracts/bronze/{self._contract.name}.yaml"
        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            path = Path(folder) / "file"
            with self._translated(partition):
                self._download(partition, path)
            with closing(_chunks(path, partition.key, self._url(partition), columns, contract_file)) as chunks:
                for chunk in chunks:
                    if chunk.refused:
                        reject(_rejects(partition, chunk))
                    self._tell_drift(partition, chunk, columns, contract_file)
                    if chunk.lines:
                        yield self._batch(partition, chunk)

    def again(self, rejects: pa.Table, reject: Reject) -> Iterator[pa.RecordBatch]:
        """A record is read where it stands, with its file's header; not of a file that was replaced since."""
        reread = FromPlaces(self, rejects, reject)
        files = {(file.key, file.etag): file for file in self._listed()}
        wanted: dict[tuple[str, str], set[str]] = {}
        for row_id in rejects["_row_id"].to_pylist():
            key, etag, _ = row_id.rsplit(":", 2)
            wanted.setdefault((key, etag), set()).add(row_id)
        for (key, etag), row_ids in wanted.items():
            if (file := files.get((key, etag))) is None:
                place = f"s3://{self._settings.bucket}/{key}"
                reread.gone(row_ids, f"{place} is gone or was replaced since; what is there now is read by itself")
                continue
            as_whole = f"{key}:{etag}:{WHOLE_FILE}"
            yield from reread.rows(file, row_ids, whole=as_whole if as_whole in row_ids else None)
        reread.gone(reread.left(), "its file has no such record")

    def sample(self, rows: int) -> pa.Table:
        """The first rows of the newest file, with the date of its folder; text, unless the file is Parquet."""
        files = self._listed()
        if not files:
            raise SourceRejected("external", f"{self._place} has no file that can be read")
        file = files[-1]
        with tempfile.TemporaryDirectory(prefix="headwater-") as folder:
            path = Path(folder) / "file"
            with self._translated(file):
                self._download(file, path)
            reader, codec = _reader(file.key) or (read_csv, None)
            if codec:
                packed, path = path, path.with_name("unpacked")
                if reason := unpack(packed, path, codec):
                    raise SourceRejected("external", f"{self._url(file)} is {reason}")
            told = SAMPLES[reader](path, rows)
        day = pa.repeat(pa.scalar(self._date(file.key), pa.date32()), told.num_rows)
        return told if "file_date" in told.column_names else told.append_column("file_date", day)

    @property
    def _place(self) -> str:
        return f"s3://{self._settings.bucket}/{self._folder}/"

    def _store(self) -> "S3Store":
        from obstore.store import S3Store

        asked = s3_options(AwsSettings(self._settings.region, self._settings.endpoint_url))
        region = asked.get("aws_region", "us-east-1")
        # Said also where it is AWS's own: a lake elsewhere puts its endpoint into this process's environment.
        own = f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")
        endpoint = asked.get("aws_endpoint_url", own)
        options: dict[str, Any] = {"endpoint": endpoint, "region": region, "virtual_hosted_style_request": False}
        silence = self._settings.answer_timeout
        if self._secret:
            options |= {
                "access_key_id": credential("s3", self._secret, "access_key_id"),
                "secret_access_key": credential("s3", self._secret, "secret_access_key"),
            }
        return S3Store(
            setting("s3", "bucket", self._settings.bucket),
            **options,
            client_options={
                "timeout": _WHOLE_TIMEOUT,
                "read_timeout": silence,
                "connect_timeout": self._settings.connect_timeout,
                "allow_http": endpoint.startswith("http://"),
            },
            retry_config={"max_retries": 1, "retry_timeout": silence},  # the run retries
        )

    def _listed(self) -> list[SourceFile]:
        """Every file that a reader knows, by folder date, then by key."""
        dated: list[tuple[date, SourceFile]] = []
        strange: list[str] = []
        with self._translated():
            for page in self._store().list(prefix=f"{self._folder}/"):
                for item in page:
                    file = SourceFile(item["path"], _plain(item["e_tag"]), item["size"])
                    day = self._date(file.key)
                    if day and _reader(file.key):
                        dated.append((day, file))
                    else:
                        strange.append(file.key)
        if strange:
            expected = (
                f"{self._place}YYYY-MM-DD/<name>, ending in {', '.join(READERS)} (or with {', '.join(CODECS)} behind)"
            )
            _log.warning("%d objects are left out, such as %s: expected %s", len(strange), strange[0], expected)
        return [file for _, file in sorted(dated, key=lambda each: (each[0], each[1].key))]

    def _download(self, file: SourceFile, path: Path) -> None:
        result = self._store().get(file.key)
        if _plain(result.meta["e_tag"]) != file.etag:
            raise SourceUnavailable(
                "external", f"{self._url(file)} changed since it was listed; the next run lists anew", whole=False
            )
        pace = Pace(self._settings.answer_timeout)
        with path.open("wb", buffering=_WRITTEN_AT_ONCE) as out:
            for data in result.stream(min_chunk_size=0):  # as it comes, so that one that drips is noticed
                out.write(data)
                if pace.drips(len(data)):
                    raise SourceUnavailable("external", f"{self._url(file)} drips")
        if path.stat().st_size != file.size:
            raise SourceUnavailable(
                "external", f"{self._url(file)} broke off after {path.stat().st_size} of {file.size} bytes"
            )

    def _batch(self, file: SourceFile, chunk: FileChunk) -> pa.RecordBatch:
        rows = len(chunk.lines)
        schema = self._contract.arrow_schema
        own = {
            "file_date": self._date(file.key),
            "_file_key": file.key,
            "_file_etag": file.etag,
            "_file_size": file.size,
        }
        columns = dict(chunk.columns)
        columns |= {
            name: pa.repeat(pa.scalar(own[name], schema.field(name).type), rows) for name in own if name in schema.names
        }
        lines = pa.array(chunk.lines, pa.int64())
        columns["_file_line"] = lines
        columns["_row_id"] = pc.binary_join_element_wise(f"{file.key}:{file.etag}", lines.cast(pa.string()), ":")
        arrays = {name: columns[name] for name in schema.names} | chunk.besides
        for name, there in named(chunk.unknown, schema.names).items():
            arrays |= arrived(name, chunk.unknown[there], None)
        return pa.RecordBatch.from_pydict(arrays | {"_row_id": columns["_row_id"]})

    def _tell_drift(self, file: SourceFile, chunk: FileChunk, columns: Sequence[Column], contract_file: str) -> None:
        for name in chunk.lacking:
            self.drift.lacks(name, f"{self._url(file)} has no column {name}: it is read as null")
        if chunk.shown is not None and chunk.lines:
            self.drift.shows((column.name for column in columns), chunk.shown, self._place)
        if chunk.unknown:
            extra = ", ".join(sorted(chunk.unknown))
            self.drift.warn(f"{self._place} has columns that {contract_file} does not know; merged in: {extra}")

    def _date(self, key: str) -> date | None:
        """The date of a file's folder; None where the key is not `<folder>/YYYY-MM-DD/<name>`."""
        match = _DATED.fullmatch(key.removeprefix(f"{self._folder}/"))
        try:
            return date.fromisoformat(match[1]) if match else None
        except ValueError:
            return None

    def _url(self, file: SourceFile) -> str:
        return f"s3://{self._settings.bucket}/{file.key}"

    @contextmanager
    def _translated(self, file: SourceFile | None = None) -> Iterator[None]:
        """Say S3's errors as ours."""
        from obstore import exceptions

        try:
            yield
        except (exceptions.NotFoundError, FileNotFoundError) as error:
            if not file:
                raise self._refused("NoSuchBucket", self._place) from error
            raise SourceUnavailable(
                "external", f"{self._url(file)} is gone since it was listed; the next run lists anew", whole=False
            ) from error
        except exceptions.BaseError as error:
            where = self._url(file) if file else self._place
            said = str(error)  # a listing's refusals have no class of their own
            status, code = _STATUS.search(said), _CODE.search(said)
            denied = isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError))
            if denied or (status and _is_refusal(int(status[1]))):
                raise self._refused(code[1] if code else "AccessDenied", where) from error
            endpoint = self._settings.endpoint_url or "S3"
            raise SourceUnavailable("external", f"{endpoint} did not answer while reading {where}") from error

    def _refused(self, code: str, where: str) -> SourceRejected:
        if code == "NoSuchBucket":
            return SourceRejected(
                "external", f"there is no bucket {self._settings.bucket}: check data_sources.s3.bucket"
            )
        if code in ("PermanentRedirect", "AuthorizationHeaderMalformed"):
            return SourceRejected("external", f"{where} is in another region ({code}): check data_sources.s3.region")
        return SourceRejected(
            "external",
            f"S3 denies reading {where} ({code}): check {referred('s3', self._secret)} and its rights s3:ListBucket and "
            "s3:GetObject there",
            whole=code in _NO_LOGIN,
        )


def _reader(key: str) -> tuple[Reader, str | None] | None:
    """What reads a file of this name, and how it is packed; None where nothing does."""
    name = PurePosixPath(key.lower())
    codec = CODECS.get(name.suffix)
    reader = READERS.get(name.with_suffix("").suffix if codec else name.suffix)
    return None if reader is None or (codec and reader is read_parquet) else (reader, codec)


def _chunks(path: Path, key: str, name: str, columns: Sequence[Column], contract_file: str) -> Generator[FileChunk]:
    """The chunks of a downloaded file, unpacked if need be."""
    found = _reader(key)
    if found is None:
        raise ValueError(f"{key} was not listed")
    reader, codec = found
    if codec:
        packed, path = path, path.with_name("unpacked")
        if reason := unpack(packed, path, codec):
            yield refused_whole(packed, reason)
            return
        packed.unlink()
    yield from reader(path, name, columns, contract_file)


def _is_refusal(status: int) -> bool:
    """Whether a retry of a request with this answer is of no use."""
    return 300 <= status < 500 and status not in (408, 429)


def _plain(etag: str | None) -> str:
    return (etag or "").strip('"')


def _rejects(file: SourceFile, chunk: FileChunk) -> pa.RecordBatch:
    return reject_batch(
        [f"{file.key}:{file.etag}:{each.line}" for each in chunk.refused],
        [file.key if each.line == WHOLE_FILE else f"{file.key}:{each.line}" for each in chunk.refused],
        [each.reason for each in chunk.refused],
        [each.raw for each in chunk.refused],
    )
