"""JSON messages as they come: one row or one reject each, whatever the bytes."""

import json
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.config import KafkaSettings
from headwater.contracts import Column, Contract
from headwater.errors import ConfigurationError
from headwater.extract.base_extractor import Position
from headwater.extract.json_messages import JsonMessages
from headwater.extract.kafka_orders_stream import KafkaConsumer

COLUMNS = (Column("product_id", "string"), Column("quantity", "bigint"), Column("reason", "string"))


@pytest.fixture(scope="module")
def messages():
    with JsonMessages(COLUMNS) as open_messages:
        yield open_messages


def one(messages: JsonMessages, value: bytes | None) -> dict | str:
    """The row of a message, or why it is none."""
    parsed = messages.parse([value])
    assert len(parsed.rows) + len(parsed.refused) == 1
    return {name: array[0].as_py() for name, array in parsed.columns.items()} if parsed.rows else parsed.refused[0]


def test_fields_are_found_by_name(messages):
    row = one(messages, b'{"reason":"sale","x":[1],"quantity":-3,"product_id":"P\\u00e9 \\"1\\""}')

    assert row == {"product_id": 'Pé "1"', "quantity": -3, "reason": "sale"}


def test_fields_that_the_contract_does_not_know_are_text_whatever_their_names_are(messages):
    values = [
        b'{"reason":"sale","x":{"a": [1]},"a/b":1.5,"~\\"":true,"0":null}',
        b"[]",
        b'{"x":"y","quantity":"no"}',
        b'{"x":7}',
    ]

    parsed = messages.parse(values)

    assert parsed.rows == [0, 3]
    assert {name: array.to_pylist() for name, array in parsed.unknown.items()} == {
        "x": ['{"a":[1]}', "7"],
        "a/b": ["1.5", None],
        '~"': ["true", None],
        "0": [None, None],
    }
    assert parsed.shown >= {"reason", "x", "a/b", '~"', "0"}
    assert "product_id" not in parsed.shown


@pytest.mark.parametrize("value", [b"{}", b'{"product_id":null,"quantity":null,"reason":null}'])
def test_an_absent_field_and_null_are_null(messages, value):
    assert one(messages, value) == {"product_id": None, "quantity": None, "reason": None}


@pytest.mark.parametrize(
    ("told", "text"),
    [("1", "1"), ("true", "true"), ("2.5", "2.5"), ('{"a": [1, "b"]}', '{"a":[1,"b"]}'), ("[]", "[]"), ('""', "")],
)
def test_a_value_that_is_no_string_arrives_as_its_json_text(messages, told, text):
    row = one(messages, b'{"reason":%s}' % told.encode())

    assert isinstance(row, dict)
    assert row["reason"] == text


def test_an_integer_beyond_64_bits_keeps_its_digits_as_text(messages):
    row = one(messages, b'{"reason":123456789012345678901234567890}')

    assert isinstance(row, dict)
    assert row["reason"] == "123456789012345678901234567890"


@pytest.mark.parametrize("quantity", ["1.5", "5.0", "1e2", '"5"', "true", "[5]", '"many"', "9223372036854775808"])
def test_a_quantity_that_is_no_integer_is_refused_with_its_value(messages, quantity):
    reason = one(messages, b'{"quantity":%s}' % quantity.encode())

    assert isinstance(reason, str)
    assert reason.startswith("quantity is ")
    assert reason.endswith(("which is no integer", "which is no bigint"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"product_id":"P1"} {"product_id":"P2"}', "not JSON"),
        (b'{"product_id":"\xff"}', "not UTF-8"),
        (b'{"product_id":"\\ud800"}', "not JSON"),
        (b"null", "not an object but null"),
        (b"[1]", "not an object but array"),
        (b'"text"', "not an object but varchar"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_what_is_no_object_is_refused_and_told_why(messages, value, reason):
    found = one(messages, value)

    assert isinstance(found, str)
    assert reason in found


def test_a_refused_message_shifts_no_other(messages):
    values = [
        b"null",
        b'{"product_id":"P1"}',
        b"{}{}",
        None,
        b"\xff",
        b'{"product_id":"P2"}',
        b'{"quantity":"x"}',
        b"{}",
    ]

    parsed = messages.parse(values)

    assert parsed.rows == [1, 5, 7]
    assert parsed.columns["product_id"].to_pylist() == ["P1", "P2", None]
    assert sorted(parsed.refused) == [0, 2, 3, 4, 6]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
rows = st.fixed_dictionaries(
    {"product_id": texts, "quantity": st.integers(-(2**63), 2**63 - 1), "reason": st.none() | texts}
)
near_json = st.lists(
    st.sampled_from([*'{}[]":,\\u0dnultre1.-e \n\x00', '"quantity"', '{"quantity":']), max_size=20
).map(lambda parts: "".join(parts).encode())
anything = (
    st.none() | st.binary() | near_json | json_values.map(lambda value: json.dumps(value).encode(errors="replace"))
)


@settings(deadline=None)
@given(st.lists(st.tuples(anything, rows), max_size=10))
def test_whatever_stands_between_them_good_messages_arrive_unchanged_and_each_message_has_one_end(messages, drawn):
    values: list[bytes | None] = []
    for other, row in drawn:
        values += [other, json.dumps(row).encode()]

    parsed = messages.parse(values)
    columns, good = parsed.columns, parsed.rows

    assert sorted([*good, *parsed.refused]) == list(range(len(values)))
    assert all(len(array) == len(good) for array in (columns | parsed.unknown).values())
    found = dict(zip(good, zip(*(columns[column.name].to_pylist() for column in COLUMNS), strict=True), strict=True))
    for place, (_, row) in enumerate(drawn):
        assert found[2 * place + 1] == (row["product_id"], row["quantity"], row["reason"])


@settings(deadline=None)
@given(json_values)
def test_an_object_of_the_standard_is_never_refused_but_for_its_quantity(messages, value):
    text = json.dumps({"reason": value}, ensure_ascii=False)
    try:
        raw = text.encode()
    except UnicodeEncodeError:  # a lone surrogate has no UTF-8
        return

    row = one(messages, raw)

    assert isinstance(row, dict)
    if isinstance(value, str | None):
        assert row["reason"] == value
    else:
        assert json.loads(row["reason"]) == value


CONTRACT = Contract("bronze", "kafka_orders_events", "bronze/kafka/orders_events", (Column("order_id", "string"),))


def test_without_an_address_the_setting_is_named():
    with pytest.raises(ConfigurationError, match=r"data_sources\.kafka\.bootstrap_servers"):
        KafkaConsumer(KafkaSettings(), {}, CONTRACT).check()


def test_without_a_password_the_secret_is_named():
    consumer = KafkaConsumer(KafkaSettings(bootstrap_servers="localhost:1"), {"username": "u"}, CONTRACT)

    with pytest.raises(ConfigurationError, match=r"secrets\.kafka has no password"):
        consumer.partitions(Position(), None)


def test_an_extractor_can_be_sent_to_another_process():
    extractor = KafkaConsumer(KafkaSettings(), {"username": "u", "password": "p"}, CONTRACT)

    assert pickle.loads(pickle.dumps(extractor)).source == "kafka"
