"""The catalogue of troubles: what is odd in `generated`, how often, and how its rows are found in a made folder.

`docs/datasets.md` shows it as `table` writes it. A condition is DuckDB's, over the view of its `file`:

- `orders`, `customers`, `contact` and so on: the versions of each Parquet file, with `n`, the number of the row;
- `orders_events`, `user_events`, `inventory_updates`: the messages, also with `text`, the value in UTF-8 (null where it
  is not), and `told`, that as JSON (null where it is no object);
- `lines`: the lines of the inventory files, with `day`, `line` (bytes beyond ASCII as `\\xF3`) and `n`.
"""

# ruff: noqa: S608 - conditions are put together from the catalogue's own words

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets.columns import dates, integers, micros, texts
from headwater.sandbox.datasets.folder import URLS

_WEB, _TOPICS = "customer_behavior", ("orders_events", "user_events", "inventory_updates")
FILES = {
    "orders": "snowflake/ORDERS",
    "customers": "snowflake/CUSTOMERS",
    "products": "snowflake/PRODUCTS",
    _WEB: "redshift/customer_behavior",
    "account": "salesforce/Account",
    "contact": "salesforce/Contact",
    "opportunity": "salesforce/Opportunity",
    **{topic: f"kafka/{topic}" for topic in _TOPICS},
}
"""The Parquet file behind each view but `lines`."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong or odd with about one in `one_in` rows of `file`, which are those of the condition `rows`."""

    file: str
    what: str
    one_in: int
    rows: str


def _ranked(file: str, key: str, expression: str) -> str:
    """The rows of which the expression, with windows over the versions `w` of a key and those before it `v`, holds."""
    order = f"PARTITION BY {key} ORDER BY _visible_at, n"
    return f"""n IN (SELECT n FROM (SELECT n, {expression} AS found FROM {file}
        WINDOW w AS ({order}), v AS ({order} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) WHERE found)"""


def _beyond_ascii(file: str, **columns: int) -> list[Trouble]:
    return [
        Trouble(file, f"`{name}` with letters beyond ASCII", one_in, f"regexp_matches({_value(file, name)}, '[^ -~]')")
        for name, one_in in columns.items()
    ]


def _value(file: str, name: str) -> str:
    return f"(told->>'{name}')" if file in _TOPICS else name


_LATE = "_visible_at - LAST_MODIFIED_TS"
_ORDERS = [
    Trouble("orders", "customer nobody knows, for ever", 331, "CUSTOMER_ID LIKE 'X%'"),
    Trouble(
        "orders", "customer who becomes visible a day after the order", 499,
        "CUSTOMER_ID IN (SELECT CUSTOMER_ID FROM customers WHERE CUSTOMER_ID SIMILAR TO '.9[0-9]{8}')",
    ),
    Trouble("orders", "`CUSTOMER_ID` null", 509, "CUSTOMER_ID IS NULL"),
    Trouble("orders", "`QUANTITY` negative, mostly put right by a later version", 503, "QUANTITY < 0"),
    Trouble("orders", "`CURRENCY` `XXX`", 487, "CURRENCY = 'XXX'"),
    Trouble("orders", "`CURRENCY` in small letters or between spaces", 97, "CURRENCY <> upper(trim(CURRENCY))"),
    Trouble("orders", "`STATUS` in small or mixed letters", 20, "STATUS <> upper(STATUS) AND STATUS SIMILAR TO '[ -~]*'"),
    Trouble("orders", "`AMOUNT` with four decimals, half of them half a cent", 211, "AMOUNT <> round(AMOUNT, 2)"
            " AND abs(AMOUNT) < 1e12"),
    Trouble("orders", "`AMOUNT` that rounded to cents has 17 digits before the point", 997, "abs(AMOUNT) > 1e12"),
    Trouble("orders", "a second, third or fourth version", 8, _ranked("orders", "ORDER_ID", "row_number() OVER w > 1")),
    Trouble(
        "orders", "visible after a version with a later stamp", 280,
        _ranked("orders", "ORDER_ID", "max(LAST_MODIFIED_TS) OVER v > LAST_MODIFIED_TS"),
    ),
    Trouble(
        "orders", "with the stamp of the version before", 280,
        _ranked("orders", "ORDER_ID", "lag(LAST_MODIFIED_TS) OVER w = LAST_MODIFIED_TS"),
    ),
    Trouble("orders", "visible 1 to 50 minutes after its stamp", 51, f"{_LATE} BETWEEN INTERVAL 1 MINUTE AND INTERVAL 50 MINUTE"),
    Trouble("orders", "the same across midnight, when a run reads", 200,
            f"{_LATE} < INTERVAL 1 HOUR AND _visible_at::DATE > LAST_MODIFIED_TS::DATE"),
    Trouble("orders", "visible 7 hours after its stamp, across midnight: no run before that finds it", 280,
            f"{_LATE} > INTERVAL 2 HOUR"),
    Trouble("orders", "`ORDER_DATE` moved to a later month", 420, _ranked("orders", "ORDER_ID",
            "strftime(ORDER_DATE, '%Y-%m') > strftime(lag(ORDER_DATE) OVER w, '%Y-%m')")),
    Trouble("orders", "`ORDER_DATE` moved to an earlier month", 420, _ranked("orders", "ORDER_ID",
            "strftime(ORDER_DATE, '%Y-%m') < strftime(lag(ORDER_DATE) OVER w, '%Y-%m')")),
    Trouble("orders", "`ORDER_DATE` in 1970", 1_499, "year(ORDER_DATE) = 1970"),
    Trouble("orders", "`ORDER_DATE` in 2100", 1_499, "year(ORDER_DATE) = 2100"),
    *_beyond_ascii("orders", ORDER_ID=907, CUSTOMER_ID=900, PRODUCT_ID=490, CURRENCY=1_201, STATUS=1_009),
]  # fmt: skip

