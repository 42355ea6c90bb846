"""The same shop in a lake that masks and in one that does not: all is the same but what is masked, and nothing leaks."""

import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.runs import ended, said, typed
from tests.e2e.tiny import BEFORE, EVENTS, PROJECT, T0, T1, VERSIONS, Lake, event, write_tiny

from headwater import sandbox
from headwater.contracts import Contracts
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

KEY, OTHER_KEY = "a-key-of-at-least-thirty-two-characters", "another-key-of-thirty-two-characters!"
PLANTED = ("@example.com", "%40example.com", "Ada", "Kent", "5551234567", "Deal Street")
"""Parts of every personal value of this shop; none of them is a part of anything else."""


def _shop() -> dict[str, Any]:
    """The tiny shop, whose customers have phones and streets, and one of whose visitors typed an address into a URL."""
    columns, told = VERSIONS["snowflake/CUSTOMERS"]
    customers = [replace(v, row=(*v.row[:4], "+1-555-5551234567", "1 Deal Street", *v.row[6:])) for v in told]
    typed = event("E9", BEFORE)
    urls = ("/login?mail=c1%40example.com", '{"tel": 5551234567, "by": "c1@example.com"}')
    visits = [*VERSIONS["redshift/customer_behavior"][1], replace(typed, row=(*typed.row[:8], *urls))]
    accounts_columns, accounts = VERSIONS["salesforce/Account"]
    named = [replace(v, row=(v.row[0], f"Firm {n}", *v.row[2:])) for n, v in enumerate(accounts)]
    return VERSIONS | {
        "snowflake/CUSTOMERS": (columns, customers),
        "redshift/customer_behavior": (EVENTS, visits),
        "salesforce/Account": (accounts_columns, named),
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("dataset") / "tiny", _shop())


@pytest.fixture(scope="module")
def lakes(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, Lake]:
    """A lake without masks and one with those of production, each after runs at both instants."""
    plain = Lake.beside(sources, tmp_path_factory.mktemp("plain") / "lake")
    masking = yaml.safe_load((PROJECT / "config" / "prod.yaml").read_text(encoding="utf-8"))["masking"]
    secret = tmp_path_factory.mktemp("secret") / "masking.json"
    masked = Lake.beside(
        sources, tmp_path_factory.mktemp("masked") / "lake", masking=masking, secrets={"masking": f"file:{secret}"}
    )
    put_key(masked, KEY)
    for instant in (T0, T1):
        sandbox.advance(sources.connections.parent, instant)
        for lake in (plain, masked):
            assert ended(lake, instant) == 0, said(lake)
    return plain, masked


def key_file(lake: Lake) -> Path:
    configured = yaml.safe_load(lake.config.read_text(encoding="utf-8"))
    return Path(configured["secrets"]["masking"].removeprefix("file:"))


def put_key(lake: Lake, key: str) -> None:
    file = key_file(lake)
    file.write_text(json.dumps({"key": key}), encoding="utf-8")
    file.chmod(0o600)


def by_key(lake: Lake, path: str, key: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in key): row for row in lake.rows(path)}


def test_every_table_is_the_same_but_for_its_masked_columns(lakes: tuple[Lake, Lake], contracts: Contracts) -> None:
    plain, masked = lakes
    differs: dict[str, set[str]] = {}
    for contract in contracts.values():
        if contract.layer == "bronze":
            continue
        one, other = (by_key(lake, contract.path, contract.key) for lake in lakes)
        assert one.keys() == other.keys(), contract.table
        for key, row in one.items():
            differs.setdefault(contract.table, set()).update(
                name for name, value in row.items() if other[key][name] != value
            )

    assert {table: names for table, names in differs.items() if names} == {
        "silver.customers": {"first_name", "last_name", "email", "phone", "address"},
        "silver.contacts": {"first_name", "last_name", "email"},
        "silver.accounts": {"primary_email"},
        "silver.behavior": {"urls", "metadata"},
        "gold.customer_360": {"email"},
    }
    companies = [row["industry"] for row in masked.rows("gold/customer_360") if row["industry"]]
    assert sorted(companies) == sorted(row["industry"] for row in plain.rows("gold/customer_360") if row["industry"])
    assert companies, "no customer found its company: the join was not tried"


def test_gold_has_the_keyed_hash_of_the_address(lakes: tuple[Lake, Lake]) -> None:
    told = {row["customer_id"]: row["email"] for row in lakes[1].rows("gold/customer_360")}

    assert told["C1"] == hmac.new(KEY.encode(), b"pii:email\0c1@example.com", "sha256").hexdigest()


