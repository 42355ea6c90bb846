"""The same rows by the fastest client that reads each source, put together by hand: to Arrow in memory, and no further.

    python -m benchmarks.raw_clients CONFIG TABLE

It remembers nothing, lands nothing, and knows neither overlap nor rejects. Prints what it took and what it saw.
"""

# ruff: noqa: ARG001 - each client takes what it needs of what all are given

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson

from benchmarks.extract_data import END
from benchmarks.measured import Stretch
from benchmarks.rows_seen import seen
from headwater.config import load_settings
from headwater.contracts import Contract, load_contracts

_PAGE = 50_000
_MESSAGES = 10_000
_RATES = 5_000


def snowflake(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[pa.Table]:
    """Arrow chunks of the vendor's own client."""
    import snowflake.connector

    with snowflake.connector.connect(
        account=settings.account, host=settings.host, port=settings.port, protocol=settings.protocol,
        user=secret["user"], password=secret["password"], database=settings.database, schema=settings.schema,
        warehouse=settings.warehouse, arrow_number_to_decimal=True, platform_detection_timeout_seconds=0,
        session_parameters={"TIMEZONE": "UTC", "CLIENT_TELEMETRY_ENABLED": False},
    ) as connection, connection.cursor() as cursor:  # fmt: skip
        columns = ", ".join(f'{name.upper()} AS "{name}"' for name in contract.column_names)
        cursor.execute(f"SELECT {columns} FROM ORDERS")
        yield from cursor.fetch_arrow_batches(force_microsecond_precision=True)


def redshift(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[pa.Table]:
    """connectorx by the protocol that a Redshift cluster answers."""
    import connectorx

    login = f"{secret['user']}:{secret['password']}@{settings.host}:{settings.port}"
    yield connectorx.read_sql(
        f"postgresql://{login}/{settings.database}?sslmode=disable",
        f"SELECT {', '.join(contract.column_names)} FROM {settings.schema}.customer_behavior",
        protocol="cursor",
        return_type="arrow",
    )


def salesforce(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[pa.Table]:
    """A query job of the Bulk API 2.0, its CSV by Arrow."""
    import httpx

    from headwater.extract.salesforce import snake_case

    fields = ["Id", "AccountId", "Name", "StageName", "Amount", "CloseDate", "Probability", "CreatedDate"]
    fields += ["LastModifiedDate", "SystemModstamp", "IsDeleted"]
    texts = pacsv.ConvertOptions(column_types=dict.fromkeys(fields, pa.string()), strings_can_be_null=True)
    with httpx.Client(timeout=120) as client:
        form = {"grant_type": "client_credentials", **{name: secret[name] for name in ("client_id", "client_secret")}}
        login = client.post(f"{settings.login_url}/services/oauth2/token", data=form).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {login['access_token']}"
        jobs = f"{login['instance_url']}/services/data/v{settings.api_version}/jobs/query"
        query = f"SELECT {', '.join(fields)} FROM Opportunity"
        job = client.post(jobs, json={"operation": "queryAll", "query": query}).raise_for_status().json()["id"]
        while client.get(f"{jobs}/{job}").raise_for_status().json()["state"] != "JobComplete":
            time.sleep(0.1)
        locator: dict[str, str] = {}
        while locator.get("locator") != "null":
            answer = client.get(f"{jobs}/{job}/results", params={"maxRecords": _PAGE, **locator}).raise_for_status()
            table = pacsv.read_csv(pa.BufferReader(answer.content), convert_options=texts)
            yield table.rename_columns([snake_case(name) for name in table.column_names])
            locator = {"locator": answer.headers["Sforce-Locator"]}


def s3(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[pa.Table]:
    """The files downloaded, then DuckDB, which keeps the lines that are no rows."""
    import duckdb
    from obstore.store import S3Store

    store = S3Store(
        settings.bucket, endpoint=settings.endpoint_url, region=settings.region, virtual_hosted_style_request=False,
        client_options={"allow_http": True}, **secret,
    )  # fmt: skip
    columns = {field.name: str(_DUCKDB.get(str(field.type), "VARCHAR")) for field in contract.arrow_schema}
    columns = {name: kind for name, kind in columns.items() if not name.startswith("_file") and name != "file_date"}
    with tempfile.TemporaryDirectory() as folder, duckdb.connect(config={"threads": 2}) as session:
        session.execute("SET TimeZone = 'UTC'")
        keys = [item["path"] for page in store.list("accounting/transactions/") for item in page]
        for number, key in enumerate(keys):
            with (Path(folder) / f"{number}.csv").open("wb") as file:
                for block in store.get(key).stream():
                    file.write(block)
        told = f"auto_detect=false, header=true, delim=',', quote='\"', escape='\"', columns={columns}"
        query = f"read_csv('{folder}/*.csv', {told}, store_rejects=true)"
        yield session.sql(f"SELECT * FROM {query}").to_arrow_table()


_DUCKDB = {
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
    "decimal128(20, 4)": "DECIMAL(20, 4)",
    "bool": "BOOLEAN",
    "int64": "BIGINT",
}


def kafka(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[pa.Table]:
    """`consume` in thousands, their values by Arrow's JSON reader."""
    from confluent_kafka import Consumer, TopicPartition

    names = [name for name in contract.column_names if not name.startswith("kafka_")]
    schema = pajson.ParseOptions(explicit_schema=pa.schema([(name, pa.string()) for name in names]))
    consumer = Consumer(
        {
            "bootstrap.servers": settings.bootstrap_servers, "security.protocol": settings.security_protocol,
            "sasl.mechanism": settings.sasl_mechanism, "sasl.username": secret["username"],
            "sasl.password": secret["password"], "ssl.ca.location": str(settings.ssl_ca_location), "group.id": "raw",
            "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest",
        }
    )  # fmt: skip
    partitions = consumer.list_topics("orders_events", timeout=10).topics["orders_events"].partitions
    left = 0
    for number in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition("orders_events", number), timeout=10)
        left += high - low
    consumer.assign([TopicPartition("orders_events", number, 0) for number in partitions])
    while left:
        messages = [message for message in consumer.consume(min(_MESSAGES, left), timeout=5) if message.error() is None]
        if not messages:
            raise SystemExit(f"Kafka fell silent with {left} messages to come")
        left -= len(messages)
        values = b"\n".join([message.value() for message in messages])
        table = pajson.read_json(pa.BufferReader(values), parse_options=schema)
        table = table.append_column("kafka_key", pa.array([message.key() for message in messages]).cast(pa.string()))
        table = table.append_column("kafka_partition", pa.array([message.partition() for message in messages]))
        table = table.append_column("kafka_offset", pa.array([message.offset() for message in messages]))
        instants = pa.array([message.timestamp()[1] for message in messages], pa.timestamp("ms", tz="UTC"))
        yield table.append_column("kafka_timestamp", instants)
    consumer.close()


def fx_vendor(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[pa.Table]:
    """Page after page; each one's rates as the texts that were sent."""
    import httpx

    schema = pa.schema([(name, pa.string()) for name in contract.column_names])
    with httpx.Client(headers={"Authorization": f"Bearer {secret['api_key']}"}, timeout=60) as client:
        asked = {"page_size": str(_RATES), "as_of_to": END.isoformat().replace("+00:00", "Z")}
        while True:
            page = client.get(f"{settings.base_url}/v1/rates", params=asked).raise_for_status().json()
            yield pa.Table.from_pylist(page["rates"], schema)
            if not page["next_cursor"]:
                return
            asked["cursor"] = page["next_cursor"]


CLIENTS: dict[str, Callable[[Any, dict[str, str], Contract], Iterator[pa.Table]]] = {
    "snowflake": snowflake,
    "redshift": redshift,
    "salesforce": salesforce,
    "s3": s3,
    "kafka": kafka,
    "fx_vendor": fx_vendor,
}


def main(config: Path, source: str, table: str) -> None:
    """Read everything, then say what it took and what was seen."""
    settings = load_settings(config, {})
    contract = load_contracts(settings.contracts)[table]
    stretch = Stretch()
    told = list(CLIENTS[source](getattr(settings.data_sources, source), settings.secrets.get(source), contract))
    rows = pa.concat_tables(told, promote_options="permissive")
    print(json.dumps(stretch.taken() | {"rows": rows.num_rows, "total": seen(contract, rows).total}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
