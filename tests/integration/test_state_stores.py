"""What the three state stores promise alike: files of this machine, objects in S3, items in DynamoDB, over HTTP."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from headwater.config import load_settings
from headwater.errors import CommitRefused, ConfigurationError, StateUnavailable, TableIsHeld
from headwater.state import Holder, Leases, StateStore, open_store

KEYS = {"AWS_ACCESS_KEY_ID": "made-up", "AWS_SECRET_ACCESS_KEY": "made-up", "AWS_DEFAULT_REGION": "eu-central-1"}
TTL = timedelta(seconds=1.5)


@pytest.fixture(scope="module")
def aws():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="state")
        yield endpoint
        server.stop()


def make_table(endpoint: str, name: str) -> None:
    boto3.client("dynamodb", endpoint_url=endpoint).create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": each, "AttributeType": "S"} for each in ("kind", "name")],
        KeySchema=[{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "name", "KeyType": "RANGE"}],
    )


def store_at(folder: Path, place: str, endpoint: str) -> StateStore:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yaml"
    file.write_text(
        f"state_store: {place}\naws:\n  region: eu-central-1\n  endpoint_url: {endpoint}\n", encoding="utf-8"
    )
    return open_store(load_settings(file, environment={}))


@pytest.fixture(params=["local", "s3", "dynamodb"])
def store(request, aws, tmp_path):
    if request.param == "local":
        return store_at(tmp_path, "state", aws)
    if request.param == "s3":
        return store_at(tmp_path, f"s3://state/{tmp_path.name}", aws)
    name = tmp_path.name.replace("[", "-").replace("]", "-")
    make_table(aws, name)
    return store_at(tmp_path, f"dynamodb://{name}", aws)


def test_a_watermark_is_what_was_last_put(store):
    assert store.get_watermark("snowflake_orders") is None

    store.upsert_watermark("snowflake_orders", {"watermark": "2024-11-01T00:00:00+00:00"})
    store.upsert_watermark("snowflake_orders", {"watermark": "2024-11-02T00:00:00+00:00"})
    store.upsert_watermark("kafka_user_events", {"offsets": {"0": 12}})

    assert store.get_watermark("snowflake_orders") == {"watermark": "2024-11-02T00:00:00+00:00"}
    assert store.get_watermark("kafka_user_events") == {"offsets": {"0": 12}}


def test_the_ledger_lists_runs_in_order_and_a_run_its_steps(store):
    for run_id in ("20241102T000000Z-b", "20241101T000000Z-a"):
        store.record_run(run_id, {"began": run_id})
        store.record_step(run_id, "orders", {"outcome": "committed", "of": run_id})
    store.record_step("20241101T000000Z-a", "customers", {"outcome": "failed"})

    assert store.run_ids() == ["20241101T000000Z-a", "20241102T000000Z-b"]
    assert store.run("20241101T000000Z-a") == {"began": "20241101T000000Z-a"}
    assert store.run("20241103T000000Z-c") is None
    assert store.steps("20241101T000000Z-a") == {
        "customers": {"outcome": "failed"},
        "orders": {"outcome": "committed", "of": "20241101T000000Z-a"},
    }


def test_of_many_who_swap_one_state_one_succeeds(store):
    documents = store.documents
    first = documents.swap("leases", "orders", {"by": "nobody"}, None)
    with ThreadPoolExecutor(8) as pool:
        swapped = list(pool.map(lambda number: documents.swap("leases", "orders", {"by": number}, first), range(8)))

    [winner] = [number for number, tag in enumerate(swapped) if tag is not None]
    assert documents.get("leases", "orders").content == {"by": winner}
    assert documents.get("leases", "orders").tag == swapped[winner]
    assert documents.swap("leases", "orders", {"by": "late"}, None) is None


def holder(run_id: str) -> Holder:
    return Holder.here(run_id, datetime(2024, 11, 1, tzinfo=UTC))


def leases(store: StateStore, run_id: str, wait: float = 20.0, ttl: timedelta = TTL) -> Leases:
    return Leases(store.documents, holder(run_id), ttl, timedelta(seconds=wait), silent=pytest.fail)


def test_a_second_run_waits_and_is_told_for_whom(store):
    first, second, order, told = leases(store, "run-1"), leases(store, "run-2"), [], []
    holding, go_on = threading.Event(), threading.Event()

    def work() -> None:
        with first.held("orders", waiting=pytest.fail):
            holding.set()
            go_on.wait(20)
            order.append("first")

    def say(who: Holder) -> None:
        told.append(str(who))
        go_on.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert holding.wait(20)
    with second.held("orders", waiting=say):
        order.append("second")
    thread.join()

    assert order == ["first", "second"]
    assert len(told) == 1
    assert told[0].startswith("run run-1 of ")
    assert f"(process {os.getpid()}), which began at 2024-11-01 00:00:00 UTC" in told[0]


def test_who_works_longer_than_the_lease_keeps_it_and_the_other_is_refused(store):
    first, second = leases(store, "run-1"), leases(store, "run-2", wait=2.5)
    with first.held("orders", waiting=pytest.fail):
        with (
            pytest.raises(TableIsHeld, match=r"orders is held by run run-1 .* run again when that run has ended"),
            second.held("orders", waiting=lambda _: None),
        ):
            pytest.fail("two runs hold one table")
        first.check("orders")
        with second.held("customers", waiting=pytest.fail):
            pass


def test_a_lease_that_nobody_renews_is_taken_over_and_the_sleeper_notices(store):
    asleep = leases(store, "run-1")
    asleep.close()  # its heart does not beat, as that of a stopped process
    other = leases(store, "run-2")
    with asleep.held("orders", waiting=pytest.fail):
        asleep.check("orders")
        with other.held("orders", waiting=lambda _: None):
            with pytest.raises(CommitRefused, match="orders: the lease expired and was taken over by run run-2"):
                asleep.check("orders")
            other.check("orders")


def test_the_sleepers_end_does_not_end_the_lease_of_who_took_over(store):
    asleep, other = leases(store, "run-1"), leases(store, "run-2")
    asleep.close()
    sleeping = asleep.held("orders", waiting=pytest.fail)
    sleeping.__enter__()
    with other.held("orders", waiting=lambda _: None):
        sleeping.__exit__(None, None, None)
        other.check("orders")
        third = leases(store, "run-3", wait=0.5, ttl=timedelta(minutes=1))
        with pytest.raises(TableIsHeld, match="run-2"), third.held("orders", waiting=lambda _: None):
            pytest.fail("two runs hold one table")


def test_on_one_machine_the_lease_of_a_process_that_is_gone_is_free_at_once(aws, tmp_path):
    store = store_at(tmp_path, "state", aws)
    gone = dataclasses.replace(holder("run-1"), pid=holder("run-1").pid, started=1.0)
    store.documents.put("leases", "orders", {"holder": dataclasses.asdict(gone), "beat": 1})
    began = time.monotonic()

    with leases(store, "run-2", ttl=timedelta(hours=1)).held("orders", waiting=pytest.fail):
        assert time.monotonic() - began < 60


def test_a_process_that_was_stopped_in_the_middle_of_a_swap_blocks_nobody_for_long(aws, tmp_path):
    store = store_at(tmp_path, "state", aws)
    store.documents.swap("leases", "orders", {"holder": None}, None)
    command = "import fcntl, sys; lock = open(sys.argv[1]); fcntl.flock(lock, 2); print(flush=True); sys.stdin.read()"
    lock = tmp_path / "state" / "leases" / "orders.lock"
    with subprocess.Popen(
        [sys.executable, "-c", command, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as stopped:
        stopped.stdout.readline()

        with pytest.raises(StateUnavailable, match=r"a process that was stopped holds .*orders\.lock"):
            store.documents.swap("leases", "orders", {"holder": "me"}, None)
        assert store.documents.swap("leases", "customers", {"holder": "me"}, None)
        stopped.stdin.close()


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_corrupt_document_says_nothing_and_can_be_replaced(aws, tmp_path, raw):
    store = store_at(tmp_path, "state", aws)
    for kind in ("watermarks", "leases"):
        (tmp_path / "state" / kind).mkdir(parents=True)
        (tmp_path / "state" / kind / "orders.json").write_bytes(raw)

    assert store.get_watermark("orders") is None
    store.upsert_watermark("orders", {"watermark": "2024-11-01T00:00:00+00:00"})
    assert store.get_watermark("orders") == {"watermark": "2024-11-01T00:00:00+00:00"}
    with leases(store, "run-1").held("orders", waiting=pytest.fail):
        pass


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("s3://no-such-bucket/x", "the state store s3://no-such-bucket/x: there is no such bucket; create it"),
        (
            "dynamodb://no-such-table",
            "refused get_item: ResourceNotFoundException; make the table: aws dynamodb create-",
        ),
    ],
)
def test_a_store_that_is_not_there_is_named_with_the_fix(aws, tmp_path, place, said):
    with pytest.raises(StateUnavailable, match=said):
        store_at(tmp_path, place, aws).get_watermark("orders")


def test_work_goes_on_without_a_lease_where_the_store_does_not_answer(aws, tmp_path):
    store, told = store_at(tmp_path, "dynamodb://no-such-table", aws), []
    unheld = Leases(store.documents, holder("run-1"), TTL, timedelta(0), silent=told.append)

    with unheld.held("orders", waiting=pytest.fail):
        unheld.check("orders")

    assert all(isinstance(each, StateUnavailable) for each in told)
    assert told


@pytest.mark.parametrize("place", ["redis://here", "s3://", "dynamodb://"])
def test_a_place_that_is_no_store_is_a_configuration_error(aws, tmp_path, place):
    with pytest.raises(ConfigurationError, match="state_store: "):
        store_at(tmp_path, place, aws)
