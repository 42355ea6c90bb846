"""Kafka's stand-in: the broker holds each topic's messages up to the sandbox's clock, offset for offset."""

import json
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # it has no `__all__`
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from headwater.errors import SandboxError
from headwater.sandbox.kafka.broker import READER, Broker, BrokerProcess
from headwater.sandbox.kafka.topic_file import TopicFile
from headwater.sandbox.stand_in import Connection, log_file

_ANSWER_WITHIN_S = 30.0
_DELIVER_WITHIN_S = 300.0
_NO_LEADER_YET = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)


class KafkaStandIn:
    """One broker for a dataset's topics; messages that others produce are left alone and shift later positions.

    What was produced so far is kept in `holds.json`, so that a restart produces only what is missing.
    """

    name = "kafka"

    def __init__(self, folder: Path, port: int | None, advertised_port: int | None = None) -> None:
        """Keep data, users and log in `folder`; clients are sent to another port if somebody stands in front of it."""
        self._advertised_port = advertised_port
        self._folder = folder
        self._port = port
        self._process = BrokerProcess(folder)
        self._broker: Broker | None = None
        self._topics: list[TopicFile] = []
        self._holds_file = folder / "holds.json"

    def start(self, dataset: Path, at: datetime) -> Connection:
        """Start the broker and fill its topics up to `at`; data of another dataset or of a later clock is dropped."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._process.end_orphan()
        files = sorted((dataset / "kafka").glob("*.parquet"))
        self._topics = [TopicFile(file) for file in files]
        fingerprint = [[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        holds = self._read_holds()
        if holds.get("dataset") != fingerprint or holds.get("at", "") > at.isoformat():
            self._process.forget_data()
            holds = {"dataset": fingerprint, "topics": {}, "unfinished": False}
        self._write_holds(holds)
        self._broker = self._process.start(self._port, self._advertised_port)
        self._grant_and_create(self._broker)
        self._produce(at)
        settings = {
            "bootstrap_servers": self._broker.bootstrap_servers,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "ssl_ca_location": str(self._broker.authority),
        }
        return Connection(settings, {"username": READER, "password": self._broker.reader_password})

    def advance(self, after: datetime, until: datetime) -> None:  # noqa: ARG002 - how far the topics are is known exactly
        """Produce what became visible up to `until`."""
        self._produce(until)

    def stop(self) -> None:
        """End the broker."""
        self._process.stop()
        self._broker = None

    def _grant_and_create(self, broker: Broker) -> None:
        """Make the topics that lack; the reader may read every topic, in any group, and write none."""
        admin = AdminClient(broker.as_admin())
        known = admin.list_topics(timeout=_ANSWER_WITHIN_S).topics
        new = [NewTopic(file.topic, file.partitions, 1) for file in self._topics if file.topic not in known]
        allowed = ((ResourceType.TOPIC, AclOperation.READ), (ResourceType.GROUP, AclOperation.READ))
        user = f"User:{READER}"
        rights = [
            AclBinding(kind, "*", ResourcePatternType.LITERAL, user, "*", operation, AclPermissionType.ALLOW)
            for kind, operation in allowed
        ]
        pending = list(admin.create_acls(rights, request_timeout=_ANSWER_WITHIN_S).values())
        if new:
            pending += admin.create_topics(new, request_timeout=_ANSWER_WITHIN_S).values()
        for future in pending:
            future.result(_ANSWER_WITHIN_S)

    def _produce(self, at: datetime) -> None:
        """Bring every topic to what is visible at `at`; after an interruption, to exactly that."""
        if self._broker is None:
            raise SandboxError("Kafka's stand-in does not run: `headwater sandbox up` starts it")
        holds = self._read_holds()
        ends = self._end_offsets(self._broker)
        begin = {file.topic: _rows_held(holds, file, ends[file.topic]) for file in self._topics}
        wanted = {file.topic: file.visible_rows(at) for file in self._topics}
        for file in self._topics:
            holds["topics"][file.topic] = [begin[file.topic], ends[file.topic]]
        self._write_holds(holds | {"at": at.isoformat(), "unfinished": True})
        self._deliver(self._broker, begin, wanted)
        due = {
            topic: [
                end + max(0, new - old) for end, new, old in zip(ends[topic], wanted[topic], begin[topic], strict=True)
            ]
            for topic in wanted
        }
        found = self._end_offsets(self._broker)
        if lacking := [topic for topic in due if any(a < b for a, b in zip(found[topic], due[topic], strict=True))]:
            raise SandboxError(
                f"Kafka did not take every message of {', '.join(lacking)}: see {log_file(self._folder)}"
            )
        for topic, rows in wanted.items():
            held = [max(new, old) for new, old in zip(rows, begin[topic], strict=True)]
            holds["topics"][topic] = [held, due[topic]]
        self._write_holds(holds | {"at": at.isoformat(), "unfinished": False})

    def _deliver(self, broker: Broker, begin: dict[str, list[int]], end: dict[str, list[int]]) -> None:
        """Produce in file order, to the very partition; idempotent, so that a repeated request adds nothing."""
        producer = Producer(
            broker.as_admin()
            | {
                "enable.idempotence": True,
                "linger.ms": 20,
                "batch.size": 524_288,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 131_072,
            }
        )
        for file in self._topics:
            for partition, key, value, headers, timestamp_ms in file.messages(begin[file.topic], end[file.topic]):
                while True:
                    try:
                        producer.produce(
                            file.topic,
                            value=value,
                            key=key,
                            partition=partition,
                            timestamp=timestamp_ms,
                            headers=headers,
                        )
                    except BufferError:
                        producer.poll(0.1)
                    else:
                        break
        if left := producer.flush(_DELIVER_WITHIN_S):
            raise SandboxError(f"Kafka did not take {left} messages in time: see {log_file(self._folder)}")

    def _end_offsets(self, broker: Broker) -> dict[str, list[int]]:
        consumer = Consumer(broker.as_admin() | {"group.id": "sandbox"})
        try:
            return {
                file.topic: [_end_offset(consumer, TopicPartition(file.topic, each)) for each in range(file.partitions)]
                for file in self._topics
            }
        finally:
            consumer.close()

    def _read_holds(self) -> dict[str, Any]:
        if not self._holds_file.is_file():
            return {}
        holds: dict[str, Any] = json.loads(self._holds_file.read_text(encoding="utf-8"))
        return holds

    def _write_holds(self, holds: dict[str, Any]) -> None:
        fresh = self._holds_file.with_suffix(".new")
        fresh.write_text(json.dumps(holds), encoding="utf-8")
        fresh.replace(self._holds_file)


def _rows_held(holds: dict[str, Any], file: TopicFile, ends: list[int]) -> list[int]:
    """How many of a topic's rows each partition holds, told from where it ends now and ended when we last looked.

    More than then: the rest of an unfinished production is ours, anything else is somebody else's. Less: the machine
    stopped before the broker's last messages were on disk.
    """
    rows, then = holds["topics"].get(file.topic) or ([0] * file.partitions, [0] * file.partitions)
    unfinished = holds["unfinished"]
    return [
        had + (now - before) if unfinished or now < before else had
        for had, before, now in zip(rows, then, ends, strict=True)
    ]


def _end_offset(consumer: Consumer, partition: TopicPartition) -> int:
    """The partition's next offset; a topic made this moment may have no leader for another moment."""
    deadline = time.monotonic() + _ANSWER_WITHIN_S
    while True:
        try:
            end: int = consumer.get_watermark_offsets(partition, timeout=_ANSWER_WITHIN_S)[1]
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return end
