"""One source's rows landed in a Delta table by dlt: a resource, its cursor where the source has one, appended.

    python -m benchmarks.by_dlt CONFIG SOURCE TABLE OUT

Where the source's fastest client gives Arrow (`raw_clients`) dlt is handed its tables, which is what dlt advises. Kafka,
Salesforce and FX come as records, as in dlt's own sources for them.
"""

# ruff: noqa: ARG001 - each reader takes what it needs of what all are given

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.measured import Stretch
from benchmarks.raw_clients import CLIENTS
from headwater.config import load_settings
from headwater.contracts import Contract, load_contracts

_PAGE = 5_000


def _salesforce(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[list[dict[str, Any]]]:
    """Records of the REST API, page by page."""
    import httpx

    from headwater.extract.salesforce import snake_case

    fields = (
        "Id, AccountId, Name, StageName, Amount, CloseDate, Probability, CreatedDate, LastModifiedDate, SystemModstamp"
    )
    with httpx.Client(timeout=120) as client:
        form = {"grant_type": "client_credentials", **{name: secret[name] for name in ("client_id", "client_secret")}}
        login = client.post(f"{settings.login_url}/services/oauth2/token", data=form).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {login['access_token']}"
        path = f"/services/data/v{settings.api_version}/queryAll"
        asked: dict[str, str] = {"q": f"SELECT {fields}, IsDeleted FROM Opportunity"}
        while path:
            page = client.get(login["instance_url"] + path, params=asked).raise_for_status().json()
            yield [{snake_case(name): each[name] for name in each if name != "attributes"} for each in page["records"]]
            path, asked = page.get("nextRecordsUrl"), {}


def _as_records(source: str) -> Any:
    def told(settings: Any, secret: dict[str, str], contract: Contract) -> Iterator[list[dict[str, Any]]]:
        for table in CLIENTS[source](settings, secret, contract):
            for batch in table.to_batches(max_chunksize=_PAGE):
                yield batch.to_pylist()

    return told


def _hints(contract: Contract) -> dict[str, Any]:
    """The contract's types in dlt's words: left to itself it would take texts for instants, and amounts for floats."""
    hints: dict[str, Any] = {}
    for field in contract.arrow_schema:
        kind = field.type
        hint: dict[str, Any] = {"data_type": "text"}
        if pa.types.is_decimal(kind):
            hint = {"data_type": "decimal", "precision": kind.precision, "scale": kind.scale}
        elif pa.types.is_timestamp(kind):
            hint = {"data_type": "timestamp"}
        elif pa.types.is_date(kind):
            hint = {"data_type": "date"}
        elif pa.types.is_integer(kind):
            hint = {"data_type": "bigint"}
        elif pa.types.is_boolean(kind):
            hint = {"data_type": "bool"}
        hints[field.name] = hint
    return hints


_OF_RECORDS = {"salesforce": _salesforce, "kafka": _as_records("kafka"), "fx_vendor": _as_records("fx_vendor")}
_READERS = CLIENTS | _OF_RECORDS


def main(config: Path, source: str, table: str, out: Path) -> None:
    """Load everything that the source has, and say what it took."""
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
        "DLT_DATA_DIR": str(out / "dlt"),
    }
    stretch = Stretch()
    import dlt

    settings = load_settings(config, {})
    contract = load_contracts(settings.contracts)[table]
    read = _READERS[source]
    hints = _hints(contract) if source in _OF_RECORDS else None
    given = getattr(settings.data_sources, source), settings.secrets.get(source), contract
    if contract.cursor:

        @dlt.resource(name=table, write_disposition="append", table_format="delta", columns=hints)
        def rows(
            _since: Any = dlt.sources.incremental(contract.cursor, on_cursor_value_missing="include"),  # noqa: B008
        ) -> Iterator[Any]:
            yield from read(*given)
    else:

        @dlt.resource(name=table, write_disposition="append", table_format="delta", columns=hints)
        def rows() -> Iterator[Any]:
            yield from read(*given)

    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(out / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(out / "lake").as_uri()),
        dataset_name="bronze",
    )
    pipeline.run(rows()).raise_on_failed_jobs()
    loaded = pipeline.last_trace.last_normalize_info.row_counts[table]
    print(json.dumps(stretch.taken() | {"rows": loaded}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]))
