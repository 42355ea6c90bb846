"""A consumer of one topic whose errors become ours, and how it is set up."""

import logging
import time
from collections.abc import Iterator, Mapping
from operator import methodcaller
from typing import TYPE_CHECKING, Any, cast

from headwater.config import KafkaSettings
from headwater.errors import SourceError, SourceRejected, SourceUnavailable
from headwater.extract.base_extractor import OffsetRange, credential, referred, setting

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

REPOSITION = "then say where to go on: headwater watermark set (or reset) with this table and --why"

_BATCH = 10_000
_BUFFER_KBYTES = 16_384
_ERROR = methodcaller("error")

_log = logging.getLogger("headwater.extract.kafka")


def connected(settings: KafkaSettings, secret: Mapping[str, str], topic: str) -> "KafkaConnection":
    """A consumer of a topic. Nothing is asked yet: what is wrong with the login shows with the first request.

    Raises:
        SourceRejected: the client does not take what is set.
    """
    from confluent_kafka import Consumer, KafkaException

    faults: list[KafkaError] = []
    try:
        consumer = Consumer(_client_settings(settings, secret) | {"error_cb": faults.append, "logger": _log})
    except KafkaException as error:
        raise SourceRejected(
            "kafka", f"the client can't be set up ({error.args[0].str()}): check data_sources.kafka"
        ) from error
    return KafkaConnection(consumer, faults, topic, settings, referred("kafka", secret))


def _client_settings(settings: KafkaSettings, secret: Mapping[str, str]) -> dict[str, Any]:
    client: dict[str, Any] = {
        "bootstrap.servers": setting("kafka", "bootstrap_servers", settings.bootstrap_servers),
        "security.protocol": settings.security_protocol,
        "group.id": "headwater",  # the client demands one; nothing is ever committed to it
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "queued.max.messages.kbytes": _BUFFER_KBYTES,
        "reconnect.backoff.max.ms": 1000,
        "log_level": 2,  # what goes wrong reaches us as errors
    }
    if settings.security_protocol.startswith("SASL_"):
        client |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": credential("kafka", secret, "username"),
            "sasl.password": credential("kafka", secret, "password"),
        }
    if settings.ssl_ca_location and settings.security_protocol.endswith("SSL"):
        client["ssl.ca.location"] = str(settings.ssl_ca_location)
    return client


