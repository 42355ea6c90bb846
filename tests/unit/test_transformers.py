"""What every Silver and Gold function promises, and how each Silver table cleans its rows.

Prices and Gold have their own files in `transform/`.
"""

from decimal import Decimal

import pytest
from pyspark.sql import DataFrame, SparkSession
from tests.frames import at, frame, rows

from headwater.contracts import Contracts
from headwater.errors import ConfigurationError
from headwater.transform.silver.accounts import accounts
from headwater.transform.silver.behavior import behavior
from headwater.transform.silver.contacts import contacts
from headwater.transform.silver.customers import customers
from headwater.transform.silver.fx_rates import fx_rates
from headwater.transform.silver.inventory import inventory
from headwater.transform.silver.opportunities import opportunities
from headwater.transform.silver.order_events import order_events
from headwater.transform.silver.orders import orders
from headwater.transform.silver.products import products
from headwater.transform.silver.user_events import user_events
from headwater.transform.table import TABLES, gold, load_tables, silver

SILVER = {
    "orders", "customers", "products", "behavior", "accounts", "contacts", "opportunities", "fx_rates", "order_events",
    "user_events", "inventory",
}  # fmt: skip
GOLD = {"customer_360", "product_perf_daily", "revenue_by_geography", "revenue_by_industry"}


# What holds of every table


def test_the_functions_make_these_tables_and_no_others():
    made = load_tables()
    assert {name for name, table in made.items() if table.layer == "silver"} == SILVER
    assert {name for name, table in made.items() if table.layer == "gold"} == GOLD


def test_every_input_is_a_table_of_a_lower_layer_or_silver(contracts: Contracts):
    for table in load_tables().values():
        for name in table.inputs:
            assert contracts[name].layer in (("bronze", "silver") if table.layer == "silver" else ("silver",)), table
        assert all(contracts[name].layer == "bronze" for name in table.versions)


@pytest.mark.parametrize("name", sorted(SILVER | GOLD))
def test_a_table_of_nothing_has_the_columns_of_its_contract(spark: SparkSession, contracts: Contracts, name: str):
    table, contract = load_tables()[name], contracts[name]
    made = table.function(*(frame(spark, contracts[each].column_names[0], table=each) for each in table.inputs))

    types = dict(made.dtypes)
    assert {column: types.get(column) for column in contract.column_names} == {
        column.name: column.type for column in contract.columns
    }
    beside = set(types) - set(contract.column_names)
    if table.layer == "gold":
        assert beside == set()
    else:
        meta = {"_row_id", "_ingest_ts", "_run_id", "_input"} | ({contract.deletion} if contract.deletion else set())
        assert beside >= meta
        assert all(each.startswith("_raw_") for each in beside - meta)
        assert {each.removeprefix("_raw_") for each in beside - meta} <= set(contract.column_names)
    assert rows(made) == []


@pytest.mark.parametrize("name", sorted(SILVER))
def test_a_silver_table_has_a_row_for_every_landed_version_even_where_all_is_missing(
    spark: SparkSession, contracts: Contracts, name: str
):
    table = load_tables()[name]

    def landed(bronze: str) -> DataFrame:
        versions = (f"{bronze}-1", f"{bronze}-2") if bronze in table.versions else ()
        return frame(spark, "_row_id", *versions, table=bronze)

    made = table.function(*(landed(each) for each in table.inputs))
    assert rows(made, "_row_id", "_input") == sorted((f"{each}-{n}", each) for each in table.versions for n in (1, 2))


def test_two_functions_cannot_make_one_table():
    load_tables()
    with pytest.raises(ConfigurationError, match=r"the name orders is taken by headwater\.transform\.silver\.orders"):

        @silver("orders")
        def orders_again(snowflake_orders: DataFrame) -> DataFrame:
            return snowflake_orders


def test_a_table_that_reads_nothing_is_refused():
    with pytest.raises(ConfigurationError, match=r"gold\.nothing reads nothing; name its inputs as parameters"):

        @gold("nothing")
        def nothing() -> DataFrame:
            raise AssertionError

    assert "nothing" not in TABLES


