"""Events of Kafka topics: orders_events, user_events, inventory_updates."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headwater.config import KafkaSettings
from headwater.contracts import Column, Contract
from headwater.errors import SourceRejected
from headwater.extract.again import FromPlaces
from headwater.extract.base_extractor import (
    Extractor,
    OffsetRange,
    Partition,
    Position,
    Reject,
)
from headwater.extract.beside import arrived
from headwater.extract.drift import named
from headwater.extract.from_text import reject_batch
from headwater.extract.kafka_connection import REPOSITION, KafkaConnection, connected

if TYPE_CHECKING:
    from confluent_kafka import Message
    from confluent_kafka._types import HeadersType

    from headwater.extract.json_messages import ParsedMessages

TOPICS = {
    "kafka_orders_events": "orders_events",
    "kafka_user_events": "user_events",
    "kafka_inventory_updates": "inventory_updates",
}
"""The topic of each Bronze table."""

_RANGE = 200_000

_NEAR = 10_000
"""So many messages between two that are wanted are sooner read than another place is found."""

_OWN_COLUMNS = frozenset({"kafka_key", "kafka_partition", "kafka_offset", "kafka_timestamp", "kafka_headers"})


class KafkaConsumer(Extractor):
    """The messages of one topic, a bounded range of offsets of one partition at a time.

    Offsets are kept by the lake, in the commit that holds the messages: the broker is asked for no group's state and
    gets none. Only committed transactions are read.
    """

    source = "kafka"
    places = TOPICS
    by_cursor = False
    unseen = "messages that the topic's retention removed before they were read"
    row_id = "_row_id"

    def __init__(self, settings: KafkaSettings, secret: Mapping[str, str] | None, contract: Contract) -> None:
        self._settings = settings
        self._secret = secret or {}
        self._contract = contract
        self._topic = self.place_of(contract)
        self._idle: list[KafkaConnection] = []
        """Connections that are open and not in use: a login takes as long as a hundred thousand messages."""

    def check(self) -> str:
        with self._connected() as connection:
            marks = connection.watermarks()
            connection.fetch_nothing({partition: high for partition, (_, high) in marks.items()})
        messages = sum(high - low for low, high in marks.values())
        user = self._secret.get("username")
        return (
            f"{self._settings.bootstrap_servers}{f' as {user}' if user else ''}: topic {self._topic} with "
            f"{len(marks)} partitions, {messages} offsets"
        )

    def partitions(self, since: Position, until: datetime) -> list[Partition]:  # noqa: ARG002 - offsets are no times
        """Ranges of at most 200 000 offsets, each partition from where it was consumed to its end; `until` cuts none.

        Raises:
            SourceUnavailable: no broker answered.
            SourceRejected: the login was refused, the topic is missing, or its offsets don't fit the recorded position.
        """
        with self._connected() as connection:
            marks = connection.watermarks()
        if gone := sorted(since.offsets.keys() - marks.keys()):
            raise SourceRejected(
                "kafka", f"topic {self._topic} has no partition {gone[0]} any more: was it created anew? {REPOSITION}"
            )
        ranges, most = list[Partition](), min(_RANGE, self.rows_per_window)
        for partition, (low, high) in sorted(marks.items()):
            start = self._start(partition, since.offsets.get(partition), low, high)
            ranges += [
                OffsetRange(self._topic, partition, first, min(first + most, high))
                for first in range(start, high, most)
            ]
        return ranges

    def read(self, partition: Partition, reject: Reject) -> Iterator[pa.RecordBatch]:
        """Yield a range's messages in their order, with `_row_id`; a batch holds 10 000 at most.

        Raises:
            SourceUnavailable: the broker stopped answering.
            SourceRejected: it refused the login, the right to read, or the offsets.
        """
        if not isinstance(partition, OffsetRange):
            raise TypeError(f"a range of offsets was expected, not {partition}")
        from headwater.extract.json_messages import JsonMessages

        columns = [column for column in self._contract.columns if column.name not in _OWN_COLUMNS]
        with self._connected() as connection, JsonMessages(columns) as parser:
            for messages in connection.messages(partition):
                parsed = parser.parse([message.value() for message in messages])
                if parsed.refused:
                    reject(_rejects(messages, parsed.refused))
                if parsed.rows:
                    self._tell_drift(parsed, columns)
                    good = [messages[row] for row in parsed.rows]
                    yield self._batch(partition.partition, parsed, good, self._contract.column_names)

    def again(self, rejects: pa.Table, reject: Reject) -> Iterator[pa.RecordBatch]:
        """A message is read at its offset, while the topic keeps it."""
        reread = FromPlaces(self, rejects, reject)
        offsets: dict[int, list[int]] = {}
        for row_id in rejects["_row_id"].to_pylist():
            partition, _, offset = row_id.partition(":")
            offsets.setdefault(int(partition), []).append(int(offset))
        with self._connected() as connection:
            marks = connection.watermarks()
        for partition, told in sorted(offsets.items()):
            low, high = marks.get(partition, (0, 0))
            for first, last in _stretches([offset for offset in sorted(told) if low <= offset < high]):
                wanted = {f"{partition}:{offset}" for offset in told if first <= offset <= last}
                yield from reread.rows(OffsetRange(self._topic, partition, first, last + 1), wanted)
        reread.gone(reread.left(), f"topic {self._topic} does not keep this message any more")

    def sample(self, rows: int) -> pa.Table:
        """The newest messages of each partition: the fields of their JSON as text, and where each message stands."""
        from headwater.extract.json_messages import JsonMessages

        found = []
        with self._connected() as connection:
            marks = connection.watermarks()
            share = max(rows // max(len(marks), 1), 1)
            for partition, (low, high) in sorted(marks.items()):
                if low < high:
                    wanted = OffsetRange(self._topic, partition, max(low, high - share), high)
                    found += [(partition, messages) for messages in connection.messages(wanted)]
        names = list(dict.fromkeys(name for _, messages in found for name in _fields(messages)))
        columns = [Column(name, "string") for name in names]
        batches = []
        with JsonMessages(columns) as parser:
            for partition, messages in found:
                parsed = parser.parse([message.value() for message in messages])
                told = [*names, *sorted(_OWN_COLUMNS)]
                batches.append(self._batch(partition, parsed, [messages[row] for row in parsed.rows], told))
        return pa.Table.from_batches(batches) if batches else pa.table({})

    def _start(self, partition: int, recorded: int | None, low: int, high: int) -> int:
        place = f"{self._topic}[{partition}]"
        if recorded is None:
            return low
        if recorded < low:
            raise SourceRejected(
                "kafka",
                f"{place}: offsets {recorded} to {low - 1} were removed by the topic's retention before they were read; "
                f"restore them, or accept the loss: {REPOSITION}",
            )
        if recorded > high:
            raise SourceRejected(
                "kafka",
                f"{place} ends at offset {high}, but was read to {recorded}: was the topic created anew? {REPOSITION}",
            )
        return recorded

    def _tell_drift(self, parsed: "ParsedMessages", columns: Sequence[Column]) -> None:
        place = f"topic {self._topic}"
        self.drift.shows((column.name for column in columns), parsed.shown, place)
        if parsed.unknown:
            contract_file = f"config/contracts/bronze/{self._contract.name}.yaml"
            extra = ", ".join(sorted(parsed.unknown))
            self.drift.warn(f"{place} has fields that {contract_file} does not know; merged in: {extra}")

    def _batch(
        self, partition: int, parsed: "ParsedMessages", messages: list["Message"], told: Sequence[str]
    ) -> pa.RecordBatch:
        offsets = pa.array([message.offset() for message in messages], pa.int64())
        columns = parsed.columns | {
            "kafka_key": _keys([message.key() for message in messages]),
            "kafka_partition": pa.repeat(pa.scalar(partition, pa.int32()), len(messages)),
            "kafka_offset": offsets,
            "kafka_timestamp": _timestamps(messages),
            "kafka_headers": _all_headers([message.headers() for message in messages]),
            "_row_id": pc.binary_join_element_wise(str(partition), offsets.cast(pa.string()), ":"),
        }
        arrays = {name: columns[name] for name in told}
        for name, there in named(parsed.unknown, told).items():
            arrays |= arrived(name, parsed.unknown[there], None)
        return pa.RecordBatch.from_pydict(arrays | {"_row_id": columns["_row_id"]})

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _connected(self) -> Iterator["KafkaConnection"]:
        """A connection that nobody else uses now, for the next reader to take up unless it failed."""
        from confluent_kafka import KafkaException

        try:
            connection = self._idle.pop()
            connection.forget()
        except IndexError:
            connection = connected(self._settings, self._secret, self._topic)
        sound = False
        try:
            yield connection
            sound = True
        except KafkaException as error:
            raise connection.translated(error.args[0]) from error
        finally:
            if sound:
                self._idle.append(connection)
            else:
                connection.close()


def _stretches(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and last of offsets, in order, that are better read in one go than one by one."""
    first = last = None
    for offset in offsets:
        if first is None or last is None:
            first = last = offset
        elif offset - last > _NEAR:
            yield first, last
            first = offset
        last = offset
    if first is not None and last is not None:
        yield first, last