class KafkaConnection:
    """A consumer whose background errors become ours: librdkafka tells a refused login to its error callback alone."""

    def __init__(
        self, consumer: "Consumer", faults: list["KafkaError"], topic: str, settings: KafkaSettings, secret_named: str
    ) -> None:
        self._consumer = consumer
        self._faults = faults
        self._topic = topic
        self._servers = str(settings.bootstrap_servers)
        self._secret_named = secret_named
        self._answer_within_s = settings.connect_timeout.total_seconds()
        self._progress_within_s = settings.answer_timeout.total_seconds()
        self._reached: tuple[int, int] | None = None
        """The partition and offset that the last range was read to: the next one may go on there as it is."""

    def forget(self) -> None:
        """Begin anew, but for the connection: what went wrong meanwhile says nothing of the next reader's request."""
        self._faults.clear()

    def close(self) -> None:
        self._consumer.close()

    def watermarks(self) -> dict[int, tuple[int, int]]:
        """For each partition the first offset that is still there, and the end of what is committed."""
        from confluent_kafka import TopicPartition

        return {
            partition: self._consumer.get_watermark_offsets(
                TopicPartition(self._topic, partition), timeout=self._answer_within_s, cached=False
            )
            for partition in self._partitions()
        }

    def fetch_nothing(self, ends: Mapping[int, int]) -> None:
        """Ask for messages at the ends, so that a lacking right to read shows."""
        from confluent_kafka import TopicPartition

        self._reached = None
        self._consumer.assign([TopicPartition(self._topic, partition, end) for partition, end in ends.items()])
        deadline = time.monotonic() + self._answer_within_s
        while time.monotonic() < deadline:
            message = self._consumer.poll(0.2)
            self._raise_refusals()
            if message is not None and not self._means_nothing(message.error()):
                self._raise_unless_end(message.error())
                return
        raise self._silent("fetching")

    def messages(self, wanted: OffsetRange) -> Iterator[list["Message"]]:
        """The range's messages, some thousands at a time.

        Offsets have gaps (transactions, compaction): the end is reached at a message behind it or the partition's end.
        """
        from confluent_kafka import TopicPartition

        place = (wanted.partition, wanted.start)
        if self._reached != place:
            self._consumer.assign([TopicPartition(wanted.topic, *place)])
        self._reached, passed = None, False  # what was passed over must be fetched again for the next range
        reached = wanted.start
        progress = time.monotonic()
        while reached < wanted.end:
            # Not more than can come: the client waits for as many as it is asked for.
            got = self._consumer.consume(min(_BATCH, wanted.end - reached), timeout=0.2)
            self._raise_refusals()
            before = reached
            batch, reached = self._within(got, wanted.end, reached)
            passed = passed or len(batch) < len(got)
            if reached > before:
                progress = time.monotonic()
                self._faults.clear()
            elif time.monotonic() - progress > (self._answer_within_s if self._faults else self._progress_within_s):
                raise self._silent(f"reading {wanted.topic}[{wanted.partition}] at offset {reached}")
            if batch:
                yield batch
                progress = time.monotonic()
        if reached == wanted.end and not passed:
            self._reached = (wanted.partition, reached)

    def _within(self, got: list["Message"], end: int, reached: int) -> tuple[list["Message"], int]:
        """Those of the messages got, in order, that stand before `end`; and the offset reached with them."""
        if got and not any(map(_ERROR, got)) and (last := cast("int", got[-1].offset())) < end:
            return got, last + 1
        batch = []
        for message in got:
            error, offset = message.error(), cast("int", message.offset())
            if error is None and offset < end:
                batch.append(message)
                reached = offset + 1
            elif not self._means_nothing(error):
                self._raise_unless_end(error)
                reached = max(reached, offset)
        return batch, reached

    def translated(self, error: "KafkaError") -> SourceError:
        """What the broker or the client said, as ours."""
        from confluent_kafka import KafkaError

        said = error.str()
        code = error.code()
        if code == KafkaError._AUTHENTICATION:
            return SourceRejected("kafka", f"{self._servers} refused the login: check {self._secret_named}", whole=True)
        if code == KafkaError._SSL and _is_distrust(said):
            return SourceRejected(
                "kafka",
                f"no trusted TLS connection to {self._servers}: check data_sources.kafka.ssl_ca_location ({said})",
                whole=True,
            )
        if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            return SourceRejected(
                "kafka", f"the user of {self._secret_named} may not read topic {self._topic}: grant it READ there"
            )
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
            return SourceRejected(
                "kafka", f"{self._servers} has no topic {self._topic}: create it, or correct the address"
            )
        if code in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
            return SourceRejected(
                "kafka", f"topic {self._topic} no longer has the offsets asked for ({said}); {REPOSITION}"
            )
        return SourceUnavailable("kafka", f"{self._servers} did not answer ({said}): is it up and reachable?")

    def _partitions(self) -> list[int]:
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + self._answer_within_s
        while True:
            try:
                topic = self._consumer.list_topics(self._topic, timeout=1.0).topics[self._topic]
            except KafkaException:
                self._consumer.poll(0)  # this is what calls the error callback
                self._raise_refusals()
                if time.monotonic() > deadline:
                    raise self._silent("asking for its topics") from None
                continue
            if topic.error is not None:
                raise self.translated(topic.error)
            return sorted(topic.partitions)

    def _raise_refusals(self) -> None:
        from confluent_kafka import KafkaError

        for fault in self._faults:
            refused = fault.code() == KafkaError._SSL and _is_distrust(fault.str())
            if refused or fault.code() == KafkaError._AUTHENTICATION:
                raise self.translated(fault)

    def _silent(self, doing: str) -> SourceError:
        """No answer in time: the last error that the client met on its own tells why."""
        if self._faults:
            return self.translated(self._faults[-1])
        return SourceUnavailable("kafka", f"{self._servers} did not answer while {doing}")

    @staticmethod
    def _means_nothing(error: "KafkaError | None") -> bool:
        """The client looks for its group in the background; we use none, so the right to one is not needed."""
        from confluent_kafka import KafkaError

        return error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED

    def _raise_unless_end(self, error: "KafkaError | None") -> None:
        from confluent_kafka import KafkaError

        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise self.translated(error)


def _is_distrust(said: str) -> bool:
    """Whether TLS failed for what somebody has set, and not because the line broke meanwhile."""
    return "certificate" in said or "wrong version" in said