def test_versions_must_be_parameters():
    with pytest.raises(ConfigurationError, match="versions names kafka_orders, which is no parameter"):

        @silver("mistyped", versions=("kafka_orders",))
        def mistyped(kafka_orders_events: DataFrame) -> DataFrame:
            return kafka_orders_events


def test_a_keyword_is_a_setting_and_a_table_gets_only_its_own(spark: SparkSession):
    table = load_tables()["orders"]
    assert (table.inputs, table.settings) == (("snowflake_orders", "fx_rates"), ("fx_max_age_days",))

    sunday = frame(spark, "currency | amount | order_date", "EUR | 1.00 | 2024-11-03 10:00", table="snowflake_orders")
    friday = frame(
        spark, "date | base_currency | quote_currency | rate", "2024-11-01 | EUR | USD | 1.08", table="fx_rates"
    )
    frames = {"snowflake_orders": sunday, "fx_rates": friday, "customers": sunday}
    assert rows(table.compute(frames), "amount_usd") == [(Decimal("1.08"),)]
    assert rows(table.compute(frames, {"fx_max_age_days": 1, "other": 0}), "amount_usd") == [(None,)]


# Silver, table by table


def test_an_order_is_cleaned_and_knows_its_month(spark: SparkSession):
    landed = frame(
        spark,
        "order_id | customer_id | product_id | order_date | quantity | amount | currency | status",
        'O1 | "  C1 " | P1 | 2024-10-31 23:59:59.999999 | 2 | 10.0050 | " usd" | " Shipped "',
        table="snowflake_orders",
    )
    cleaned = orders(landed, frame(spark, "date", table="fx_rates"))
    assert rows(cleaned, "order_id", "customer_id", "currency", "status", "order_month", "amount", "amount_usd") == [
        ("O1", "C1", "USD", "Shipped", "2024-10", Decimal("10.01"), Decimal("10.01"))
    ]
    assert rows(cleaned, "_row_id", "_run_id", "_input") == [("r1", "run-1", "snowflake_orders")]


def test_an_order_without_text_in_its_key_has_no_key(spark: SparkSession):
    landed = frame(spark, "order_id | customer_id", '"" | "   "', table="snowflake_orders")
    assert rows(orders(landed, frame(spark, "date", table="fx_rates")), "order_id", "customer_id") == [(None, None)]


def test_an_amount_with_too_many_digits_is_null_beside_what_landed(spark: SparkSession):
    landed = frame(spark, "id | amount", "1 | 12345678901234567890.1234", "2 |", table="salesforce_opportunities")
    assert rows(opportunities(landed), "opportunity_id", "amount", "_raw_amount") == [
        ("1", None, "12345678901234567890.1234"),
        ("2", None, None),
    ]


def test_a_customers_email_is_in_small_letters_and_the_country_in_capitals(spark: SparkSession):
    landed = frame(
        spark,
        "customer_id | email | country | first_name",
        'C1 | "  Ann.Lee@Example.COM " | " de" | " Ann"',
        'C2 | "  " | "" | ""',
        table="snowflake_customers",
    )
    assert rows(customers(landed), "customer_id", "email", "country", "first_name") == [
        ("C1", "ann.lee@example.com", "DE", "Ann"),
        ("C2", None, None, None),
    ]


def test_a_tab_is_not_a_space(spark: SparkSession):
    landed = frame(spark, "product_id | name", 'P1 | "\tcup\t"', table="snowflake_products")
    assert rows(products(landed), "name") == [("\tcup\t",)]


@pytest.mark.parametrize(
    ("landed", "rounded"),
    [("1.0049", "1.00"), ("1.0050", "1.01"), ("-1.0050", "-1.01"), ("2.6750", "2.68"), ("0", "0.00")],
)
def test_a_list_price_is_rounded_half_away_from_zero(spark: SparkSession, landed: str, rounded: str):
    priced = frame(spark, "product_id | list_price", f"P1 | {landed}", table="snowflake_products")
    assert rows(products(priced), "list_price") == [(Decimal(rounded),)]


