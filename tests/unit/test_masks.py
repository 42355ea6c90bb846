"""What each mask makes of a value, and that nothing of the key gets out."""

import base64
import dataclasses
import hmac
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark import cloudpickle
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from headwater.config import MaskRule
from headwater.errors import ConfigurationError
from headwater.masking import key as keys
from headwater.masking.key import Key
from headwater.masking.masks import Mask
from headwater.secrets import Secrets

SECRET = "0123456789abcdef-the-masking-key-of-tests"
VARIABLE = "TESTS_MASKING_KEY"
TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=12)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> Key:
    monkeypatch.setenv(VARIABLE, SECRET)
    return Key.standing(references())


def references() -> Secrets:
    return Secrets({"masking": f"env:{VARIABLE}", "snowflake": "env:OTHER"}, Path(), ())


def masked(rule: MaskRule, kind: str, *values: str | None, key: Key | None = None) -> list[str | None]:
    told: list[str | None] = Mask(rule, kind, key=key).masked(pa.array(values, pa.string())).to_pylist()
    return told


def test_a_hash_is_hmac_sha_256_of_the_kind_and_the_value(key: Key) -> None:
    told = masked("hash", "pii:email", "ada@example.com", None, "", "zoë@example.com", key=key)

    def expected(value: str) -> str:
        return hmac.new(SECRET.encode(), b"pii:email\0" + value.encode(), "sha256").hexdigest()

    assert told == [expected("ada@example.com"), None, expected(""), expected("zoë@example.com")]


def test_the_same_text_of_two_kinds_has_two_hashes(key: Key) -> None:
    assert masked("hash", "pii:name", "Paris", key=key) != masked("hash", "pii:address", "Paris", key=key)


def test_a_token_is_the_hash(key: Key) -> None:
    assert masked("tokenize", "pii:email", "a@b.cd", key=key) == masked("hash", "pii:email", "a@b.cd", key=key)


@pytest.mark.parametrize(
    ("kind", "value", "shown"),
    [
        ("pii:email", "ada@example.com", "a***@example.com"),
        ("pii:email", "zoë@münchen.example", "z***@münchen.example"),
        ("pii:email", "no address", "***"),
        ("pii:email", "@example.com", "***"),
        ("pii:phone", "+49 170 1234567", "***4567"),
        ("pii:phone", "(555) 123-4567", "***4567"),
        ("pii:phone", "1234567", "***"),
        ("pii:phone", "none", "***"),
        ("pii:name", "Ada", "A***"),
        ("pii:name", "李", "李***"),
        ("pii:address", "12 Mill Lane", "1***"),
        ("pii:email", "", ""),
        ("pii:phone", "", ""),
        ("pii:name", "", ""),
        ("pii:email", None, None),
        ("pii:phone", None, None),
        ("pii:name", None, None),
    ],
)
def test_a_partial_mask_shows_little(kind: str, value: str | None, shown: str | None) -> None:
    assert masked("partial", kind, value) == [shown]


def test_redact_shows_that_there_was_a_value_and_nothing_of_it() -> None:
    assert masked("redact", "pii:name", "Ada", "", None, "zoë") == ["(redacted)", "(redacted)", None, "(redacted)"]


def test_lists_are_masked_item_by_item() -> None:
    pages = pa.array([["/a?m=ada@example.com", None], [], None, ["/b"]])
    mask = Mask("redact", "pii:embedded", "array<string>")

    assert mask.masked(pages).to_pylist() == [["/a?m=(email)", None], [], None, ["/b"]]
    assert mask.masked(pages.slice(1)).to_pylist() == [[], None, ["/b"]]


def test_masks_work_on_a_session(spark: SparkSession, key: Key) -> None:
    rows = _frame(spark, mail=[" Ada@Example.com ", "ada@example.com", None], pages=[["/a?x@y.org"], None, []])
    amounts = rows.withColumn("amount", F.lit(Decimal("1.50")).cast("decimal(18,2)"))
    told = amounts.select(
        Mask("hash", "pii:email", compared_as="trimmed-lowercase", key=key).over(F.col("mail")).alias("same"),
        Mask("hash", "pii:email", compared_as="trimmed", key=key).over(F.col("mail")).alias("trimmed"),
        Mask("redact", "pii:embedded", "array<string>").over(F.col("pages")).alias("pages"),
        Mask("redact", "sensitive", "decimal(18,2)").over(F.col("amount")).alias("amount"),
    ).toArrow()

    lower, trimmed = masked("hash", "pii:email", "ada@example.com", "Ada@Example.com", key=key)
    assert told["same"].to_pylist() == [lower, lower, None]
    assert told["trimmed"].to_pylist() == [trimmed, lower, None]
    assert told["pages"].to_pylist() == [["/a?(email)"], None, []]
    assert told["amount"].to_pylist() == [None, None, None]
    assert told.schema.field("amount").type == pa.decimal128(18, 2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS, TEXTS)