_CUSTOMERS = [
    Trouble("customers", "`EMAIL` in capitals", 24, "EMAIL = upper(EMAIL) AND EMAIL <> ''"),
    Trouble("customers", "`EMAIL` between spaces", 29, "EMAIL <> trim(EMAIL)"),
    Trouble("customers", "`EMAIL` empty", 211, "EMAIL = ''"),
    Trouble("customers", "`EMAIL` null", 101, "EMAIL IS NULL"),
    Trouble("customers", "`COUNTRY` null", 97, "COUNTRY IS NULL"),
    Trouble("customers", "`COUNTRY` in small letters after a space", 113, "COUNTRY LIKE ' %'"),
    Trouble("customers", "`FIRST_NAME` null", 307, "FIRST_NAME IS NULL"),
    Trouble("customers", "`PHONE` null", 17, "PHONE IS NULL"),
    Trouble("customers", "`SEGMENT` null", 25, "SEGMENT IS NULL"),
    Trouble("customers", "a second or third version", 4, _ranked("customers", "CUSTOMER_ID", "row_number() OVER w > 1")),
    *_beyond_ascii(
        "customers", CUSTOMER_ID=911, FIRST_NAME=3, LAST_NAME=4, EMAIL=420, PHONE=440, ADDRESS=2, CITY=2, COUNTRY=1_021,
        SEGMENT=431,
    ),
]  # fmt: skip

_PRODUCTS = [
    Trouble("products", "`PRODUCT_ID` of digits after zeros, as `0000007`", 1, "PRODUCT_ID SIMILAR TO '0[0-9]{6}'"),
    Trouble("products", "`CATEGORY` null", 89, "CATEGORY IS NULL"),
    Trouble("products", "`CURRENCY` in small letters", 61, "CURRENCY = 'usd'"),
    Trouble("products", "another price", 3, _ranked("products", "PRODUCT_ID", "row_number() OVER w > 1")),
    Trouble("products", "withdrawn", 27, "NOT ACTIVE"),
    *_beyond_ascii("products", PRODUCT_ID=487, NAME=2, CATEGORY=10, BRAND=2, CURRENCY=491),
]

