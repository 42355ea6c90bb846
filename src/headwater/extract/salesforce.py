"""Salesforce's objects: accounts, contacts, opportunities, leads, cases, tasks, solutions."""

# ruff: noqa: S608 - queries are put together from the contract's and the object's own names

import io
import json
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.csv as pacsv

from headwater.config import SalesforceSettings
from headwater.contracts import Contract
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract.again import from_records
from headwater.extract.base_extractor import (
    CursorSpan,
    Extractor,
    Partition,
    Position,
    Reject,
    TimeWindow,
    retried,
    utc,
    windows,
)
from headwater.extract.conform import BronzeShape

if TYPE_CHECKING:
    from headwater.extract.salesforce_api import CsvPage, RestPage, SalesforceSession

OBJECTS = {
    "salesforce_accounts": "Account",
    "salesforce_contacts": "Contact",
    "salesforce_opportunities": "Opportunity",
    "salesforce_leads": "Lead",
    "salesforce_cases": "Case",
    "salesforce_tasks": "Task",
    "salesforce_solutions": "Solution",
}
"""The object of each Bronze table."""

_BY_REST_UP_TO = 20_000
"""So many records are ten pages of the REST API; a query job pays for more."""

_Record: TypeAlias = dict[str, Any]
_BATCH = 10_000
_NOT_QUERIED = frozenset({"address", "location", "base64", "anyType", "complexvalue"})
"""Types of fields that a query job refuses; the parts of an address or a location are fields of their own."""
_CSV_BLOCK = 32 << 20
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True)
class _Query:
    """An object, its fields by the columns that hold them, its cursor field, and the types declared by column."""

    object: str
    fields: Mapping[str, str]
    cursor: str
    declared: Mapping[str, pa.DataType]

    def count(self, window: TimeWindow) -> str:
        return f"SELECT COUNT() FROM {self.object}{self._where(window)}"

    def edge(self, window: TimeWindow, direction: str) -> str:
        return (
            f"SELECT {self.cursor} FROM {self.object}{self._where(window)} ORDER BY {self.cursor} {direction} LIMIT 1"
        )

    def rows(self, window: TimeWindow) -> str:
        return f"SELECT {', '.join(self.fields.values())} FROM {self.object}{self._where(window)}"

    def page(self, window: TimeWindow, last: _Record | None, records: int) -> str:
        """A window's records after `last` by (cursor, Id), or from the first."""
        return f"{self.rows(window)}{self._after(last)} ORDER BY {self.cursor}, Id LIMIT {records}"

    def _after(self, last: _Record | None) -> str:
        if last is None:
            return ""
        # As Salesforce told it, to the last digit: one more or less would skip or repeat records.
        instant, record_id = last[self.cursor].replace("+0000", "Z"), last["Id"]
        return f" AND ({self.cursor} > {instant} OR ({self.cursor} = {instant} AND Id > '{record_id}'))"

    def _where(self, window: TimeWindow) -> str:
        bounds = [f"{self.cursor} < {_literal(window.end)}"]
        if window.start is not None:
            bounds.insert(0, f"{self.cursor} >= {_literal(window.start)}")
        return f" WHERE {' AND '.join(bounds)}"