def test_hashes_are_equal_exactly_where_values_are(key: Key, some: list[str | None], others: list[str | None]) -> None:
    one, other = masked("hash", "pii:name", *some, key=key), masked("hash", "pii:name", *others, key=key)

    assert one == masked("hash", "pii:name", *some, key=key)
    for value, hashed in zip(some, one, strict=True):
        for another, its_hash in zip(others, other, strict=True):
            assert (value == another) == (hashed == its_hash)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(st.lists(st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cs", "Cc"])), min_size=1, max_size=8))
def test_on_a_session_hashes_are_equal_exactly_where_values_compare_equal(
    spark: SparkSession, key: Key, told: list[str]
) -> None:
    rows = _frame(spark, mail=told)
    mask = Mask("hash", "pii:email", compared_as="trimmed-lowercase", key=key)
    compared = rows.select(mask.over(F.col("mail")).alias("hash"), F.lower(F.trim("mail")).alias("same")).toArrow()

    pairs = set(zip(compared["hash"].to_pylist(), compared["same"].to_pylist(), strict=True))
    assert len(pairs) == len({hashed for hashed, _ in pairs}) == len({same for _, same in pairs})


def test_a_worker_follows_the_reference_itself(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = masked("hash", "pii:email", "a@b.cd", key=key)
    monkeypatch.setattr(keys, "_HELD", {})

    sent = cloudpickle.loads(cloudpickle.dumps(Mask("hash", "pii:email", key=key).masked))

    assert sent(pa.array(["a@b.cd"])).to_pylist() == expected


def test_a_worker_that_finds_another_key_stops(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_HELD", {})
    monkeypatch.setenv(VARIABLE, SECRET + "-rotated")

    with pytest.raises(ConfigurationError, match="not the one that the run began with") as raised:
        masked("hash", "pii:email", "a@b.cd", key=key)
    _shows_no_key(str(raised.value).encode(), SECRET + "-rotated")


@pytest.mark.parametrize("value", ["short", "", '{"password": "0123456789abcdef0123456789abcdef"}'])
def test_a_key_that_is_short_or_missing_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)

    with pytest.raises(ConfigurationError, match="masking") as raised:
        Key.standing(references())
    assert not value or value not in str(raised.value)


def test_the_id_of_a_key_tells_keys_apart_and_nothing_else(key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    again = Key.standing(references())
    monkeypatch.setenv(VARIABLE, SECRET + "!")

    assert key.id == again.id != Key.standing(references()).id
    assert len(key.id) == 16


def test_the_key_is_in_no_plan_explanation_pickle_or_name(
    spark: SparkSession, key: Key, capfd: pytest.CaptureFixture[str]
) -> None:
    mask = Mask("hash", "pii:email", compared_as="trimmed-lowercase", key=key)
    rows = _frame(spark, mail=["ada@example.com"]).select(mask.over(F.col("mail")))
    assert rows.toArrow().num_rows == 1  # from here on this process holds the key

    rows.explain(extended=True)
    explained = capfd.readouterr()
    told: Any = rows
    plan = told._plan.to_proto(spark.client).SerializeToString()  # type: ignore[attr-defined]
    for seen in (plan, cloudpickle.dumps(mask.masked), repr(mask).encode(), repr(rows).encode()):
        _shows_no_key(seen)
    assert explained.out
    _shows_no_key((explained.out + explained.err).encode())


def test_the_key_is_in_no_error_and_no_log(
    spark: SparkSession, key: Key, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Mask("hash", "pii:email", key=dataclasses.replace(key, id="another"))
    monkeypatch.setattr(keys, "_HELD", {})

    with pytest.raises(Exception, match="not the one that the run began with") as raised:
        _frame(spark, mail=["ada@example.com"]).select(broken.over(F.col("mail"))).toArrow()
    logging.getLogger("tests").error("it broke", exc_info=raised.value)
    _shows_no_key(str(raised.value).encode())
    _shows_no_key(caplog.text.encode())


def test_the_search_for_the_key_would_find_it() -> None:
    for form in _forms(SECRET):
        with pytest.raises(AssertionError):
            _shows_no_key(b"before " + form + b" after")


def _frame(spark: SparkSession, **columns: list[Any]) -> DataFrame:
    return spark.createDataFrame(pa.table(columns))


def _forms(secret: str) -> list[bytes]:
    """The key and its pads as bytes, in hexadecimal and in base64."""
    block = secret.encode().ljust(64, b"\0")
    plain = [secret.encode(), *(bytes(each ^ pad for each in block) for pad in (0x36, 0x5C))]
    written = [form for each in plain for form in (each, each.hex().encode(), each.hex().upper().encode())]
    # Base64 of a text that begins anywhere in a larger one: the part that does not depend on what is around it.
    shifted = [(b"x" * shift + each, 4 if shift else 0) for each in plain for shift in range(3)]
    return written + [base64.b64encode(each)[start:-4] for each, start in shifted]


def _shows_no_key(seen: bytes, secret: str = SECRET) -> None:
    for form in _forms(secret):
        assert form not in seen