_PAGES = f"len(list_filter([{', '.join(URLS)}], lambda url: url IS NOT NULL))"
_PAIR = "[+-]?[0-9.]+,[+-]?[0-9.]+"
_BEHAVIOR = [
    Trouble(_WEB, "`event_id` null", 1_999, "event_id IS NULL"),
    Trouble(_WEB, "customer nobody knows", 487, "customer_id LIKE 'X%'"),
    Trouble(_WEB, "`customer_id` null", 401, "customer_id IS NULL"),
    Trouble(_WEB, "visible 1 to 50 minutes after it happened", 67,
            "_visible_at - event_ts BETWEEN INTERVAL 1 MINUTE AND INTERVAL 50 MINUTE"),
    Trouble(_WEB, "visible 2 to 5 hours after it happened", 307,
            "_visible_at - event_ts BETWEEN INTERVAL 2 HOUR AND INTERVAL 5 HOUR"),
    Trouble(_WEB, "`event_ts` in 1970, before the start clock only", 1_160, "year(event_ts) = 1970"),
    Trouble(_WEB, "`session_id` that names no time", 140, "NOT regexp_matches(session_id, '^S[0-9]{14}-')"),
    Trouble(_WEB, "`session_id` null", 307, "session_id IS NULL"),
    Trouble(_WEB, "`geo` a country", 3, "geo SIMILAR TO '[A-Z]{2}'"),
    Trouble(_WEB, "`geo` a country with a region, some in small letters", 5, "geo SIMILAR TO '[A-Za-z]{2}-[A-Z0-9a-z]{2,3}'"),
    Trouble(_WEB, "`geo` a pair of numbers", 5, f"geo SIMILAR TO '{_PAIR}'"),
    Trouble(_WEB, "`geo` a URI by RFC 5870, plain, with a height or with an uncertainty", 20, "geo LIKE 'geo:%'"),
    Trouble(_WEB, "`geo` by ISO 6709", 20, "geo LIKE '%/'"),
    Trouble(_WEB, "`geo` that is no place", 25, f"""geo IN ('geo:', 'geo:91,0', '95.00,10.00') OR geo NOT LIKE 'geo:%'
            AND NOT geo SIMILAR TO '[A-Z]{{2}}|[A-Za-z]{{2}}-[A-Z0-9a-z]{{2,3}}|{_PAIR}|.*/'"""),
    Trouble(_WEB, "`geo` null", 25, "geo IS NULL"),
    *(Trouble(_WEB, f"{many} of the twelve pages", one_in, f"{_PAGES} = {many}")
      for many, one_in in enumerate((30, 4, 4, 7, 11, 17, 25, 33, 50, 50, 50, 50, 100))),
    Trouble(_WEB, "`url_1` null where there is a `url_2`", 65, "url_1 IS NULL AND url_2 IS NOT NULL"),
    Trouble(_WEB, "`url_3` blank", 240, "trim(url_3) = ''"),
    Trouble(_WEB, "`metadata` null", 4, "metadata IS NULL"),
    Trouble(_WEB, "`metadata` an object", 2, "metadata LIKE '{%}'"),
    Trouble(_WEB, "`metadata` an array, a text, a number, a truth value or null in JSON", 17,
            "metadata IN ('[]', '\"just words\"', '42', 'true', 'null')"),
    Trouble(_WEB, "`metadata` empty or blank", 50, "trim(metadata) = ''"),
    Trouble(_WEB, "`metadata` that is no JSON, or breaks off", 33, "trim(metadata) <> '' AND NOT json_valid(metadata)"),
    *_beyond_ascii(
        _WEB, event_id=997, customer_id=900, event_name=503, session_id=401, device=293, geo=300, url_1=490, url_2=3,
        metadata=6,
    ),
]  # fmt: skip

_ACCOUNTS = [
    Trouble("account", "`Industry` null", 37, "Industry IS NULL"),
    Trouble("account", "`AnnualRevenue` null", 53, "AnnualRevenue IS NULL"),
    Trouble("account", "`BillingCountry` null", 71, "BillingCountry IS NULL"),
    Trouble("account", "changed by a person", 4, "SystemModstamp > CreatedDate AND LastModifiedDate = SystemModstamp"),
    Trouble("account", "changed by Salesforce alone", 27, "SystemModstamp > LastModifiedDate"),
    Trouble("account", "deleted; hardly anything refers to these", 27, "_deleted_at IS NOT NULL"),
    Trouble("account", "a change visible 1 to 50 minutes after its stamp", 12,
            "_visible_at - SystemModstamp > INTERVAL 50 SECOND"),
    *_beyond_ascii("account", Name=2, Industry=61, Phone=67, BillingStreet=2, BillingCity=2, BillingCountry=73),
]  # fmt: skip

