"""KafkaConsumer over a real broker: what the topic holds is read once, and refusals are told within seconds."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import certifi
import pyarrow as pa
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from headwater.config import KafkaSettings
from headwater.contracts import Contract, Contracts
from headwater.errors import SourceRejected, SourceUnavailable
from headwater.extract.base_extractor import OffsetRange, Position
from headwater.extract.kafka_orders_stream import KafkaConsumer
from headwater.sandbox.kafka.broker import READER, Broker, BrokerProcess

pytestmark = pytest.mark.slow

AT = datetime(2024, 11, 1, tzinfo=UTC)
TOPIC = "inventory_updates"


@dataclass
class Live:
    """A running broker: `admin` may do everything, `settings` and `secret` are the reader's."""

    broker: Broker
    settings: KafkaSettings
    secret: dict[str, str]
    admin: AdminClient

    def produce(self, messages: list[dict], **settings: object) -> None:
        producer = Producer(self.broker.as_admin() | settings)
        for message in messages:
            producer.produce(TOPIC, **({"partition": 0} | message))
        assert producer.flush(20) == 0


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails when its block took longer."""
    began = time.monotonic()
    try:
        yield
    finally:
        assert time.monotonic() - began < seconds


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    process = BrokerProcess(tmp_path_factory.mktemp("kafka"))
    try:
        broker = process.start(None)
        settings = KafkaSettings(
            enabled=True, bootstrap_servers=broker.bootstrap_servers, ssl_ca_location=broker.authority
        )
        admin = AdminClient(broker.as_admin())
        live = Live(broker, settings, {"username": READER, "password": broker.reader_password}, admin)
        grant(live, "*")
        yield live
    finally:
        process.stop()


@pytest.fixture
def topic(live: Live) -> Iterator[Live]:
    """The topic, empty, with two partitions."""
    admin = live.admin
    admin.create_topics([NewTopic(TOPIC, 2, 1)])[TOPIC].result(20)
    yield live
    delete(live)


def delete(live: Live) -> None:
    admin = live.admin
    admin.delete_topics([TOPIC])[TOPIC].result(20)
    deadline = time.monotonic() + 20
    while TOPIC in admin.list_topics(timeout=5).topics:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def grant(live: Live, name: str) -> None:
    from confluent_kafka.admin import AclBinding

    right = AclBinding(
        ResourceType.TOPIC, name, ResourcePatternType.LITERAL, f"User:{READER}", "*",
        AclOperation.READ, AclPermissionType.ALLOW,
    )  # fmt: skip
    for future in live.admin.create_acls([right]).values():
        future.result(20)


@pytest.fixture
def contract(contracts: Contracts) -> Contract:
    return contracts["kafka_inventory_updates"]


def consumer(live: Live, contract: Contract, **changed: object) -> KafkaConsumer:
    return KafkaConsumer(replace(live.settings, **changed), live.secret, contract)


def read(extractor: KafkaConsumer, ranges: list) -> SimpleNamespace:
    rejects: list[pa.RecordBatch] = []
    batches = [batch for each in ranges for batch in extractor.read(each, rejects.append)]
    return SimpleNamespace(
        batches=batches,
        rows=[row for batch in batches for row in batch.to_pylist()],
        rejects=[row for batch in rejects for row in batch.to_pylist()],
    )


def event(number: int) -> dict:
    return {"value": json.dumps({"product_id": f"P{number}", "quantity": number}).encode()}


def test_messages_arrive_with_their_place_time_key_and_headers_typed_by_the_contract(topic, contract):
    headers = [("trace", b"a\xff"), ("trace", None), ("plain", b"text")]
    first = event(1) | {"key": "P1", "timestamp": 1_730_419_200_123, "headers": headers}
    topic.produce([first, event(2) | {"key": b"\xfe", "partition": 1}])
    extractor = consumer(topic, contract)

    ranges = extractor.partitions(Position(), AT)
    found = read(extractor, ranges)

    assert ranges == [OffsetRange(TOPIC, 0, 0, 1), OffsetRange(TOPIC, 1, 0, 1)]
    assert found.batches[0].schema == contract.arrow_schema.append(pa.field("_row_id", pa.string()))
    assert found.rows[0] == {
        "product_id": "P1",
        "warehouse_id": None,
        "quantity": 1,
        "event_timestamp": None,
        "reason": None,
        "kafka_key": "P1",
        "kafka_partition": 0,
        "kafka_offset": 0,
        "kafka_timestamp": datetime(2024, 11, 1, 0, 0, 0, 123_000, tzinfo=UTC),
        "kafka_headers": '[{"key": "trace", "value": "a\\\\xff"}, {"key": "trace", "value": null}, '
        '{"key": "plain", "value": "text"}]',
        "_row_id": "0:0",
    }
    assert (found.rows[1]["kafka_key"], found.rows[1]["_row_id"]) == ("\\xfe", "1:0")
    assert found.rows[1]["kafka_headers"] is None
    assert extractor.partitions(Position(offsets={0: 1, 1: 1}), AT) == []
    assert TOPIC in extractor.check()


def test_a_field_that_the_contract_does_not_know_comes_as_text_and_one_that_no_message_has_is_told(topic, contract):
    more = {"lot": {"n": 1.50}, "kafka_offset": 9}
    told = [{"product_id": "P1", "quantity": 1}, {"product_id": "P2", "quantity": 2} | more]
    topic.produce([{"value": json.dumps(each).encode(), "partition": 0} for each in told])
    extractor = consumer(topic, contract)

    found = read(extractor, extractor.partitions(Position(), AT))

    [other] = [name for name in found.rows[1] if name.startswith("kafka_offset_")]
    assert [(row.get("lot"), row.get(other), row["kafka_offset"]) for row in found.rows] == [
        (None, None, 0),
        ('{"n":1.5}', "9", 1),
    ]
    assert set(extractor.drift.missing()) == {"warehouse_id", "event_timestamp", "reason"}


def test_what_is_no_event_is_rejected_with_its_position_and_bytes(topic, contract):
    broken = [b"{", b"[]", b"\xff", b'{"quantity":"many"}', None]
    topic.produce([event(0), *({"value": value} for value in broken), event(6)])
    extractor = consumer(topic, contract)

    found = read(extractor, extractor.partitions(Position(), AT))

    assert [row["kafka_offset"] for row in found.rows] == [0, 6]
    assert [(reject["_row_id"], reject["position"]) for reject in found.rejects] == [
        (f"0:{offset}", f"{TOPIC}[0]@{offset}") for offset in range(1, 6)
    ]
    assert [reject["raw"] for reject in found.rejects] == [value or b"" for value in broken]
    assert "tombstone" in found.rejects[-1]["reason"]


def test_messages_that_were_refused_are_read_again_at_their_offsets_while_the_topic_keeps_them(topic, contract):
    many = b'{"product_id":"P1","quantity":"many"}'
    topic.produce([event(0), {"value": many, "key": b"k"}, event(2), {"value": b"{"}, {"value": many}])
    rejects = pa.Table.from_pylist(read(consumer(topic, contract), [OffsetRange(TOPIC, 0, 0, 5)]).rejects)
    topic.admin.delete_records([TopicPartition(TOPIC, 0, 1)])[TopicPartition(TOPIC, 0, 1)].result(20)
    gone = rejects.slice(0, 1).set_column(0, "_row_id", pa.array(["0:0"]))
    columns = tuple(replace(each, type="string") if each.name == "quantity" else each for each in contract.columns)
    mended = consumer(topic, replace(contract, columns=columns))

    refused: list[pa.RecordBatch] = []
    batches = list(mended.again(pa.concat_tables([gone, rejects]), refused.append))

    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["_row_id"], row["quantity"], row["kafka_key"]) for row in rows] == [
        ("0:1", "many", "k"), ("0:4", "many", None),
    ]  # fmt: skip
    told = {row["_row_id"]: row["reason"] for batch in refused for row in batch.to_pylist()}
    assert told.keys() == {"0:0", "0:3"}
    assert told["0:0"] == f"topic {TOPIC} does not keep this message any more"


def test_ranges_are_bounded_and_each_gives_exactly_its_messages(topic, contract):
    topic.produce([event(number) for number in range(2500)])
    extractor = consumer(topic, contract)
    extractor.rows_per_window = 1000

    ranges = extractor.partitions(Position(offsets={0: 10}), AT)

    assert [(each.start, each.end) for each in ranges] == [(10, 1010), (1010, 2010), (2010, 2500)]
    for each in reversed(ranges):
        assert [row["quantity"] for row in read(extractor, [each]).rows] == list(range(each.start, each.end))


def test_only_committed_transactions_are_read_and_the_gaps_they_leave_do_not_stop_a_range(topic, contract):
    transactions(topic, [("commit", [1, 2]), ("abort", [3]), ("commit", [4]), ("abort", [5])])
    extractor = consumer(topic, contract)

    (whole,) = extractor.partitions(Position(), AT)
    began = time.monotonic()
    found = read(extractor, [whole])

    assert [row["quantity"] for row in found.rows] == [1, 2, 4]
    assert whole.end == 9, "five messages and four markers"
    assert time.monotonic() - began < 15, "the markers at the end were not waited for"
    pieces = [OffsetRange(TOPIC, 0, start, start + 1) for start in range(9)]
    assert [row["quantity"] for row in read(extractor, pieces).rows] == [1, 2, 4]


def transactions(live: Live, planned: list[tuple[str, list[int]]]) -> None:
    producer = Producer(live.broker.as_admin() | {"transactional.id": "test"})
    producer.init_transactions(20)
    for end, numbers in planned:
        producer.begin_transaction()
        for number in numbers:
            producer.produce(TOPIC, partition=0, **event(number))
        producer.flush(10)
        producer.commit_transaction(10) if end == "commit" else producer.abort_transaction(10)


def eventually(seconds: float, ask: Callable[[], list[Any]]) -> list[Any]:
    """What is answered as soon as it is not empty."""
    deadline = time.monotonic() + seconds
    while not (answer := ask()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def test_messages_of_an_open_transaction_are_not_due_yet(topic, contract):
    topic.produce([event(1)])
    producer = Producer(topic.broker.as_admin() | {"transactional.id": "open"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(TOPIC, partition=0, **event(2))
    producer.flush(10)
    extractor = consumer(topic, contract)

    assert extractor.partitions(Position(), AT) == [OffsetRange(TOPIC, 0, 0, 1)]
    producer.commit_transaction(10)
    due = eventually(
        10, lambda: extractor.partitions(Position(offsets={0: 1}), AT)
    )  # the broker ends it a moment later
    assert [row["quantity"] for row in read(extractor, due).rows] == [2]


def test_offsets_that_retention_removed_before_they_were_read_are_an_error_that_names_them(topic, contract):
    topic.produce([event(number) for number in range(10)])
    topic.admin.delete_records([TopicPartition(TOPIC, 0, 7)])[TopicPartition(TOPIC, 0, 7)].result(20)
    extractor = consumer(topic, contract)

    with pytest.raises(SourceRejected, match=rf"{TOPIC}\[0\]: offsets 4 to 6 were removed"):
        extractor.partitions(Position(offsets={0: 4}), AT)
    assert extractor.partitions(Position(offsets={0: 7}), AT) == [OffsetRange(TOPIC, 0, 7, 10)]
    assert extractor.partitions(Position(), AT) == [OffsetRange(TOPIC, 0, 7, 10)]
    with pytest.raises(SourceRejected, match="no longer has the offsets"):
        read(extractor, [OffsetRange(TOPIC, 0, 4, 10)])


def test_a_topic_that_was_created_anew_is_an_error(topic, contract):
    topic.produce([event(1)])

    with pytest.raises(SourceRejected, match=r"ends at offset 1, but was read to 5: was the topic created anew"):
        consumer(topic, contract).partitions(Position(offsets={0: 5}), AT)
    with pytest.raises(SourceRejected, match="has no partition 2 any more"):
        consumer(topic, contract).partitions(Position(offsets={2: 5}), AT)


def test_a_topic_that_is_missing_is_named(live, contract):
    with pytest.raises(SourceRejected, match=f"no topic {TOPIC}"):
        consumer(live, contract).check()


def test_a_wrong_password_is_refused_at_once_and_not_shown(topic, contract, caplog):
    extractor = KafkaConsumer(topic.settings, topic.secret | {"password": "sesame"}, contract)

    with pytest.raises(SourceRejected, match=r"refused the login: check secrets\.kafka") as refused, within(10):
        extractor.check()
    with pytest.raises(SourceRejected, match=r"refused the login"), within(10):
        read(extractor, [OffsetRange(TOPIC, 0, 0, 1)])
    assert "sesame" not in str(refused.value) + caplog.text


def test_a_certificate_of_another_authority_is_refused_at_once(topic, contract):
    with pytest.raises(SourceRejected, match=r"data_sources\.kafka\.ssl_ca_location"), within(10):
        consumer(topic, contract, ssl_ca_location=Path(certifi.where())).check()


def test_a_missing_certificate_file_is_refused(topic, contract, tmp_path):
    with pytest.raises(SourceRejected, match=r"check data_sources\.kafka"):
        consumer(topic, contract, ssl_ca_location=tmp_path / "none.pem").check()


def test_a_broker_that_is_down_is_unavailable_within_seconds(topic, contract):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    extractor = consumer(topic, contract, bootstrap_servers=address)

    with pytest.raises(SourceUnavailable, match=address), within(10):
        extractor.check()
    extractor = consumer(topic, contract, bootstrap_servers=address, connect_timeout=timedelta(seconds=1))
    for ask in (lambda: extractor.partitions(Position(), AT), lambda: read(extractor, [RANGE])):
        with pytest.raises(SourceUnavailable, match=address), within(10):
            ask()


RANGE = OffsetRange(TOPIC, 0, 0, 1)


def test_a_broker_that_accepts_and_says_nothing_is_unavailable_within_seconds(topic, contract):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        patience = timedelta(seconds=2)
        with pytest.raises(SourceUnavailable, match=address), within(10):
            consumer(topic, contract, bootstrap_servers=address, connect_timeout=patience).check()


def test_a_range_that_never_fills_is_given_up(topic, contract):
    topic.produce([event(1)])

    with pytest.raises(SourceUnavailable, match=rf"reading {TOPIC}\[0\] at offset 1"), within(10):
        read(consumer(topic, contract, answer_timeout=timedelta(seconds=1)), [OffsetRange(TOPIC, 0, 0, 5)])


def test_without_the_right_to_read_the_topic_is_named(live, contract):
    admin = live.admin
    everything = AclBindingFilter(
        ResourceType.TOPIC, None, ResourcePatternType.ANY, f"User:{READER}", None,
        AclOperation.ANY, AclPermissionType.ANY,
    )  # fmt: skip
    admin.create_topics([NewTopic(TOPIC, 1, 1)])[TOPIC].result(20)
    for future in admin.delete_acls([everything]).values():
        future.result(20)
    try:
        with pytest.raises(SourceRejected, match=f"may not read topic {TOPIC}"), within(10):
            consumer(live, contract).check()
    finally:
        grant(live, "*")
        delete(live)
