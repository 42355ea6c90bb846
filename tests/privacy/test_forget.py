"""`headwater forget`: a person is nowhere any more, money is where it was, and whatever happens meanwhile does no harm."""

import json
import shutil
import signal
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from tests.aws import served
from tests.chaos.instant import Instant
from tests.e2e.runs import called
from tests.e2e.tiny import T0, T1, Lake, record_id
from tests.forked import headwater
from tests.privacy.people import COMPANION, EMAIL, FIRST, LAST, OLD_EMAIL, PERSON
from tests.privacy.scanner import files_at, files_of, found_in

from headwater import sandbox
from headwater.object_store import Place
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

WHY = ("--why", "asked on paper, case 17", "--yes")


@pytest.fixture(scope="module")
def built(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake after runs at both instants."""
    lake = Lake.beside(sources, tmp_path_factory.mktemp("built") / "lake")
    for at in (T0, T1):
        sandbox.advance(sources.connections.parent, at)
        called(lake, "run", "--at", at.isoformat())
    return lake


@pytest.fixture
def lake(built: Lake, tmp_path: Path) -> Lake:
    shutil.copytree(built.folder, tmp_path / "lake")
    return Lake(tmp_path / "lake")


def scanned(lake: Lake, *planted: str) -> dict[str, set[str]]:
    return found_in(files_of(lake.folder / "lake", lake.folder / "state"), planted or (*PERSON, OLD_EMAIL))


def keyed(lake: Lake) -> set[str]:
    """The tables, and whether the ledger, that have the key C1: alone, or as a text of JSON."""
    told = {path: json.dumps(lake.rows(path), default=str).replace("\\", "") for path in lake.tables()}
    ledger = (lake.folder / "state").rglob("*.json")
    told["state"] = "".join(file.read_text(encoding="utf-8") for file in ledger).replace("\\", "")
    return {path for path, text in told.items() if '"C1"' in text}


def money(lake: Lake) -> dict[str, Any]:
    def total(table: str, column: str) -> Decimal:
        return sum((row[column] or Decimal() for row in lake.rows(table)), Decimal())

    orders = total("silver/orders", "amount_usd")
    golds = ("product_perf_daily", "revenue_by_geography", "revenue_by_industry")
    return {"orders": orders, "rows": len(lake.rows("silver/orders"))} | {
        gold: total(f"gold/{gold}", "revenue_usd") for gold in golds
    }


def test_a_person_is_nowhere_any_more_and_money_is_where_it_was(lake: Lake) -> None:
    before, found = money(lake), scanned(lake)
    assert keyed(lake) > {"silver/orders", "gold/customer_360", "quarantine/behavior"}
    assert set(found) == {*PERSON, OLD_EMAIL}
    assert len(set().union(*found.values())) > 10
    bronze = {row["_row_id"] for row in lake.rows("bronze/snowflake/orders")}

    said = called(lake, "forget", "--key", "customers=C1", *WHY)

    assert "forgotten, in tables, their history, the ledger and this machine's logs" in said
    assert scanned(lake) == {}
    assert scanned(lake, COMPANION)
    assert keyed(lake) == set()
    assert "C1" not in {row["customer_id"] for row in lake.rows("silver/customers")}
    assert {row["_row_id"] for row in lake.rows("bronze/snowflake/orders")} == bronze
    assert money(lake)["orders"] == before["orders"]

    called(lake, "run", "--at", T1.isoformat())
    assert scanned(lake) == {}
    assert money(lake) == before
    customers = {row["customer_id"] for row in lake.rows("gold/customer_360")}
    assert customers == {row["customer_id"] for row in lake.rows("silver/customers")}
    assert "C1" not in customers
    assert "(forgotten)" in {row["customer_id"] for row in lake.rows("silver/orders")}
    versions = lake.versions()
    called(lake, "run", "--at", T1.isoformat())
    assert {path: version for path, version in lake.versions().items() if path != "_dq_results"} == {
        path: version for path, version in versions.items() if path != "_dq_results"
    }


def test_a_dry_run_and_a_no_change_nothing(lake: Lake) -> None:
    files = lake.files()

    would = called(lake, "forget", "--key", "customers=C1", "--why", "asked", "--dry-run", "--json")
    told = {each["table"]: each for each in json.loads(would)}
    assert told["bronze/snowflake/customers"] == {
        "table": "bronze/snowflake/customers",
        "gone": 2,
        "changed": 0,
        "history_ended": True,
    }
    assert told["silver/orders"]["gone"] == 0
    assert told["silver/orders"]["changed"] > 1
    assert "silver/products" not in told
    said = called(lake, "forget", "--key", "customers=C1", "--why", "asked", code=64)
    assert "forget this for good?" in said
    assert lake.files() == files


def test_whoever_is_forgotten_twice_is_not_found(lake: Lake) -> None:
    called(lake, "forget", "--key", "silver.customers=C1", *WHY)
    versions = lake.versions()

    said = called(lake, "forget", "--key", "customers=C1", *WHY, code=1)

    assert "no row of any table has this key of customers or refers to it: nothing is left to forget" in said
    assert lake.versions() == versions


def test_the_audit_tells_who_and_why_and_nothing_of_the_person(lake: Lake) -> None:
    contact = called(lake, "forget", "--key", "customers=C1", "--why", f"asked by {EMAIL}", "--yes", code=64)
    assert "say it without an e-mail address or phone number" in contact
    refused = called(lake, "forget", "--key", "customers=C1", "--why", f"asked by {FIRST} {LAST}", "--yes", code=1)
    assert "--why is kept: say it without the person's key, name or address" in refused
    unsaid = called(lake, "forget", "--key", "customers=C1", "--why", "", "--yes", code=64)
    assert "'--why': it is empty" in unsaid
    called(lake, "forget", "--key", "customers=C1", *WHY)

    [document] = (lake.folder / "state" / "state" / "forgettings").glob("*.json")
    audit = json.loads(document.read_text(encoding="utf-8"))
    assert (audit["why"], audit["keys_of"]) == ("asked on paper, case 17", ["silver.customers"])
    assert audit["counts"]["bronze/snowflake/customers"] == {"gone": 2, "changed": 0}
    [newest] = lake.table("silver/customers").history(1)
    assert json.loads(newest["headwater"])["metadata"]["forgot"]["why"] == "asked on paper, case 17"
    assert "C1" not in newest["headwater"]


def test_what_the_source_still_tells_lands_again_and_what_refers_does_not(lake: Lake) -> None:
    called(lake, "forget", "--key", "customers=C1", *WHY)
    orders = lake.rows("bronze/snowflake/orders")
    for table in ("snowflake_customers", "snowflake_orders"):
        called(lake, "watermark", "reset", table, "--why", "to read all of it again", "--yes")
    called(lake, "run", "--at", T1.isoformat())

    assert {row["customer_id"] for row in lake.rows("bronze/snowflake/customers")} > {"C1"}
    assert len(lake.rows("bronze/snowflake/orders")) == len(orders)
    called(lake, "forget", "--key", "customers=C1", *WHY)
    assert scanned(lake) == {}


def test_several_people_are_forgotten_at_once(lake: Lake) -> None:
    contact, orphan = record_id("003", 1), record_id("003", 3)
    assert orphan in scanned(lake, orphan)
    keys = ("customers=C1", f"contacts={contact}", f"salesforce_contacts={orphan}")
    assert "is what is made into contacts" in called(lake, "forget", "--key", keys[2], *WHY, code=1)
    called(lake, "forget", *chain.from_iterable(("--key", key) for key in (*keys[:2], f"contacts={orphan}")), *WHY)

    assert scanned(lake, *PERSON, OLD_EMAIL, contact, orphan) == {}
    called(lake, "run", "--at", T1.isoformat())
    assert scanned(lake, *PERSON, OLD_EMAIL, contact, orphan) == {}
    assert lake.rows("quarantine/contacts") == []
    assert len(lake.rows("silver/contacts")) == 1


INSTANTS = (
    Instant(file="silver/customers/_delta_log/*.json"),
    Instant(file="bronze/snowflake/customers/_delta_log/*.json"),
    Instant(file="bronze/snowflake/customers/_delta_log/*.json", after=True),
    Instant(file="bronze/snowflake/customers/_ingest_date=*/*/*.parquet", call="removed"),
    Instant(file="bronze/snowflake/customers/_delta_log/*.json", call="removed", nth=2),
)


@pytest.mark.parametrize("instant", INSTANTS, ids=str)
def test_a_forgetting_that_was_killed_half_way_is_gone_on_with(lake: Lake, instant: Instant) -> None:
    before = money(lake)
    killed(lake, instant)
    called(lake, "run", "--at", T1.isoformat())
    assert money(lake) == before
    called(lake, "forget", "--key", "customers=C1", *WHY)
    called(lake, "run", "--at", T1.isoformat())

    assert scanned(lake) == {}
    assert money(lake) == before
    assert "C1" not in {row["customer_id"] for row in lake.rows("gold/customer_360")}


def killed(lake: Lake, instant: Instant) -> None:
    options = ("forget", "--key", "customers=C1", *WHY, "--config", str(lake.config))
    made = headwater(*options, cwd=lake.folder, killed_at=(instant, lake.folder / "lake"))
    assert made.returncode == -signal.SIGKILL, made.stdout + made.stderr


@pytest.mark.usefixtures("built")  # the sources have come to the second instant, and tell the address of both
def test_a_masked_lake_forgets_hashes_and_tokens_and_keeps_those_of_others(sources: Status, tmp_path: Path) -> None:
    secret = tmp_path / "masking.json"
    secret.write_text(json.dumps({"key": "a-key-of-at-least-thirty-two-characters"}), encoding="utf-8")
    secret.chmod(0o600)
    rules = {"pii:email": "tokenize", "pii:name": "tokenize", "pii:phone": "partial", "pii:address": "redact"}
    masking = {"rules": rules | {"pii:embedded": "redact"}}
    lake = Lake.beside(sources, tmp_path / "lake", masking=masking, secrets={"masking": f"file:{secret}"})
    called(lake, "run", "--at", T1.isoformat())
    tokens = {row["value"]: row["token"] for row in lake.rows("restricted/tokens")}
    own = {token for value, token in tokens.items() if value in (EMAIL, FIRST, LAST)}
    assert len(own) == len((EMAIL, FIRST, LAST))
    assert set(scanned(lake, *own)) == own

    called(lake, "forget", "--key", "customers=C1", *WHY)
    assert scanned(lake, *own, *PERSON) == {}
    called(lake, "run", "--at", T1.isoformat())
    assert scanned(lake, *own, *PERSON) == {}
    left = {row["value"]: row["token"] for row in lake.rows("restricted/tokens")}
    assert left.keys() == tokens.keys() - {EMAIL, FIRST, LAST}
    assert all(tokens[value] == token for value, token in left.items())


@pytest.mark.usefixtures("built")
def test_a_lake_on_s3_forgets_too(sources: Status, tmp_path: Path) -> None:
    with served("lake-that-forgets") as aws:
        lake = Lake.beside(sources, tmp_path / "there", elsewhere=Place("s3://lake-that-forgets/a/lake", aws))
        called(lake, "run", "--at", T1.isoformat())
        before = money(lake)
        assert set(found_in(files_at(lake.place), PERSON)) == set(PERSON)

        called(lake, "forget", "--key", "customers=C1", *WHY)
        assert found_in(files_at(lake.place) | files_of(lake.folder / "state"), PERSON) == {}
        called(lake, "run", "--at", T1.isoformat())
        assert found_in(files_at(lake.place) | files_of(lake.folder / "state"), PERSON) == {}
        assert money(lake) == before