_CONTACTS = [
    Trouble("contact", "an e-mail that a contact of another account has", 26, """lower(trim(Email)) IN (
        SELECT lower(trim(Email)) FROM contact WHERE Email <> '' GROUP BY ALL
        HAVING count(DISTINCT AccountId) > 1 AND count(DISTINCT Id) > 1)"""),
    Trouble("contact", "`Email` in capitals", 24, "Email = upper(Email) AND Email <> ''"),
    Trouble("contact", "`Email` between spaces", 29, "Email <> trim(Email)"),
    Trouble("contact", "`Email` empty or null", 69, "coalesce(Email, '') = ''"),
    Trouble("contact", "`FirstName` null", 43, "FirstName IS NULL"),
    Trouble("contact", "`AccountId` null", 83, "AccountId IS NULL"),
    Trouble("contact", "moved to another account", 9, _ranked("contact", "Id", "lag(AccountId) OVER w <> AccountId")),
    Trouble("contact", "deleted", 10, "_deleted_at IS NOT NULL"),
    Trouble("contact", "its account is deleted later", 370,
            "AccountId IN (SELECT Id FROM account WHERE _deleted_at IS NOT NULL)"),
    Trouble("contact", "a change visible 1 to 50 minutes after its stamp", 9,
            "_visible_at - SystemModstamp > INTERVAL 50 SECOND"),
    *_beyond_ascii("contact", FirstName=3, LastName=4, Email=127, Phone=131, Title=7),
]  # fmt: skip

_OPPORTUNITIES = [
    Trouble("opportunity", "an account nobody knows, before the start clock only", 160, "AccountId LIKE '001Hw99999%'"),
    Trouble("opportunity", "`AccountId` null", 97, "AccountId IS NULL"),
    Trouble("opportunity", "`Amount` null", 59, "Amount IS NULL"),
    Trouble("opportunity", "deleted", 10, "_deleted_at IS NOT NULL"),
    Trouble("opportunity", "`CloseDate` moved to a later month", 55, _ranked("opportunity", "Id",
            "strftime(CloseDate, '%Y-%m') > strftime(lag(CloseDate) OVER w, '%Y-%m')")),
    Trouble("opportunity", "`CloseDate` moved to an earlier month", 55, _ranked("opportunity", "Id",
            "strftime(CloseDate, '%Y-%m') < strftime(lag(CloseDate) OVER w, '%Y-%m')")),
    Trouble("opportunity", "`CloseDate` in 1970", 211, "year(CloseDate) = 1970"),
    Trouble("opportunity", "`CloseDate` in 2100", 211, "year(CloseDate) = 2100"),
    *_beyond_ascii("opportunity", Name=3, StageName=101),
]  # fmt: skip

_STAMP = "(told->>'event_timestamp')"
_STAMP_KIND = "json_type(told->'event_timestamp')"
_NEVER = "('soon', '', '2024-13-01T00:00:00Z', '20241101', '2024-11-01', '1730419200.5')"


def _of_topic(file: str, broken: int = 331, keyless: int = 701) -> list[Trouble]:
    """What is wrong with messages of every topic."""
    some = ", before the start clock only" if file == "inventory_updates" else ""
    return [
        Trouble(file, f"a value that is no JSON object{some}", broken, "value IS NOT NULL AND told IS NULL"),
        Trouble(file, f"of these, cut off{some}", 6 * broken, "text LIKE '{%' AND NOT text LIKE '%}'"),
        Trouble(file, f"of these, not in UTF-8{some}", 6 * broken, "value IS NOT NULL AND text IS NULL"),
        Trouble(file, f"a tombstone{some}", 907, "value IS NULL"),
        Trouble(file, "the same message again, visible a second later", 331, f"""n IN (SELECT n FROM {file}
            QUALIFY row_number() OVER (PARTITION BY partition, key, value, timestamp ORDER BY n) > 1)"""),
        Trouble(file, "`key` null", keyless, "key IS NULL"),
        Trouble(file, "`event_timestamp` with a zone of two hours", 17, f"{_STAMP} LIKE '%+02:00'"),
        Trouble(file, "`event_timestamp` without a zone", 19, f"{_STAMP} SIMILAR TO '.*T[0-9:.]+'"),
        Trouble(file, "`event_timestamp` in seconds since 1970", 29, f"{_STAMP} SIMILAR TO '[0-9]{{10}}'"),
        Trouble(file, "`event_timestamp` in milliseconds since 1970", 25,
                f"{_STAMP} SIMILAR TO '[0-9]{{13}}' AND {_STAMP_KIND} <> 'VARCHAR'"),
        Trouble(file, "`event_timestamp` in milliseconds, as text", 33,
                f"{_STAMP} SIMILAR TO '[0-9]{{13}}' AND {_STAMP_KIND} = 'VARCHAR'"),
        Trouble(file, "`event_timestamp` in 1970 or 2100", 997, f"{_STAMP} SIMILAR TO '(1970|2100)-.*'"),
        Trouble(file, f"`event_timestamp` that is no instant{some}", 499,
                f"told IS NOT NULL AND ({_STAMP} IS NULL OR {_STAMP} IN {_NEVER})"),
    ]  # fmt: skip