def _key(key: bytes | str | None) -> str | None:
    """A key as text; bytes that are no UTF-8 are shown as \\xNN, for a key refuses no message."""
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else key


def _keys(keys: "list[bytes | str | None]") -> pa.Array:
    """Keys as text, all at once where all are UTF-8."""
    try:
        return pa.array(keys, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_key(key) for key in keys], pa.string())


def _timestamps(messages: list["Message"]) -> pa.Array:
    from confluent_kafka import TIMESTAMP_NOT_AVAILABLE

    pairs = [message.timestamp() for message in messages]
    milliseconds = [None if kind == TIMESTAMP_NOT_AVAILABLE else value for kind, value in pairs]
    return pa.array(milliseconds, pa.timestamp("ms", tz="UTC")).cast(pa.timestamp("us", tz="UTC"))


def _all_headers(told: "list[HeadersType | None]") -> pa.Array:
    """Each message's headers; those of its neighbours are often the same, and then not put together again."""
    if not any(told):
        return pa.nulls(len(told), pa.string())
    known: dict[Any, str | None] = {}
    texts = []
    for headers in told:
        key = tuple(headers.items() if isinstance(headers, dict) else headers or ())
        if key not in known:
            known[key] = _headers(headers)
        texts.append(known[key])
    return pa.array(texts, pa.string())


