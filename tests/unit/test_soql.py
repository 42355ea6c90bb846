"""SOQL as the Salesforce stand-in reads it."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from headwater.sandbox.salesforce.rendering import java_double
from headwater.sandbox.salesforce.soql import (
    Aggregate,
    Comparison,
    Joined,
    Membership,
    Name,
    Not,
    QueryRefused,
    Text,
    parse,
)


def condition(text: str) -> object:
    return parse(f"SELECT Id FROM Account WHERE {text}").where


def compared(text: str) -> object:
    where = condition(f"X = {text}")
    assert isinstance(where, Comparison)
    return where.value


def test_a_query_is_taken_apart() -> None:
    query = parse(
        "select Id, a.Name from Account a where Name != null order by Name desc nulls last, Id limit 10 offset 20"
    )
    assert [item.text for item in query.items if isinstance(item, Name)] == ["Id", "a.Name"]
    assert (query.object.text, query.alias) == ("Account", "a")
    assert [(each.field.text, each.descending, each.nulls_last) for each in query.order] == [
        ("Name", True, True),
        ("Id", False, False),
    ]
    assert (query.limit, query.offset) == (10, 20)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-11-01T10:00:00Z", datetime(2024, 11, 1, 10, tzinfo=UTC)),
        ("2024-11-01T10:00:00.250+02:00", datetime(2024, 11, 1, 8, 0, 0, 250_000, tzinfo=UTC)),
        ("2024-11-01T10:00:00-0330", datetime(2024, 11, 1, 13, 30, tzinfo=UTC)),
        ("2024-11-01", date(2024, 11, 1)),
        ("-12.50", Decimal("-12.50")),
        ("1e3", Decimal(1000)),
        ("TRUE", True),
        ("null", None),
        ("'it\\'s \\\\ \\n \\u00e9'", Text("it's \\ \n \u00e9", "it's \\\\ \n \u00e9")),
        ("'50\\% _'", Text("50% _", "50\\% _")),
    ],
)
def test_a_value_is_read_by_its_spelling(text: str, value: object) -> None:
    assert compared(text) == value


def test_conditions_nest() -> None:
    where = condition("(A = 1 OR B = 2) AND NOT C LIKE 'x%' AND D NOT IN ('a', 'b')")
    assert isinstance(where, Joined)
    first, second, third = where.conditions
    assert isinstance(first, Joined)
    assert first.word == "OR"
    assert isinstance(second, Not)
    assert isinstance(third, Membership)
    assert third.negated


def test_words_of_the_language_may_begin_names() -> None:
    query = parse("SELECT OrderId, Limit__c FROM OrderItem WHERE InStock = true AND NotNull = false ORDER BY Ascending")
    assert query.object.text == "OrderItem"


def test_counts_and_extremes() -> None:
    assert parse("SELECT COUNT() FROM Account").is_count
    query = parse("SELECT COUNT(Id) total, MAX(SystemModstamp) FROM Account")
    assert [(item.function.text, item.alias) for item in query.items if isinstance(item, Aggregate)] == [
        ("COUNT", "total"),
        ("MAX", None),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "<EOF>"),
        ("SELECT Id", "<EOF>"),
        ("SELECT Id FORM Account", "FORM"),
        ("SELECT * FROM Account", r"\*"),
        ("SELECT Id, FROM Account", "FROM|Account|<EOF>"),
        ("SELECT Id FROM Account WHERE A = 1 AND B = 2 OR C = 3", "OR"),
        ("SELECT Id FROM Account WHERE A = 1 B = 2", "B"),
        ('SELECT Id FROM Account WHERE A = "x"', '"'),
        ("SELECT Id FROM Account WHERE A = 'it's'", "s"),
        ("SELECT Id FROM Account WHERE A = 2024-11-01T10:00:00", "2024"),
        ("SELECT Id FROM Account WHERE A == 1", "="),
        ("SELECT Id FROM Account WHERE A IN ()", r"\)"),
        ("SELECT Id FROM Account WHERE A NOT LIKE 'x'", "LIKE"),
        ("SELECT Id FROM Account LIMIT -1", "-"),
        ("SELECT Id FROM Account; DROP TABLE Account", ";"),
        ("SELECT COUNT(), Id FROM Account", "COUNT"),
        ("SELECT Id FROM Account GROUP BY Id", "BY"),
        ("SELECT (SELECT Id FROM Contacts) FROM Account", r"\("),
    ],
)
def test_what_is_not_soql_is_malformed(text: str, complaint: str) -> None:
    with pytest.raises(QueryRefused, match=f"unexpected token: '({complaint})'") as refused:
        parse(text)
    assert refused.value.code == "MALFORMED_QUERY"


def test_a_complaint_shows_the_place() -> None:
    with pytest.raises(QueryRefused) as refused:
        parse("SELECT Id\nFORM Account")
    assert refused.value.message == "\nFORM Account\n^\nERROR at Row:2:Column:1\nunexpected token: 'FORM'"


def test_dates_that_do_not_exist_and_offsets_too_far_are_refused() -> None:
    with pytest.raises(QueryRefused, match="2024-02-31") as refused:
        parse("SELECT Id FROM Account WHERE X = 2024-02-31")
    assert refused.value.code == "MALFORMED_QUERY"
    with pytest.raises(QueryRefused, match="Maximum SOQL offset allowed is 2000") as refused:
        parse("SELECT Id FROM Account LIMIT 1 OFFSET 2001")
    assert refused.value.code == "NUMBER_OUTSIDE_VALID_RANGE"


@pytest.mark.parametrize(
    ("number", "spelled"),
    [
        ("0.00", "0.0"),
        ("10.00", "10.0"),
        ("-15000.25", "-15000.25"),
        ("9999999.99", "9999999.99"),
        ("10000000", "1.0E7"),
        ("99213206.00", "9.9213206E7"),
        ("-1234567890123456.78", "-1.23456789012345678E15"),
        ("0.001", "0.001"),
        ("0.0005", "5.0E-4"),
    ],
)
def test_numbers_are_spelled_as_java_spells_them_without_losing_a_digit(number: str, spelled: str) -> None:
    assert java_double(Decimal(number)) == spelled
    assert Decimal(spelled) == Decimal(number)