@pytest.mark.parametrize(
    ("session_id", "started"),
    [
        ("S20241102100059-9f3aB", at("2024-11-02 10:00:59")),
        ('" S20240229000000-0 "', at("2024-02-29 00:00:00")),
        ("S20230229000000-9f3a", None),
        ("S20241102240000-9f3a", None),
        ("S2024110210005-9f3a", None),
        ("S20241102100059-xyz", None),
        ("S20241102100059", None),
        ("x", None),
        ("", None),
    ],
)
def test_a_visits_start_is_read_from_its_name(spark: SparkSession, session_id: str, started: object):
    landed = frame(spark, "event_id | session_id", f"E1 | {session_id}", table="redshift_behavior")
    assert rows(behavior(landed), "session_start_ts") == [(started,)]


@pytest.mark.parametrize(
    ("geo", "place"),
    [
        ("US", ("US", None, None, None)),
        ("us-ca", ("US", "CA", None, None)),
        ("GB-ENG", ("GB", "ENG", None, None)),
        ("37.77,-122.42", (None, None, 37.77, -122.42)),
        ('" -90 , +180.0 "', (None, None, -90.0, 180.0)),
        ("90.01,0", (None, None, None, None)),
        ("0,-180.5", (None, None, None, None)),
        ("geo:37.77,-122.42", (None, None, 37.77, -122.42)),
        ("GEO:-8.5,115.25,30.5;u=35", (None, None, -8.5, 115.25)),
        ("geo:37.77,-122.42;crs=nad27", (None, None, None, None)),
        ("geo:+37.77,-122.42", (None, None, None, None)),
        ("geo:91,0", (None, None, None, None)),
        ("+37.77-122.42/", (None, None, 37.77, -122.42)),
        ("-08.5+115.25+30.5/", (None, None, -8.5, 115.25)),
        ("+37.77-122.42", (None, None, None, None)),
        ("+37.77-22.42/", (None, None, None, None)),
        ("+90.5+000/", (None, None, None, None)),
        ("37.77", (None, None, None, None)),
        ("USA", (None, None, None, None)),
        ("US-", (None, None, None, None)),
        ("", (None, None, None, None)),
    ],
)
def test_a_place_is_a_country_a_region_or_coordinates(spark: SparkSession, geo: str, place: tuple[object, ...]):
    landed = frame(spark, "event_id | geo", f"E1 | {geo}", table="redshift_behavior")
    assert rows(behavior(landed), "geo_country", "geo_region", "geo_latitude", "geo_longitude") == [place]


def test_an_event_has_its_pages_in_the_order_of_their_numbers(spark: SparkSession):
    landed = frame(
        spark,
        "event_id | url_10 | url_2 | url_12 | url_1",
        "E1 | /j | /b | /l | /a",
        'E2 | /j | "" | | " /a "',
        "E3 | | | |",
        table="redshift_behavior",
    )
    wider = landed.selectExpr("*", "'/m' as url_13", "'x' as url_note")
    assert rows(behavior(landed), "event_id", "urls") == [
        ("E1", ["/a", "/b", "/j", "/l"]),
        ("E2", ["/a", "/j"]),
        ("E3", []),
    ]
    assert rows(behavior(wider.where("event_id = 'E2'")), "urls") == [(["/a", "/j", "/m"],)]


def _contacts(spark: SparkSession, *told: str) -> DataFrame:
    header = "id | account_id | email | created_date | system_modstamp | is_deleted | _run_id | _row_id"
    return frame(spark, header, *told, table="salesforce_contacts")


def _primary_email(spark: SparkSession, *told: str) -> object:
    account = frame(spark, "id | name | is_deleted", "A1 | Acme | false", table="salesforce_accounts")
    [(found,)] = rows(accounts(account, _contacts(spark, *told)), "primary_email")
    return found


def test_the_oldest_contact_with_an_address_speaks_for_an_account(spark: SparkSession):
    assert (
        _primary_email(
            spark,
            "3 | A1 | late@x.com  | 2024-03-01 | 2024-05-01 | false | run-1 | a",
            "2 | A1 | OLD@x.com   | 2024-01-01 | 2024-05-01 | false | run-1 | b",
            '1 | A1 | "  "        | 2023-01-01 | 2024-05-01 | false | run-1 | c',
            "0 | A2 | other@x.com | 2022-01-01 | 2024-05-01 | false | run-1 | d",
        )
        == "old@x.com"
    )