def _shapes(file: str, objects: int, nothing: int) -> list[Trouble]:
    """The shapes of a message's metadata."""
    kind = "json_type(told->'metadata')"
    return [
        Trouble(file, "`metadata` an object", objects, f"{kind} = 'OBJECT'"),
        Trouble(file, "`metadata` an array", 100, f"{kind} = 'ARRAY'"),
        Trouble(file, "`metadata` a number", 50, f"{kind} IN ('UBIGINT', 'BIGINT', 'DOUBLE')"),
        Trouble(file, "`metadata` a truth value", 100, f"{kind} = 'BOOLEAN'"),
        Trouble(file, "`metadata` null or not there", nothing, f"told IS NOT NULL AND ({kind} = 'NULL' OR {kind} IS NULL)"),
        Trouble(file, "`metadata` empty, or text that is no JSON", 20,
                f"{kind} = 'VARCHAR' AND NOT json_valid(told->>'metadata')"),
    ]  # fmt: skip


def _told_again(compare: str) -> str:
    return f"""n IN (SELECT again.n FROM user_events AS first JOIN user_events AS again
        ON (again.told->>'event_id') = (first.told->>'event_id') AND again.n > first.n AND again.value <> first.value
        WHERE (again.told->>'event_timestamp') {compare} (first.told->>'event_timestamp'))"""


_MESSAGES = [
    *_of_topic("orders_events"),
    Trouble("orders_events", "PAID that is told before its order is visible", 220, """n IN (
        SELECT paid.n FROM orders_events AS paid
        JOIN (SELECT ORDER_ID, min(_visible_at) AS since FROM orders GROUP BY ALL) ON ORDER_ID = paid.told->>'order_id'
        WHERE upper(paid.told->>'event_type') = 'PAID' AND paid._visible_at < since)"""),
    Trouble("orders_events", "`order_id` null", 701, "told IS NOT NULL AND (told->>'order_id') IS NULL"),
    Trouble("orders_events", "`event_type` in other letters or after a space", 89,
            "(told->>'event_type') IN ('placed', 'Paid', ' SHIPPED', 'Cancelled')"),
    Trouble("orders_events", "`event_type` that is none", 499, "(told->>'event_type') = 'ОПЛАЧЕНО'"),
    *_shapes("orders_events", objects=33, nothing=45),
    *_beyond_ascii("orders_events", order_id=907, customer_id=900, event_type=499, metadata=4),
    *_of_topic("user_events", keyless=38),
    Trouble("user_events", "told again with another page and an older `event_timestamp`, which loses", 211, _told_again("<")),
    Trouble("user_events", "told again with another page and the same `event_timestamp`", 211, _told_again("=")),
    Trouble("user_events", "`event_id` null", 1_499, "told IS NOT NULL AND (told->>'event_id') IS NULL"),
    Trouble("user_events", "customer unknown: `key` and field null", 40, "key IS NULL AND (told->>'customer_id') IS NULL"),
    *_shapes("user_events", objects=5, nothing=5),
    *_beyond_ascii(
        "user_events", event_id=997, customer_id=900, session_id=401, event_type=503, page_url=10, metadata=4
    ),
    *_of_topic("inventory_updates", broken=176),
    Trouble("inventory_updates", "of the instant for which the ERP's file counts the product", 115, f"""
        {_STAMP} LIKE '%T00:00:00.000%' AND (told->>'product_id', {_STAMP}[:10]) IN (
            SELECT (split_part(line, ',', 1), day::VARCHAR) FROM lines)"""),
    Trouble("inventory_updates", "`product_id` null, before the start clock only", 580,
            "told IS NOT NULL AND (told->>'product_id') IS NULL"),
    *_beyond_ascii("inventory_updates", product_id=487, warehouse_id=5, reason=100),
]  # fmt: skip

