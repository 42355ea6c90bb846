"""E-mail addresses and phone numbers in JSON, URLs and free text, and all that only looks a little like them."""

import json
import string
from urllib.parse import parse_qs, quote, urlsplit

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.masking.embedded import without_contacts, without_contacts_in

FOUND = [
    ("jane@example.com", "(email)"),
    ("JANE.DOE+tag@mail.example.co.uk", "(email)"),
    ("o'brien@example.com, or 'jane@example.com'", "(email), or '(email)'"),
    ("jürgen@müller.example", "(email)"),
    ("mailto:jane@example.com?subject=hi", "mailto:(email)?subject=hi"),
    ("https://x.example/a?email=jane%40example.com&b=1", "https://x.example/a?email=(email)&b=1"),
    ("/a?q=%6Aane%40example%2Ecom", "/a?q=(email)"),
    ("/a?q=%27jane%40ex-ample.com%27", "/a?q=%27(email)%27"),
    ("/a?next=%2Fp%3Femail%3Djane%2540example.com%26x%3D1", "/a?next=%2Fp%3Femail%3D(email)%26x%3D1"),
    ("/a?m=j%C3%BCrgen%40m%C3%BCller.example", "/a?m=(email)"),
    (r'{"a":"jane\u0040example.com"}', '{"a":"(email)"}'),
    (r'{"a":"x\u0026jane@example.com"}', r'{"a":"x\u0026(email)"}'),
    (r'{"note":"Contact:\njane@example.com"}', r'{"note":"Contact:\n(email)"}'),
    (r'{"in":"{\"email\":\"jane@example.com\"}"}', r'{"in":"{\"email\":\"(email)\"}"}'),
    ("+1-555-1234567", "(phone)"),
    ("tel:+49 (170) 1234567;", "tel:(phone);"),
    ("+1.555.123.4567", "(phone)"),
    ('{"call": "+49 170 1234567", "n": 1}', '{"call": "(phone)", "n": 1}'),
    ("/a?q=%2B49%20170%201234567&x=1", "/a?q=(phone)&x=1"),
    ("(555) 123-4567, 555.123.4567 or 555-123-4567.", "(phone), (phone) or (phone)."),
    ("0170 1234567; 030/1234567; 020 7946 0958; 06 12 34 56 78", "(phone); (phone); (phone); (phone)"),
    ("/a?q=call%20555-123-4567", "/a?q=call%20(phone)"),
    ("/a?tel=5551234567&x=1", "/a?tel=(phone)&x=1"),
    ("/a#mobile_number=0170%201234567", "/a#mobile_number=(phone)"),
    ('{"phone": "5551234567"}', '{"phone": "(phone)"}'),
    ('{"homePhone":5551234567,"n":1}', '{"homePhone":"(phone)","n":1}'),
    (r'{"in":"{\"fax\":5551234567}"}', r'{"in":"{\"fax\":\"(phone)\"}"}'),
]
LEFT = [
    "",
    "https://shop.example/p/P0001234?price=1234567.89&page=2",
    "/search?q=caf%C3%A9+latte",
    "S20241102100000-9f3a",
    "123e4567-e89b-12d3-a456-426614174000",
    "2024-11-02T10:00:00+01:00 02-11-2024 1730541600 1730541600123",
    '{"order":"O0000000001","ts":1730541600123,"total":123456789.01,"cart":[1234567,7654321]}',
    "order+1234567890 is number 5551234567",
    "react@18.2.0, a@b, @home, me @ work",
    "37.77,-122.42 geo:37.77,-122.42,25;u=35 +37.7749-122.4194/",
    "192.168.100.200:8080 v1.2.3",
    '{"hotel":"1234567","phone":"none","smartphone":"iPhone 12","tel":null}',
    "100 % of 1,234,567",
    "C:\\new\\table",
]
NAMES = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
ADDRESSES = st.builds("{}.{}@{}.example.com".format, NAMES, NAMES, NAMES)
NUMBERS = st.integers(1_000_000, 9_999_999).map("+1-555-{}".format)
VALUES = ADDRESSES | NUMBERS
INNOCENT = st.text(st.characters(exclude_characters="@\uff20", exclude_categories=["Cs", "Nd"]), max_size=40)


@pytest.mark.parametrize(("text", "left"), FOUND)
def test_what_looks_like_a_contact_is_replaced(text: str, left: str) -> None:
    assert without_contacts_in(text) == left


@pytest.mark.parametrize("text", LEFT)
def test_what_does_not_is_left_as_it_was(text: str) -> None:
    assert without_contacts_in(text) == text


def test_null_stays_null() -> None:
    assert without_contacts(pa.array([None, "a@b.cd"])).to_pylist() == [None, "(email)"]


@settings(deadline=None)
@given(INNOCENT)
def test_text_without_contacts_is_left_as_it_was(text: str) -> None:
    assert without_contacts_in(text) == text


@settings(deadline=None)
@given(VALUES, st.integers(0, 2), INNOCENT)
def test_in_a_url_a_contact_is_found_however_often_it_is_encoded(value: str, times: int, around: str) -> None:
    told = value
    for _ in range(times):
        told = quote(told, safe="")
    url = f"https://shop.example/p?before={quote(around)}&contact={told}&after=1"

    left = without_contacts_in(url)

    assert value not in left
    assert told not in left
    queries = parse_qs(urlsplit(left).query, keep_blank_values=True)
    assert queries["contact"] in (["(email)"], ["(phone)"])
    assert queries == parse_qs(urlsplit(url).query, keep_blank_values=True) | {"contact": queries["contact"]}


@settings(deadline=None)
@given(VALUES, INNOCENT, st.booleans(), st.integers(0, 2))
def test_in_json_a_contact_is_found_however_deep_and_all_else_stays(
    value: str, around: str, ascii_only: bool, depth: int
) -> None:
    document: object = {"note": around, "list": [1, {"contact": value}], "n": 1.5}
    expected: object = {"note": around, "list": [1, {"contact": "(phone)" if value[0] == "+" else "(email)"}], "n": 1.5}
    for _ in range(depth):
        document, expected = {"in": json.dumps(document, ensure_ascii=ascii_only)}, {"in": expected}

    left = json.loads(without_contacts_in(json.dumps(document, ensure_ascii=ascii_only)))

    for _ in range(depth):
        left = left["in"]
        left = json.loads(left)
        assert isinstance(expected, dict)
        expected = expected["in"]
    assert left == expected