def test_of_equally_old_contacts_the_smaller_id_speaks_and_one_without_a_date_comes_last(spark: SparkSession):
    assert (
        _primary_email(
            spark,
            "1 | A1 | none@x.com |            | 2024-05-01 | false | run-1 | a",
            "3 | A1 | b@x.com    | 2024-01-01 | 2024-05-01 | false | run-1 | b",
            "2 | A1 | a@x.com    | 2024-01-01 | 2024-05-01 | false | run-1 | c",
        )
        == "a@x.com"
    )


def test_a_deleted_contact_no_longer_speaks(spark: SparkSession):
    assert (
        _primary_email(
            spark,
            "1 | A1 | gone@x.com | 2024-01-01 | 2024-05-01 | false | run-1 | a",
            "1 | A1 | gone@x.com | 2024-01-01 | 2024-06-01 | true  | run-2 | b",
            "2 | A1 | next@x.com | 2024-02-01 | 2024-05-01 | false | run-1 | c",
        )
        == "next@x.com"
    )


def test_a_contact_that_moved_speaks_for_its_new_account_only(spark: SparkSession):
    both = frame(spark, "id | name | is_deleted", "A1 | Acme | false", "A2 | Bolt | false", table="salesforce_accounts")
    moved = _contacts(
        spark,
        "1 | A1 | ann@x.com | 2024-01-01 | 2024-05-01 | false | run-1 | a",
        "1 | A2 | ann@x.com | 2024-01-01 | 2024-06-01 | false | run-2 | b",
    )
    assert rows(accounts(both, moved), "account_id", "primary_email") == [("A1", None), ("A2", "ann@x.com")]


@pytest.mark.parametrize(
    "newer",
    [
        pytest.param("1 | A1 | new@x.com | 2024-01-01 | 2024-05-01 | false | run-2 | a", id="of the later run"),
        pytest.param("1 | A1 | new@x.com | 2024-01-01 | 2024-05-01 | false | run-1 | c", id="of the greater row id"),
    ],
)
def test_of_equally_new_versions_of_a_contact_this_one_counts(spark: SparkSession, newer: str):
    older = "1 | A1 | old@x.com | 2024-01-01 | 2024-05-01 | false | run-1 | b"
    assert _primary_email(spark, newer, older) == "new@x.com"


def test_every_version_of_an_account_gets_the_address_of_today(spark: SparkSession):
    versions = frame(
        spark,
        "id | name | system_modstamp | is_deleted",
        "A1 | Acme | 2024-01-01 | false",
        "A1 | Acme Inc | 2024-02-01 | true",
        table="salesforce_accounts",
    )
    told = _contacts(spark, "1 | A1 | ann@x.com | 2024-01-01 | 2024-05-01 | false | run-1 | a")
    assert rows(accounts(versions, told), "name", "is_deleted", "primary_email") == [
        ("Acme", False, "ann@x.com"),
        ("Acme Inc", True, "ann@x.com"),
    ]


def test_a_contact_keeps_its_names_for_its_keys(spark: SparkSession):
    landed = frame(
        spark, "id | account_id | email | is_deleted", "1 | A1 | A@X.com | true", table="salesforce_contacts"
    )
    assert rows(contacts(landed), "contact_id", "account_id", "email", "is_deleted") == [("1", "A1", "a@x.com", True)]


def test_an_opportunitys_stage_and_probability_are_as_told(spark: SparkSession):
    landed = frame(
        spark,
        "id | account_id | stage_name | amount | probability",
        '1 | A1 | " Closed Won" | 10.0050 | 100',
        table="salesforce_opportunities",
    )
    assert rows(opportunities(landed), "opportunity_id", "stage", "amount", "probability") == [
        ("1", "Closed Won", Decimal("10.01"), 100)
    ]