_LINES = [
    Trouble("lines", "a field too few or too many, or text for a number", 331,
            r"NOT regexp_matches(line, '^[^,]*,(\"[^\"]*\"|[^,]*),(-?[0-9]*),[0-9]*$')"),
    Trouble("lines", "in Latin-1", 499, r"line LIKE '%S\xFCd%'"),
    Trouble("lines", "twice", 401,
            "n IN (SELECT n FROM lines QUALIFY row_number() OVER (PARTITION BY day, line ORDER BY n) > 1)"),
    Trouble("lines", "once more with another quantity", 443, """n IN (
        SELECT n FROM lines QUALIFY lag(line) OVER (PARTITION BY day ORDER BY n) <> line AND
            regexp_replace(lag(line) OVER (PARTITION BY day ORDER BY n), ',-?[0-9]*,', ',,')
            = regexp_replace(line, ',-?[0-9]*,', ',,'))"""),
    Trouble("lines", "`product_id` empty", 487, "line LIKE ',%'"),
    Trouble("lines", "`quantity` negative", 509, "regexp_matches(line, ',-[0-9]+,')"),
    Trouble("lines", "`quantity` empty", 997, "line LIKE '%,,%'"),
    Trouble("lines", "`reorder_point` empty", 61, "line LIKE '%,'"),
    Trouble("lines", "`warehouse_id` with a comma", 5, "line LIKE '%\"%'"),
    Trouble("lines", "`product_id` with letters beyond ASCII", 487, r"line LIKE '\xC3\x89%'"),
    Trouble("lines", "`warehouse_id` with letters beyond ASCII", 5, r"line LIKE '%,WH-05 \xC5\x81%'"),
]  # fmt: skip

TROUBLES: tuple[Trouble, ...] = (
    *_ORDERS, *_CUSTOMERS, *_PRODUCTS, *_BEHAVIOR, *_ACCOUNTS, *_CONTACTS, *_OPPORTUNITIES, *_MESSAGES, *_LINES,
)  # fmt: skip


def table() -> str:
    """The catalogue as the rows of a Markdown table: where, what, and one in how many rows."""
    lines, before = [], ""
    for trouble in TROUBLES:
        where = "inventory lines" if trouble.file == "lines" else FILES[trouble.file].rpartition("/")[2]
        lines.append(f"| {'' if where == before else where} | {trouble.what} | {trouble.one_in:,} |")
        before = where
    return "\n".join(lines)


def found(db: duckdb.DuckDBPyConnection, file: str) -> dict[Trouble, int]:
    """How many rows of a view each of its troubles has, in one pass."""
    troubles = [trouble for trouble in TROUBLES if trouble.file == file]
    counts = ", ".join(f"count(*) FILTER (WHERE {trouble.rows})" for trouble in troubles)
    row = db.execute(f"SELECT {counts} FROM {file}").fetchone() or ()
    return dict(zip(troubles, row, strict=True))


@contextmanager
def opened(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with the views of a made folder, in UTC; memory holds them."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for view, file in FILES.items():
            versions = (
                f"SELECT *, file_row_number AS n FROM read_parquet('{folder / file}.parquet', file_row_number = true)"
            )
            if view in _TOPICS:
                texts_too = f"SELECT *, TRY(decode(value)) AS text FROM ({versions})"
                valid = "CASE WHEN json_valid(text) AND json_type(text) = 'OBJECT' THEN text::JSON END"
                versions = f"SELECT *, {valid} AS told FROM ({texts_too})"
            db.execute(f"CREATE TEMP TABLE {view} AS {versions}")
        db.register("read_lines", _lines(folder))
        db.execute(
            "CREATE TEMP TABLE lines AS SELECT n, day, replace(line::VARCHAR, '\\x22', chr(34)) AS line FROM read_lines"
        )
        yield db


def _lines(folder: Path) -> pa.Table:
    """Every line but the headers of the inventory files, in their order."""
    days, lines = [], []
    for path in sorted((folder / "s3" / "objects" / "erp-export" / "inventory").glob("*/inventory.csv")):
        content = path.read_bytes().splitlines()[1:]
        days += [micros(datetime.fromisoformat(path.parent.name).replace(tzinfo=UTC))] * len(content)
        lines += content
    numbers = integers(np.arange(len(lines), dtype=np.int64))
    return pa.table({"n": numbers, "day": dates(np.array(days, dtype=np.int64)), "line": texts(lines)})