class SalesforceExtractor(Extractor):
    """Row versions of one object by `SystemModstamp`, deleted records too (`is_deleted`).

    `SystemModstamp` moves with every change, `LastModifiedDate` not with those that Salesforce makes on its own. A small
    window is read page by page by (`SystemModstamp`, `Id`), a large one by a query job of the Bulk API 2.0.
    """

    source = "salesforce"
    places = OBJECTS
    unseen = "records committed later than the overlap, versions soon replaced"

    def __init__(self, settings: SalesforceSettings, secret: Mapping[str, str] | None, contract: Contract) -> None:
        self._settings = settings
        self._secret = secret or {}
        self._contract = contract
        self._object = self.place_of(contract)
        self._shape = BronzeShape(self.source, self._object, contract, self.drift)

    def check(self) -> str:
        with self._session() as session:
            query = self._query(session)
            found = session.count(f"SELECT COUNT() FROM {self._object}")
            return f"{session.instance_url}: {self._object} with {found} records, {len(query.fields)} fields to read"

    def clock(self) -> datetime:
        """The `Date` of an answer: it has no fraction of a second, so it is never ahead."""
        with self._session() as session:
            told = session.get("/").headers.get("Date", "")
        try:
            return parsedate_to_datetime(told).astimezone(UTC)
        except ValueError as error:
            raise SourceUnavailable("salesforce", f"an answer without a usable Date header ({told!r})") from error

    def partitions(self, since: Position, until: datetime) -> list[Partition]:
        """Windows of about `rows_per_window` records, oldest first; none where nothing changed.

        Raises:
            SourceUnavailable: Salesforce did not answer, or its daily requests are used up.
            SourceRejected: it refused the login, or the object lacks a field that the contract requires.
        """
        whole = TimeWindow(since.watermark, until)
        if since.watermark is not None and until <= since.watermark:
            return []
        with self._session() as session:
            query = self._query(session)
            rows = session.count(query.count(whole))
            oldest, newest = (
                (self._edge(session, query, whole, way) for way in ("ASC", "DESC")) if rows else (None, None)
            )
        span = CursorSpan(rows, oldest, newest) if oldest and newest else CursorSpan(0)
        return windows(since.watermark, until, span, self.rows_per_window)

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        """Yield a window's row versions; a batch holds 10 000 at most.

        Raises:
            SourceUnavailable: Salesforce did not answer, or an answer broke off.
            SourceRejected: it refused the login or the query, or the object lacks a field that the contract requires.
        """
        if not isinstance(partition, TimeWindow):
            raise TypeError(f"a window was expected, not {partition}")
        with self._session() as session:
            query = self._query(session)
            with closing(_texts(session, query, partition, self._settings)) as batches:
                for batch in batches:
                    rows = self._shape.cast(batch, reject, declared=query.declared)
                    if rows.num_rows:
                        yield rows

    def again(self, rejects: pa.Table, reject: Reject) -> Iterator[pa.RecordBatch]:
        return from_records(self._shape, rejects, reject)

    def sample(self, rows: int) -> pa.Table:
        """Every field that the app's user may see, as text; columns are named as Bronze names them."""
        with self._session() as session:
            names = [str(told["name"]) for told in session.fields(self._object) if told.get("type") not in _NOT_QUERIED]
            fields = {snake_case(name): name for name in names}
            records: list[_Record] = []
            while len(records) < rows:
                after = f" WHERE Id > '{records[-1]['Id']}'" if records else ""
                page = session.page(
                    f"SELECT {', '.join(names)} FROM {self._object}{after} ORDER BY Id LIMIT {rows - len(records)}"
                )
                records += page.records
                if page.whole:
                    break
        plain = [{field: _simple(record.get(field)) for field in fields.values()} for record in records]
        return pa.Table.from_batches([_from_records(plain, fields)])

    def _session(self) -> "SalesforceSession":
        from headwater.extract.salesforce_api import SalesforceSession

        return SalesforceSession(self._settings, self._secret)

    def _query(self, session: "SalesforceSession") -> _Query:
        """Find the contract's columns among the object's fields, and what it has beside them."""
        described = {str(field["name"]): field for field in session.fields(self._object)}
        fields: dict[str, str] = {}
        for name, told in described.items():
            if told.get("type") not in _NOT_QUERIED:
                fields[name if snake_case(name) in fields else snake_case(name)] = name
        found = self._shape.columns(fields)
        cursor = self._contract.cursor
        if cursor is None or cursor not in found:
            raise SourceRejected(
                "salesforce",
                f"{self._object} has no field for the cursor {cursor} of config/contracts/bronze/{self._contract.name}.yaml",
            )
        chosen = {name: fields[there] for name, there in found.items()}
        declared = {name: _declared(described[field]) for name, field in chosen.items()}
        return _Query(self._object, chosen, fields[cursor], declared)

    @staticmethod
    def _edge(session: "SalesforceSession", query: _Query, window: TimeWindow, direction: str) -> datetime | None:
        """The first or last instant in a window; None if nothing is there any more."""
        records = session.page(query.edge(window, direction)).records
        if not records:
            return None
        told = pa.array([records[0][query.cursor]], pa.string()).cast(pa.timestamp("us", tz="UTC"))
        return utc(told[0].as_py())


def _texts(
    session: "SalesforceSession", query: _Query, window: TimeWindow, settings: SalesforceSettings
) -> Generator[pa.RecordBatch]:
    """A window's records as texts by column: few page by page, many by a query job."""
    if session.count(query.count(window)) <= _BY_REST_UP_TO:
        for records in _Pages(session, query, window, settings):
            yield _from_records(records, query.fields)
        return
    # A job makes its result before the first page is read, and sorting would keep Salesforce from splitting it.
    with closing(session.csv_pages(query.rows(window))) as pages:
        for page in pages:
            yield from _from_csv(page, query.fields)