def _headers(headers: "HeadersType | None") -> str | None:
    """Headers as JSON text, in their order: a list, because a key may stand twice."""
    if not headers:
        return None
    pairs = headers.items() if isinstance(headers, dict) else headers
    # Put together here: for texts as short as these an encoder's set-up costs ten times what it encodes.
    told = [f'{{"key": {_quoted(key)}, "value": {_quoted(_key(value))}}}' for key, value in pairs]
    return f"[{', '.join(told)}]"


def _quoted(text: str | None) -> str:
    return "null" if text is None else encode_basestring(text)


def _rejects(messages: list["Message"], refused: Mapping[int, str]) -> pa.RecordBatch:
    rows = sorted(refused)
    return reject_batch(
        [f"{messages[row].partition()}:{messages[row].offset()}" for row in rows],
        [f"{messages[row].topic()}[{messages[row].partition()}]@{messages[row].offset()}" for row in rows],
        [refused[row] for row in rows],
        [messages[row].value() or b"" for row in rows],
    )


def _fields(messages: list["Message"]) -> Iterator[str]:
    """The names of the fields of messages that are JSON objects."""
    for message in messages:
        try:
            told = json.loads(message.value() or b"null")
        except ValueError:
            continue
        if isinstance(told, dict):
            yield from told