def test_urls_and_json_stay_whole(lakes: tuple[Lake, Lake]) -> None:
    [row] = [row for row in lakes[1].rows("silver/behavior") if row["event_id"] == "E9"]

    assert row["urls"] == ["/tea", "/login?mail=(email)"]
    assert json.loads(row["metadata"]) == {"tel": "(phone)", "by": "(email)"}


def test_raw_values_stand_below_restricted_prefixes_only(lakes: tuple[Lake, Lake]) -> None:
    """In decoded rows, commit logs, the state store, its ledger and what the run said; the plain lake shows they'd be found."""
    plain, masked = lakes
    assert _leaks(plain) >= {"silver/customers", "silver/behavior", "gold/customer_360"}
    assert _leaks(masked, among=("bronze", "quarantine", "rejects")) == _leaks(masked)
    assert _leaks(masked) >= {"bronze/snowflake/customers", "bronze/redshift/behavior"}


def test_the_key_is_written_nowhere(lakes: tuple[Lake, Lake]) -> None:
    masked = lakes[1]
    block = KEY.encode().ljust(64, b"\0")
    forms = [KEY.encode(), *(bytes(each ^ pad for each in block) for pad in (0x36, 0x5C))]
    forms += [form.hex().encode() for form in forms]
    seen = b"".join(file.read_bytes() for file in masked.folder.rglob("*") if file.is_file())

    assert not [form for form in forms if form in seen]


def test_a_rotated_key_is_refused_until_everything_is_rebuilt(lakes: tuple[Lake, Lake], contracts: Contracts) -> None:
    masked = lakes[1]
    before = masked.versions()
    put_key(masked, OTHER_KEY)

    assert ended(masked, T1) == 1
    assert "silver.customers is masked with the key" in said(masked).replace("failed {}", "")
    assert masked.versions() == before

    refused = typed(masked, "run", "--at", T1.isoformat())
    assert refused.returncode == 1
    assert "headwater run --remask" in refused.stdout
    rebuilt = typed(masked, "run", "--remask", "--at", T1.isoformat())
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    told = {row["customer_id"]: row["email"] for row in masked.rows("gold/customer_360")}
    assert told["C1"] == hmac.new(OTHER_KEY.encode(), b"pii:email\0c1@example.com", "sha256").hexdigest()
    assert ended(masked, T1) == 0
    for words in (refused.stdout, refused.stderr, rebuilt.stdout, rebuilt.stderr):
        assert KEY not in words
        assert OTHER_KEY not in words


def test_describe_shows_masks_and_no_contact(lakes: tuple[Lake, Lake]) -> None:
    masked = lakes[1]

    def columns(table: str) -> dict[str, str | None]:
        told = typed(masked, "describe", table, "--json")
        assert told.returncode == 0, told.stderr
        return {each["name"]: each["mask"] for each in json.loads(told.stdout)["columns"]}

    silver, gold = columns("silver.customers"), columns("customer_360")
    assert (silver["email"], silver["phone"], silver["city"], silver["country"]) == ("hash", "partial", "none", None)
    assert (gold["email"], gold["annual_revenue"], gold["billing_city"]) == ("hash", "none", "none")
    for table in ("redshift_behavior", "snowflake_customers", "customers", "behavior"):
        told = typed(masked, "describe", table, "--rows", "20").stdout
        assert "rows" in told
        assert not [part for part in PLANTED if part in told.partition("of its rows")[2]]


def _leaks(lake: Lake, among: tuple[str, ...] = ("",)) -> set[str]:
    """Where parts of planted values stand: tables by their paths, other files by their folder."""
    found = set()
    for path in lake.tables():
        rows = json.dumps(lake.rows(path), default=str, ensure_ascii=False)
        log = (lake.folder / "lake" / path / "_delta_log").glob("*.json")
        if any(part in rows + "".join(file.read_text(encoding="utf-8") for file in log) for part in PLANTED):
            found.add(path)
    others = [file for place in ("state", "config") for file in (lake.folder / place).rglob("*") if file.is_file()]
    for file in [*others, lake.folder / "run.log"]:
        if any(part.encode() in file.read_bytes() for part in PLANTED):
            found.add(str(file.relative_to(lake.folder)))
    return {path for path in found if path.startswith(among)}
