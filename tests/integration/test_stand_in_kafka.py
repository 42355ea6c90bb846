"""Kafka's stand-in, read with confluent-kafka as Headwater reads it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from headwater.sandbox.kafka import KafkaStandIn
from headwater.sandbox.kafka.broker import BrokerProcess
from headwater.sandbox.stand_in import Connection

pytestmark = pytest.mark.slow

T0 = datetime(2024, 11, 1, tzinfo=UTC)
HEADERS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("key", pa.string()),
        ("value", pa.binary()),
        ("headers", HEADERS),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("_visible_at", pa.timestamp("us", "UTC")),
    ]
)


def history(rows: int) -> list[dict[str, object]]:
    """One message a minute over three partitions; some with headers, some without key, one tombstone."""
    return [
        {
            "partition": number * number % 3,
            "key": None if number % 11 == 0 else f"O{number}",
            "value": None if number == 5 else f'{{"order_id":"O{number}"}}'.encode(),
            "headers": [{"key": "trace", "value": str(number).encode()}, {"key": "empty", "value": None}]
            if number % 4 == 0
            else None,
            "timestamp": T0 + timedelta(minutes=number, microseconds=1999),
            "_visible_at": T0 + timedelta(minutes=number),
        }
        for number in range(rows)
    ]


def write_topic(dataset: Path, topic: str, rows: list[dict[str, object]]) -> None:
    (dataset / "kafka").mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), dataset / "kafka" / f"{topic}.parquet", row_group_size=50)


def client(connection: Connection, **more: object) -> dict[str, object]:
    settings, secret = connection.settings, connection.secret
    return {
        "bootstrap.servers": settings["bootstrap_servers"],
        "security.protocol": settings["security_protocol"],
        "sasl.mechanism": settings["sasl_mechanism"],
        "ssl.ca.location": settings["ssl_ca_location"],
        "sasl.username": secret["username"],
        "sasl.password": secret["password"],
        "log_level": 0,
        "error_cb": lambda _error: None,
        **more,
    }


def read_all(connection: Connection, topic: str) -> list[Message]:
    """Every message of a topic, as a consumer of a group finds it."""
    consumer = Consumer(client(connection, **{"group.id": "test", "enable.auto.commit": False}))
    try:
        ends = {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1] for number in range(3)
        }
        consumer.assign([TopicPartition(topic, number, 0) for number in ends])
        found: list[Message] = []
        deadline = time.monotonic() + 30
        while len(found) < sum(ends.values()) and time.monotonic() < deadline:
            found += consumer.consume(1000, 0.2)
        assert all(message.error() is None for message in found)
        return found
    finally:
        consumer.close()


def as_told(messages: list[Message]) -> list[tuple[object, ...]]:
    told = ((m.partition(), m.offset(), m.key(), m.value(), m.headers() or None, m.timestamp()[1]) for m in messages)
    return sorted(told, key=lambda each: each[:2])


def as_in_the_file(rows: list[dict[str, object]], at: datetime) -> list[tuple[object, ...]]:
    told = []
    for number in range(3):
        visible = [row for row in rows if row["partition"] == number and row["_visible_at"] <= at]
        for offset, row in enumerate(visible):
            key = row["key"].encode() if row["key"] else None
            headers = [(each["key"], each["value"]) for each in row["headers"]] if row["headers"] else None
            milliseconds = int(row["timestamp"].timestamp() * 1000)
            told.append((number, offset, key, row["value"], headers, milliseconds))
    return told


def broker_of(folder: Path) -> psutil.Process:
    return psutil.Process(json.loads((folder / "pid.json").read_text())["pid"])


def wait_for(true: Callable[[], bool], within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write_topic(tmp_path / "dataset", "orders_events", history(400))
    write_topic(tmp_path / "dataset", "user_events", history(7))
    return tmp_path / "dataset"


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[KafkaStandIn]:
    kafka = KafkaStandIn(tmp_path / "kafka", None)
    yield kafka
    kafka.stop()


def test_the_topics_hold_the_dataset_at_the_clock_through_advances_and_a_restart(
    dataset: Path, stand_in: KafkaStandIn, tmp_path: Path
) -> None:
    rows, day = history(400), T0 + timedelta(minutes=100)

    connection = stand_in.start(dataset, day)
    assert as_told(read_all(connection, "orders_events")) == as_in_the_file(rows, day)
    assert as_told(read_all(connection, "user_events")) == as_in_the_file(history(7), day)
    wrong_logins_are_refused(connection)
    the_reader_may_not_write(connection)
    no_password_is_shown(tmp_path / "kafka", [connection.secret["password"], stand_in._broker.admin_password])

    later = day + timedelta(minutes=50)
    stand_in.advance(day, later)
    assert as_told(read_all(connection, "orders_events")) == as_in_the_file(rows, later)

    # somebody's own message takes the next offset, and the dataset goes on behind it
    by_hand = Producer({**client(connection), **stand_in._broker.as_admin()})
    by_hand.produce("orders_events", value=b"by hand", partition=1)
    assert by_hand.flush(10) == 0
    before = len(read_all(connection, "orders_events"))
    process = broker_of(tmp_path / "kafka")
    stand_in.stop()
    assert not process.is_running()

    port = int(connection.settings["bootstrap_servers"].rpartition(":")[2])
    again = KafkaStandIn(tmp_path / "kafka", port)
    try:
        assert again.start(dataset, later + timedelta(minutes=10)) == connection, "port and password are remembered"
        values = [message.value() for message in read_all(connection, "orders_events")]
        assert len(values) == before + 10
        assert [value for value in values if value == b"by hand"] == [b"by hand"]
        assert len(set(values)) == len(values), "nothing was produced twice"
    finally:
        again.stop()


def wrong_logins_are_refused(connection: Connection) -> None:
    for wrong, code in (
        ({"sasl.password": "wrong"}, KafkaError._AUTHENTICATION),
        ({"ssl.ca.location": str(Path(certifi.where()))}, KafkaError._SSL),
    ):
        seen: list[int] = []
        settings = client(connection, **wrong) | {"error_cb": lambda error, seen=seen: seen.append(error.code())}
        admin = AdminClient(settings)
        with pytest.raises(KafkaException):
            admin.list_topics(timeout=1)
        admin.poll(0.5)
        assert code in seen


def the_reader_may_not_write(connection: Connection) -> None:
    answers: list[KafkaError | None] = []
    producer = Producer(client(connection))
    producer.produce("orders_events", value=b"x", partition=0, on_delivery=lambda error, _m: answers.append(error))
    producer.flush(10)
    assert [error.code() for error in answers if error] == [KafkaError.TOPIC_AUTHORIZATION_FAILED]


def no_password_is_shown(folder: Path, secrets: list[str]) -> None:
    for file in folder.iterdir():
        if file.is_file() and any(secret in file.read_text() for secret in secrets):
            assert file.stat().st_mode & 0o077 == 0, f"{file.name} shows a password to others"
    assert not any(secret in word for secret in secrets for word in broker_of(folder).cmdline())


def test_an_interrupted_production_is_finished_and_not_repeated_after_the_orphaned_broker_was_ended(
    dataset: Path, stand_in: KafkaStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.start(dataset, T0 + timedelta(minutes=100))
    deliver = stand_in._deliver

    def half(broker: object, begin: dict[str, list[int]], end: dict[str, list[int]]) -> None:
        middle = {topic: [(a + b) // 2 for a, b in zip(begin[topic], end[topic], strict=True)] for topic in begin}
        deliver(broker, begin, middle)
        raise KeyboardInterrupt

    monkeypatch.setattr(stand_in, "_deliver", half)
    with pytest.raises(KeyboardInterrupt):
        stand_in.advance(T0, T0 + timedelta(minutes=300))
    orphan = broker_of(tmp_path / "kafka")

    again = KafkaStandIn(tmp_path / "kafka", None)
    try:
        connection = again.start(dataset, T0 + timedelta(minutes=300))
        wait_for(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)
        told = as_told(read_all(connection, "orders_events"))
        assert told == as_in_the_file(history(400), T0 + timedelta(minutes=300))
    finally:
        again.stop()


def test_a_process_that_has_the_number_of_our_dead_broker_is_left_alone(tmp_path: Path) -> None:
    bystander = psutil.Process()
    reused = {"pid": bystander.pid, "started": bystander.create_time()}
    (tmp_path / "pid.json").write_text(json.dumps(reused))
    BrokerProcess(tmp_path).end_orphan()
    assert bystander.is_running()
    assert not (tmp_path / "pid.json").exists()


HOST = """
import sys, time
from datetime import datetime
from pathlib import Path
from headwater.sandbox.kafka import KafkaStandIn

KafkaStandIn(Path(sys.argv[1]), None).start(Path(sys.argv[2]), datetime.fromisoformat(sys.argv[3]))
print("up", flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_broker_ends_with_its_host_and_an_earlier_clock_begins_anew(
    dataset: Path, stand_in: KafkaStandIn, tmp_path: Path
) -> None:
    at = T0 + timedelta(minutes=100)
    command = [sys.executable, "-c", HOST, str(tmp_path / "kafka"), str(dataset), at.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "up\n"
        broker = broker_of(tmp_path / "kafka")
        os.kill(host.pid, signal.SIGKILL)
    wait_for(lambda: not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE)

    earlier = T0 + timedelta(minutes=50)
    connection = stand_in.start(dataset, earlier)
    assert as_told(read_all(connection, "orders_events")) == as_in_the_file(history(400), earlier)