@dataclass
class _Pages:
    """A window's records a page at a time, each page asked for by the last record of the one before.

    So a page that fails is asked for again, and none before it; a record that leaves the window meanwhile shifts no
    other; and of equal instants, however many, none is left out.
    """

    session: "SalesforceSession"
    query: _Query
    window: TimeWindow
    settings: SalesforceSettings
    _last: _Record | None = None
    _told: set[tuple[str, str]] = field(default_factory=set)

    def __iter__(self) -> Iterator[list[_Record]]:
        whole = False
        while not whole:
            # Of a first page that fails nothing is lost: the run asks for the window again.
            page = self._asked() if self._last is None else retried(self._asked, self.settings)
            fresh = self._not_told(page)
            whole = page.whole and len(page.records) < self.settings.page_records
            if fresh:
                self._last = page.records[-1]
                self._told.update(map(self._version, fresh))
                yield fresh

    def _asked(self) -> "RestPage":
        page = self.session.page(self.query.page(self.window, self._last, self.settings.page_records))
        if not self._not_told(page) and (page.records or not page.whole):
            raise SourceUnavailable("salesforce", f"a page of {self.query.object} was told a second time", whole=False)
        return page

    def _not_told(self, page: "RestPage") -> list[_Record]:
        return [record for record in page.records if self._version(record) not in self._told]

    def _version(self, record: _Record) -> tuple[str, str]:
        return record["Id"], record[self.query.cursor]


def snake_case(name: str) -> str:
    """A field's API name as Bronze spells it: `SystemModstamp` is `system_modstamp`, `Tax_Id__c` is `tax_id_c`."""
    return re.sub(r"_+", "_", _WORD.sub("_", name)).lower()


def _declared(field: Mapping[str, Any]) -> pa.DataType:
    """A field's type as the object's description has it."""
    match field.get("type"):
        case "double" | "currency" | "percent" if precision := int(field.get("precision") or 0):
            return pa.decimal128(precision, int(field.get("scale") or 0))
        case "double" | "currency" | "percent":
            return pa.float64()
        case "int" | "long":
            return pa.int64()
        case "boolean":
            return pa.bool_()
        case "date":
            return pa.date32()
        case "datetime":
            return pa.timestamp("us", tz="UTC")
        case _:
            return pa.string()


def _literal(moment: datetime) -> str:
    """An instant as SOQL writes it. Salesforce keeps milliseconds: the next whole one bounds the same records."""
    rounded = utc(moment) + timedelta(microseconds=999)
    return f"{rounded:%Y-%m-%dT%H:%M:%S}.{rounded.microsecond // 1000:03d}Z"


def _from_records(records: list[_Record], fields: Mapping[str, str]) -> pa.RecordBatch:
    columns = {
        column: pa.array([_text(record.get(field)) for record in records], pa.string())
        for column, field in fields.items()
    }
    return pa.RecordBatch.from_pydict(columns)


def _simple(value: Any) -> Any:
    """A value as it is, or the JSON of one that has fields of its own, such as an address."""
    return json.dumps(value) if isinstance(value, dict | list) else value


def _text(value: Any) -> str | None:
    """A JSON value as text; Salesforce has no empty strings."""
    if isinstance(value, bool):
        return str(value).lower()
    return value or None


def _from_csv(page: "CsvPage", fields: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """A page's records as texts; an empty value is null, for Salesforce has no empty strings."""
    if not page.content.strip():
        return
    names = list(fields.values())
    try:
        table = pacsv.read_csv(
            io.BytesIO(page.content),
            read_options=pacsv.ReadOptions(block_size=_CSV_BLOCK, use_threads=False),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=names,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, KeyError) as error:
        raise SourceUnavailable(
            "salesforce", f"a page of a query job is no CSV of the fields asked for ({error})", whole=False
        ) from error
    if page.records is not None and page.records != table.num_rows:
        raise SourceUnavailable(
            "salesforce", f"a page of a query job holds {table.num_rows} records instead of {page.records}", whole=False
        )
    yield from table.rename_columns(list(fields)).to_batches(max_chunksize=_BATCH)
