"""What tells of a person is found however it is written, and nothing of anybody else is touched."""

from typing import Any

import pyarrow as pa
import pytest

from headwater.masking.traces import Spot, Traces

ADA = Traces(
    "C42",
    ("customer_id",),
    frozenset(
        {
            ("pii:email", " Ada.Kent@Example.com"),
            ("pii:phone", "+49 170 1234567"),
            ("pii:name", "Ada"),
            ("pii:name", "Ölkers"),
            ("pii:address", "1 Deal Street"),
            ("pii:phone", "112"),
        }
    ),
)


def without(spot: Spot, **columns: Any) -> list[dict[str, Any]]:
    batch = pa.record_batch(columns)
    marks, changed = ADA.marks(batch, spot), ADA.without(batch, spot)
    told = changed.to_pylist()
    assert marks.gone == batch.num_rows - changed.num_rows
    if not marks.gone:
        assert marks.changed == sum(one != other for one, other in zip(batch.to_pylist(), told, strict=True))
    assert bool(marks) == (changed is not batch)
    return told


@pytest.mark.parametrize(
    ("written", "left"),
    [
        ("ada.kent@example.com", "(forgotten)"),
        ("mail ADA.KENT@example.COM.", "mail (forgotten)."),
        ("/login?m=ada.kent%40example.com&x=1", "/login?m=(forgotten)&x=1"),
        ("/login?next=%2Fin%3Fm%3Dada%252Ekent%2540example%252Ecom", "/login?next=%2Fin%3Fm%3D(forgotten)"),
        ('{"m": "ada.kent\\u0040example.com"}', '{"m": "(forgotten)"}'),
        ('{"s": "{\\"m\\": \\"ada.kent@example.com\\"}"}', '{"s": "{\\"m\\": \\"(forgotten)\\"}"}'),
        ("ada.kent@example.com,ada.kent@example.com,ada.kent@example.com", "(forgotten),(forgotten),(forgotten)"),
        ("tel:+49-170-123 45 67", "tel:+(forgotten)"),
        ("0049 (170) 1234567", "(forgotten)"),
        ('{"tel": 491701234567, "n": 1}', '{"tel": "(forgotten)", "n": 1}'),
        ('{"s": "{\\"tel\\":491701234567}"}', '{"s": "{\\"tel\\":\\"(forgotten)\\"}"}'),
        ('{"customer_id": "C42", "n": 1}', '{"customer_id": "(forgotten)", "n": 1}'),
        ("/?customerId=C42&n=1", "/?customerId=(forgotten)&n=1"),
    ],
)
def test_what_identifies_is_found_as_people_and_programs_write_it(written: str, left: str) -> None:
    assert without(Spot(), text=[written]) == [{"text": left}]


@pytest.mark.parametrize(
    "written",
    [
        "xada.kent@example.com",
        "ada.kent@example.community",
        "1491701234567",
        "491701234567890",
        "112",
        "C42",
        '{"order_id": "C42"}',
        '{"customer_id": "C421"}',
        "/?customer_id=C42a",
        "Ada lives in 1 Deal Street",
        "",
        None,
    ],
)
def test_what_is_somebody_elses_or_nobodys_stays(written: str | None) -> None:
    assert without(Spot(free=frozenset({"text"})), text=pa.array([written], pa.string())) == [{"text": written}]


def test_names_and_addresses_go_only_from_rows_about_the_person() -> None:
    spot = Spot(references=frozenset({"customer_id"}), free=frozenset({"note"}))
    told = without(
        spot,
        customer_id=[" C42 ", "C7", None],
        note=["Ada ölkers, 1 deal  street; adamant", "Ada", "%C3%96lkers of ada.kent@example.com"],
        status=["Ada", "Ada", None],
    )

    assert told == [
        {"customer_id": "(forgotten)", "note": "(forgotten) (forgotten), (forgotten); adamant", "status": "Ada"},
        {"customer_id": "C7", "note": "Ada", "status": "Ada"},
        {"customer_id": None, "note": "(forgotten) of (forgotten)", "status": None},
    ]


def test_classified_columns_are_emptied_and_required_ones_say_so() -> None:
    spot = Spot(
        personal={"email": "pii:email", "mobile": "pii:phone", "name": "pii:name"}, required=frozenset({"mobile"})
    )
    told = without(
        spot,
        email=["ADA.KENT@example.com ", "bo@example.com"],
        mobile=["0049170/1234567", "112"],
        name=["ada", "ada"],
    )

    assert told == [
        {"email": None, "mobile": "(forgotten)", "name": None},
        {"email": "bo@example.com", "mobile": "112", "name": "ada"},
    ]


def test_own_rows_go_and_own_records_that_must_be_known_again_are_blanked() -> None:
    assert without(Spot(own=frozenset({"id"})), id=["C42", "C4", " C42"], n=[1, 2, 3]) == [{"id": "C4", "n": 2}]
    spot = Spot(free=frozenset({"raw"}), lines=frozenset({"raw"}), passed=frozenset({"_row_id"}), blanked=True)
    assert without(spot, _row_id=["C42", "b"], raw=[b"C42,Ada,x", b"\xff,C421"]) == [
        {"_row_id": "C42", "raw": b"(forgotten)"},
        {"_row_id": "b", "raw": b"\xff,C421"},
    ]


def test_lists_bytes_and_what_is_no_utf8_are_looked_into() -> None:
    kind = pa.list_(pa.field("element", pa.string()))
    told = without(
        Spot(),
        urls=pa.array([["/a", "mailto:ada.kent@example.com"], None, []], kind),
        raw=[b"\xff\xfeada.kent@example.com\x80", None, b"x"],
    )

    assert told == [
        {"urls": ["/a", "mailto:(forgotten)"], "raw": b"\xff\xfe(forgotten)\x80"},
        {"urls": None, "raw": None},
        {"urls": [], "raw": b"x"},
    ]


def test_hashes_are_emptied_as_what_they_were_made_of() -> None:
    mail, name, other = "ab" * 32, "cd" * 32, "ef" * 32
    traces = Traces("C42", (), frozenset(), frozenset({("pii:email", mail), ("pii:name", name)}))
    batch = pa.record_batch({"email": [mail, other], "name": [name, name]})
    told = traces.without(batch, Spot(personal={"email": "pii:email", "name": "pii:name"}))

    assert told.to_pylist() == [{"email": None, "name": None}, {"email": other, "name": name}]


def test_names_that_others_have_too_are_told() -> None:
    batch = pa.record_batch({"id": ["C42", "C7"], "name": ["Ölkers", "ADA "]})

    assert ADA.marks(batch, Spot(own=frozenset({"id"}), personal={"name": "pii:name"})).shared == {"ada"}


def test_a_key_that_is_a_number_is_found_by_its_name_alone() -> None:
    told = Traces("42", ("customer_id",)).without(pa.record_batch({"text": ['{"customer_id": 42, "n": 42}']}), Spot())

    assert told.to_pylist() == [{"text": '{"customer_id": "(forgotten)", "n": 42}'}]


def test_a_person_of_whom_nothing_is_known_but_the_key_touches_nothing_else() -> None:
    nobody, batch = Traces("C42", ()), pa.record_batch({"text": ["", None, "x", "customer_id=C42"]})

    assert nobody.without(batch, Spot(personal={"text": "pii:name"})) is batch