def test_a_rate_names_its_pair(spark: SparkSession):
    landed = frame(
        spark,
        "date | base_currency | quote_currency | rate | as_of_time",
        '2024-11-01 | "eur " | usd | 1.0800000001 | 2024-11-01 15:00',
        "2024-11-01 | EUR | | 2 | 2024-11-01 15:00",
        table="fx_vendor_rates",
    )
    assert rows(fx_rates(landed), "ccy_pair", "base_currency", "quote_currency", "rate") == [
        ("EUR/USD", "EUR", "USD", Decimal("1.0800000001")),
        (None, "EUR", None, Decimal("2.0000000000")),
    ]


INSTANTS = [
    ("2024-11-02T10:00:00Z", at("2024-11-02 10:00")),
    ("2024-11-02T10:00:00.123456Z", at("2024-11-02 10:00:00.123456")),
    ("2024-11-02T00:30:00.5+02:00", at("2024-11-01 22:30:00.5")),
    ("2024-11-02T10:00:00", at("2024-11-02 10:00")),
    ("2024-11-02T10:00:00.25", at("2024-11-02 10:00:00.25")),
    ("1970-01-01T00:00:00", at("1970-01-01")),
    ("2100-12-31T23:59:59Z", at("2100-12-31 23:59:59")),
    ("1730541600", at("2024-11-02 10:00")),
    ("1730541600123", at("2024-11-02 10:00:00.123")),
    ("100000000", at("1973-03-03 09:46:40")),
    ("4133980799999", at("2100-12-31 23:59:59.999")),
    ("20241102", None),
    ("17305416001", None),
    ("17305416001234", None),
    ("1730541600.5", None),
    ("-1730541600", None),
    ("2024-11-02", None),
    ("2024-02-30T10:00:00Z", None),
    ("2024-02-30T10:00:00", None),
    ("2024-11-02T25:00:00Z", None),
    ("2024-11-02T10:00:61Z", None),
    ("soon", None),
]


@pytest.mark.parametrize(("told", "meant"), INSTANTS)
def test_an_events_instant_is_a_real_day_with_or_without_zone_or_counted_since_1970(
    spark: SparkSession, told: str, meant: object
):
    landed = frame(
        spark, "order_id | event_type | event_timestamp", f"O1 | placed | {told}", table="kafka_orders_events"
    )
    event = order_events(landed)
    assert rows(event, "event_type", "event_timestamp", "_raw_event_timestamp") == [("PLACED", meant, told)]
    assert rows(event, "event_month") == [(meant and meant.strftime("%Y-%m"),)]


def test_an_event_without_an_instant_has_no_text_to_blame(spark: SparkSession):
    landed = frame(spark, "event_id | event_timestamp", 'E1 | ""', "E2 |", table="kafka_user_events")
    assert rows(user_events(landed), "event_id", "event_timestamp", "_raw_event_timestamp") == [
        ("E1", None, None),
        ("E2", None, None),
    ]


def test_a_users_event_keeps_its_metadata_to_the_letter(spark: SparkSession):
    landed = frame(
        spark,
        "event_id | event_type | event_timestamp | page_url | metadata",
        'E1 | " click" | 2024-11-02T10:00:00Z | " /a" | " {}  "',
        table="kafka_user_events",
    )
    assert rows(user_events(landed), "event_type", "page_url", "metadata", "event_month") == [
        ("click", "/a", " {}  ", "2024-11")
    ]


def test_a_stock_level_is_the_erps_at_midnight_or_an_events_at_its_instant(spark: SparkSession):
    counted = frame(
        spark,
        "product_id | warehouse_id | quantity | reorder_point | file_date",
        "P1 | W1 | 7 | 3 | 2024-11-02",
        table="external_inventory",
    )
    changed = frame(
        spark,
        "product_id | warehouse_id | quantity | event_timestamp",
        "P1 | W1 | 5 | 2024-11-02T10:00:00Z",
        "P1 | W1 | 4 | noon",
        table="kafka_inventory_updates",
    )
    assert rows(
        inventory(counted, changed), "origin", "stock_ts", "quantity", "reorder_point", "_raw_stock_ts", "_input"
    ) == [
        ("erp", at("2024-11-02"), 7, 3, "2024-11-02", "external_inventory"),
        ("event", at("2024-11-02 10:00"), 5, None, "2024-11-02T10:00:00Z", "kafka_inventory_updates"),
        ("event", None, 4, None, "noon", "kafka_inventory_updates"),
    ]
