"""The three sources whose rows are found by a cursor, each in its stand-in, made to show whatever a history has."""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import snowflake.connector
from tests.chaos.model.organisation import SECRET, Organisation, contact, organisation

from headwater.sandbox.redshift import RedshiftStandIn
from headwater.sandbox.snowflake import SnowflakeStandIn
from headwater.sandbox.stand_in import Connection

MS, US = timedelta(milliseconds=1), timedelta(microseconds=1)
INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class Row:
    """What a source shows of a key."""

    key: str | None
    value: str | None
    cursor: datetime | None
    deleted: bool = False


@dataclass
class ModelSource:
    """One source: what it is called in Headwater, how a client reaches it, and how it is made to show rows.

    Attributes:
        columns: the key, the value and the cursor in Bronze, and whether the version is a deletion, if it tells that.
        silver: the Silver table made of it, and the same columns there.
        finest: the smallest difference of two cursors that it tells.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    silver: str
    silver_columns: tuple[str, str, str]
    finest: timedelta
    connection: Connection
    show: Callable[[Sequence[Row], datetime], None]
    key: Callable[[int], str]
    organisation: Organisation | None = None
    owner: dict[str, Any] = field(default_factory=dict)

    @property
    def deletions_shown(self) -> bool:
        return len(self.columns) == 4


@contextmanager
def salesforce(folder: Path, at: datetime) -> Iterator[ModelSource]:
    """Contacts; the value is the last name."""
    with organisation(folder, at) as org:

        def show(rows: Sequence[Row], now: datetime) -> None:
            org.show([contact(row.key, row.value, row.cursor or now, row.deleted) for row in rows], now)

        settings = {"login_url": org.url, "api_version": org.settings().api_version}
        yield ModelSource(
            name="salesforce",
            table="salesforce_contacts",
            columns=("id", "last_name", "system_modstamp", "is_deleted"),
            silver="contacts",
            silver_columns=("contact_id", "last_name", "system_modstamp"),
            finest=MS,
            connection=Connection(settings, SECRET),
            show=show,
            key=lambda number: f"003{number:012d}AAA",
            organisation=org,
        )


@contextmanager
def redshift(folder: Path, at: datetime) -> Iterator[ModelSource]:
    """Events; the value is what was done. `owner` is how whoever may change rows logs in."""
    with ExitStack() as opened:
        # PostgreSQL's own user must be able to reach it, whatever pytest makes of its folders.
        place = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="headwater-model-")))
        names = ("event_id", "customer_id", "event_name", "session_id", "device", "geo", "url_1", "url_2", "metadata")
        _empty(place / "dataset" / "redshift" / "customer_behavior.parquet", names, "event_ts")
        stand_in = RedshiftStandIn(place / "stand-in", None)
        opened.callback(stand_in.stop)
        connection = stand_in.start(place / "dataset", at)
        login = json.loads(stand_in.owner.read_text(encoding="utf-8"))
        login["dbname"] = login.pop("database")
        owner = opened.enter_context(psycopg.connect(**login, autocommit=True))
        owner.execute("CREATE TABLE public.clock AS SELECT now()::timestamp AS at")
        owner.execute("SET allow_system_table_mods = on")
        owner.execute(
            "CREATE OR REPLACE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql STABLE SECURITY DEFINER "
            "AS $$ SELECT at FROM public.clock $$"
        )

        def show(rows: Sequence[Row], now: datetime) -> None:
            with owner.transaction(), owner.cursor() as cursor:
                cursor.execute("DELETE FROM raw.customer_behavior")
                cursor.executemany(
                    "INSERT INTO raw.customer_behavior (event_id, event_name, event_ts) VALUES (%s, %s, %s)",
                    [(row.key, row.value, row.cursor and _plain(row.cursor)) for row in rows],
                )
                cursor.execute("UPDATE public.clock SET at = %s", (_plain(now),))

        yield ModelSource(
            name="redshift",
            table="redshift_behavior",
            columns=("event_id", "event_name", "event_ts"),
            silver="behavior",
            silver_columns=("event_id", "event_name", "event_ts"),
            finest=US,
            connection=connection,
            show=show,
            key=lambda number: f"E{number}",
            owner=login,
        )


@contextmanager
def snowflake_(folder: Path, at: datetime) -> Iterator[ModelSource]:
    """Products; the value is the name."""
    with ExitStack() as opened:
        names = ("PRODUCT_ID", "NAME", "CATEGORY", "BRAND", "CURRENCY")
        _empty(folder / "dataset" / "snowflake" / "PRODUCTS.parquet", names, "LAST_MODIFIED_TS")
        stand_in = SnowflakeStandIn(folder / "stand-in", None)
        opened.callback(stand_in.stop)
        connection = stand_in.start(folder / "dataset", at)
        session = snowflake.connector.connect(
            **{name: value for name, value in connection.settings.items() if name != "warehouse"},
            **connection.secret,
            paramstyle="qmark",
            platform_detection_timeout_seconds=0,
            session_parameters={"CLIENT_TELEMETRY_ENABLED": False},
        )
        opened.callback(session.close)

        def show(rows: Sequence[Row], now: datetime) -> None:
            cursor = session.cursor()
            cursor.execute("DELETE FROM PRODUCTS")
            if rows:
                values = ", ".join(
                    f"({_text(row.key)}, {_text(row.value)}, "
                    f"{'NULL' if row.cursor is None else _text(_plain(row.cursor).isoformat(sep=' '))}::TIMESTAMP_NTZ)"
                    for row in rows
                )
                cursor.execute(f"INSERT INTO PRODUCTS (PRODUCT_ID, NAME, LAST_MODIFIED_TS) VALUES {values}")
            stand_in.advance(now, now)

        yield ModelSource(
            name="snowflake",
            table="snowflake_products",
            columns=("product_id", "name", "last_modified_ts"),
            silver="products",
            silver_columns=("product_id", "name", "last_modified_ts"),
            finest=US,
            connection=connection,
            show=show,
            key=lambda number: f"P{number}",
        )


SOURCES = {"salesforce": salesforce, "redshift": redshift, "snowflake": snowflake_}


def _empty(file: Path, texts: Sequence[str], cursor: str) -> None:
    file.parent.mkdir(parents=True)
    columns = [(name, pa.string()) for name in texts]
    columns += [(name, INSTANT) for name in (cursor, "_visible_at", "_deleted_at")]
    pq.write_table(pa.schema(columns).empty_table(), file)


def _plain(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _text(value: str | None) -> str:
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
