"""The generated shop's other files: what purchasing, personnel, the accountants and the vendors leave in the bucket.

Of each kind there is a file at the first of every month of the history, on its last day, and on every day from the start
clock on. Every sixth file of most kinds arrives damaged and is put right a day and some hours later.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa

from headwater.sandbox.datasets import names, people
from headwater.sandbox.datasets.columns import (
    DAY,
    choose,
    dates,
    decimal_text,
    flags,
    instants,
    integers,
    iso_millis,
    joined,
    micros,
    money,
    nulled,
    padded,
    replaced,
)
from headwater.sandbox.datasets.draws import Ints, below
from headwater.sandbox.datasets.files import ExportedFile
from headwater.sandbox.datasets.generated.populations import END, FIRST, START
from headwater.sandbox.datasets.generated.shop import Shop, product_ids

_MOST_RECORDS = 20_000
_EMPLOYEES = 250
_DAMAGED_EVERY = 6
_MENDED_AFTER = timedelta(hours=27)
_DEPARTMENTS = ("Warehouse", "Sales", "Einkauf", "Buchhaltung", "IT", "Support")
_JOBS = ("Clerk", "Lead", "Fahrer", "Analyst", "Directrice générale")
_COMMENTS = ("Reliable.", 'Said "no" too often, yet rightly.', "Sehr gründlich;\nzu langsam.", "期待以上", None)
_ACCOUNTS = ("ASSET", "LIABILITY", "EQUITY", "REVENUE", "EXPENSE")


def export_days() -> list[date]:
    """The first of every month of the history, its last day, every day from the start clock on."""
    days = [(FIRST + timedelta(days=n)).date() for n in range((END - FIRST).days)]
    last = START.date() - timedelta(days=1)
    return [day for day in days if day.day == 1 or day >= last]


def back_office_files(shop: Shop, scale: float) -> Iterator[ExportedFile]:
    """Every version of every file, those of a day together."""
    for number, day in enumerate(export_days()):
        for make in (_purchasing, _employees, _reviews, _transactions, _gl_accounts, _vendor_products, _vendor_offer):
            yield from (file for file in make(_Day(shop, scale, number, day)) if file.visible_at < END)


@dataclass(frozen=True)
class _Day:
    """What a day's files are made of; days are numbered."""

    shop: Shop
    scale: float
    number: int
    day: date


def _rows(number: int, most: float) -> Ints:
    """As many numbers, no other file's, as a file of this size has records."""
    return np.arange(min(max(round(most), 4), _MOST_RECORDS), dtype=np.int64) + number * 100_003


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)


def _put(key: str, at: datetime, content: bytes, *, number: int) -> Iterator[ExportedFile]:
    """The file; every sixth time only its first half, and the whole of it the day after."""
    if number % _DAMAGED_EVERY:
        yield ExportedFile(key, at, content)
    else:
        yield ExportedFile(key, at, content[: len(content) // 2])
        yield ExportedFile(key, at + _MENDED_AFTER, content)


def _packed(name: str, content: bytes) -> bytes:
    """The content as a file of this name holds it."""
    if name.endswith(".gz"):
        return gzip.compress(content, mtime=0)
    return bytes(pa.Codec("zstd").compress(content, asbytes=True)) if name.endswith(".zst") else content


def _csv(columns: dict[str, pa.Array], broken: dict[int, str]) -> bytes:
    """Lines below a header, some replaced by others."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for place, fields in enumerate(zip(*(column.to_pylist() for column in columns.values()), strict=True)):
        if place in broken:
            out.write(broken[place] + "\n")
        else:
            writer.writerow(fields)
    return out.getvalue().encode()


def _broken(rows: Ints, every: int, texts: Sequence[str]) -> dict[int, str]:
    """Which places of a file hold what instead of a record."""
    return {place: texts[int(row) // every % len(texts)] for place, row in enumerate(rows) if row % every == 5}


def _purchasing(today: _Day) -> Iterator[ExportedFile]:
    line = _rows(today.number, 60 * today.scale)
    order = line // 3
    product = below(
        "purchase.product", line, today.shop.products.existing(np.full(len(line), micros(_at(today.day, 0))))
    )
    ordered = np.full(len(line), micros(_at(today.day, 0))) - below("purchase.age", order, 20) * DAY
    content = _csv(
        {
            "po_number": padded("PO-", order, 8),
            "line_number": decimal_text(line % 3 + 1),
            "product_id": product_ids(product),
            "supplier_id": padded("V", below("purchase.vendor", order, 40), 4),
            "warehouse_id": choose(names.WAREHOUSES, below("purchase.where", order, len(names.WAREHOUSES))),
            "quantity": decimal_text(below("purchase.quantity", line, 400) + 1),
            "unit_price": money(below("purchase.price", line, 2_000_000) + 5, 20, 4).cast(pa.string()),
            "currency": choose(people.CURRENCIES, below("purchase.currency", order, len(people.CURRENCIES))),
            "ordered_on": dates(ordered).cast(pa.string()),
            "expected_on": nulled(dates(ordered + 30 * DAY).cast(pa.string()), line % 13 == 4),
            "status": choose(("OPEN", "PARTIAL", "RECEIVED", "CANCELLED", "open"), below("purchase.status", line, 5)),
        },
        _broken(
            line,
            89,
            (
                "PO-1,1,0000001,V0001,WH-01,many,1.00,EUR,2024-01-01,,OPEN",
                "PO-2,1,0000001,V0001,WH-01,5,12,50,EUR,2024-01-01,,OPEN",
                "PO-3,1,0000001,V0001,WH-01,5,1.00,EUR,30.02.2024,,OPEN",
                'PO-4,1,0000001,V0001,"WH-01,5,1.00,EUR,2024-01-01,,OPEN',
                "PO-5,1,0000001,V0001,WH-01,5,1.23456,EUR,2024-01-01,,OPEN",
            ),
        ),
    )
    if today.number % 7 == 2:  # another export, in another encoding: the lines with ł are no UTF-8
        content = content.replace("Łódź".encode(), "Łódź".encode("iso8859-2"))
    name = "purchasing.csv" + ("", ".gz")[today.number % 2]
    yield ExportedFile(f"erp-export/purchasing/{today.day}/{name}", _at(today.day, 2), _packed(name, content))


def _employees(today: _Day) -> Iterator[ExportedFile]:
    employee = _rows(0, _EMPLOYEES * today.scale)
    person = employee + 20_000_000
    year = np.full(len(employee), today.day.year)
    hired = micros(FIRST) - below("employee.hired", employee, 5_000) * DAY
    left = micros(FIRST) + below("employee.left", employee, 4_000) * DAY
    content = _csv(
        {
            "employee_id": padded("E", employee, 5),
            "first_name": people.first_names(person),
            "last_name": people.last_names(person),
            "email": people.untidy(people.emails(person, np.zeros(len(employee), dtype=np.int64)), employee),
            "phone": people.phones(person),
            "address": people.streets(person),
            "city": choose(people.CITIES, people.country_of(person)),
            "country": choose(people.CODES, people.country_of(person)),
            "department": choose(_DEPARTMENTS, below("employee.department", employee, len(_DEPARTMENTS))),
            "job_title": choose(_JOBS, below("employee.job", employee, len(_JOBS))),
            "manager_id": nulled(padded("E", employee // 10, 5), employee < 10),
            "hired_on": dates(hired).cast(pa.string()),
            "terminated_on": nulled(dates(left).cast(pa.string()), left >= micros(_at(today.day, 0))),
            "salary": money(3_000_000 + below("employee.salary", employee + year * 7, 9_000_000), 18).cast(pa.string()),
            "currency": choose(people.CURRENCIES, people.country_of(person)),
        },
        _broken(
            employee + today.number,
            211,
            (
                "E99901,A,B,,,,,,IT,Clerk,,2020-01-01,,confidential,EUR",
                "E99902,A,B,,,,,,IT,Clerk,,01.01.2020,,50000.00,EUR",
                "E99903,A,B",
            ),
        ),
    )
    yield ExportedFile(f"hr-export/employees/{today.day}/employees.csv", _at(today.day, 3), content)


def _reviews(today: _Day) -> Iterator[ExportedFile]:
    review = _rows(today.number, 25 * today.scale)
    employee = below("review.employee", review, max(round(_EMPLOYEES * today.scale), 4))
    score = (below("review.score", review, 5) + 1).tolist()
    comment = choose(_COMMENTS, below("review.comment", review, len(_COMMENTS))).to_pylist()
    who = padded("E", employee, 5).to_pylist(), padded("E", employee // 10, 5).to_pylist()
    period = f"{today.day.year}-H{1 if today.day.month < 7 else 2}"
    broken = _broken(
        review,
        37,
        ('{"review_id":"R1","score":4', '{"review_id":"R2","score":"high"}', "null", '{"score":NaN}', "\ufeff{}"),
    )
    lines = [
        broken.get(place)
        or json.dumps(
            {"review_id": f"R{row}", "employee_id": who[0][place], "reviewer_id": who[1][place], "period": period}
            | {"score": score[place], "comments": comment[place], "reviewed_on": today.day.isoformat()}
            | ({"goals": {"learn": ["Excel", "日本語"], "by": 0.50}} if row % 3 else {}),
            ensure_ascii=bool(row % 2),
        )
        for place, row in enumerate(review.tolist())
    ]
    name = "performance_reviews" + (".jsonl", ".jsonl.gz", ".ndjson.zst", ".ndjson")[today.number * 7 // 6 % 4]
    content = b"" if today.number % 17 == 3 else ("\n".join(lines) + "\n").encode()
    key, packed = f"hr-export/performance_reviews/{today.day}/{name}", _packed(name, content)
    yield from _put(
        key, _at(today.day, 3), packed, number=today.number if ".ndjson.zst" in name or ".gz" in name else 1
    )


def _transactions(today: _Day) -> Iterator[ExportedFile]:
    posting = _rows(today.number, 80 * today.scale)
    cents = below("posting.amount", posting, 90_000_000) - 45_000_000
    columns = {
        "transaction_id": padded("T", posting, 9),
        "account_code": padded("", below("posting.account", posting, 80) * 100, 4),
        "posted_at": instants(micros(_at(today.day, 0)) - below("posting.at", posting, DAY)),
        "amount": money(cents, 18),
        "currency": choose(people.CURRENCIES, below("posting.currency", posting, len(people.CURRENCIES))),
        "document_id": nulled(padded("PO-", posting // 3, 8), posting % 5 == 3),
        "memo": choose(("Wareneingang", "Correction, see mail", "支払い", None), below("posting.memo", posting, 4)),
        "reversed": flags(posting % 67 == 9),
    }
    match today.number % 4:
        case 1:  # another program's export: its own order and capitals, amounts as text, some of them none
            columns["amount"] = replaced(columns["amount"].cast(pa.string()), posting % 43 == 5, "n/a")
            columns = {name.upper(): columns[name] for name in reversed(columns)}
        case 2:  # whole currency units as narrow integers, more digits of an instant, another column
            columns["amount"] = integers(cents // 100, pa.int32())
            columns["posted_at"] = columns["posted_at"].cast(pa.timestamp("ns", tz="UTC"))
            columns["batch"] = integers(posting % 7, pa.int8())
        case 3:  # more digits than a posting may have
            columns["amount"] = money(cents * 1000 + np.where(posting % 43 == 5, 1, 0), 24, 5)
    key = f"accounting/transactions/{today.day}/transactions.parquet"
    yield from _put(key, _at(today.day, 4), _parquet(columns), number=today.number)


def _parquet(columns: dict[str, pa.Array]) -> bytes:
    import pyarrow.parquet as pq

    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(list(columns.values()), list(columns)), out, compression="zstd")
    return bytes(out.getvalue().to_pybytes())


def _gl_accounts(today: _Day) -> Iterator[ExportedFile]:
    account = np.arange(80, dtype=np.int64)
    code = padded("", account * 100, 4)
    content = _csv(
        {
            "name": joined(choose(("Bank", "Löhne", "Umsatz", "Miete, Büro"), account % 4), " ", code),
            "account_code": code,
            "type": choose(_ACCOUNTS, account // 16),
            "parent_code": nulled(padded("", account // 10 * 1000, 4), account % 10 == 0),
            "currency": choose(("EUR", "USD", "eur"), account % 3),
            "active": choose(("true", "false", "TRUE"), below("account.active", account + today.number, 3)),
        },
        _broken(account + today.number, 79, ("Kasse,0100,ASSET,,EUR,perhaps", "Kasse,0100")),
    )
    name = "gl_accounts.csv" + (".gz", ".zst", "")[today.number // 6 % 3]
    key = f"accounting/gl_accounts/{today.day}/{name}"
    yield from _put(
        key, _at(today.day, 4), _packed(name, content), number=today.number if name != "gl_accounts.csv" else 1
    )


def _articles(shop: Shop, article: Ints, vendor: int, day: date) -> Iterator[dict[str, object]]:
    """One vendor's catalogue; no two records have quite the same fields."""
    existing = int(shop.products.existing(np.array([micros(_at(day, 0))]))[0])
    cents = below("article.cost", article, 2_000_000).tolist()
    told = iso_millis(micros(_at(day, 0)) - below("article.updated", article, 30 * DAY)).to_pylist()
    product = product_ids(below("article.product", article, existing)).to_pylist()
    thing = choose(names.THINGS, below("article.thing", article, len(names.THINGS))).to_pylist()
    for place, row in enumerate(article.tolist()):
        yield {
            "vendor_id": f"V{vendor:04d}",
            "vendor_sku": f"{vendor}-{row:09d}",
            "product_id": product[place] if row % 9 else None,
            "name": thing[place],
            "unit_cost": f"{cents[place] // 100}.{cents[place] % 100:02d}" if row % 2 else cents[place] // 100,
            "currency": "EUR",
            "available": row % 7 != 2,
            **({"pack_size": 1 + row % 12, "lead_time_days": row % 40} if row % 5 else {}),
            **({"attributes": {"colour": ["red", "grün"], "weight_kg": 0.250}} if row % 3 else {}),
            "updated_at": told[place],
        }


def _vendor_products(today: _Day) -> Iterator[ExportedFile]:
    article = _rows(today.number, 45 * today.scale)
    broken = _broken(
        article,
        41,
        ('"sold out"', '{"vendor_id":"V0001","unit_cost":"on request"}', '{"unit_cost":1.23456}', "null", "[]"),
    )
    told = [
        json.dumps(each, ensure_ascii=bool(today.number % 2))
        for each in _articles(today.shop, article, today.number % 5 + 1, today.day)
    ]
    listed = [broken.get(place, text) for place, text in enumerate(told)]
    content = ("[" + ",\n ".join(listed) + "]\n").encode("utf-8-sig" if today.number % 5 == 2 else "utf-8")
    name = "catalogue.json" + ("", ".gz", ".zst")[today.number // 6 % 3]
    # Packed only once it was cut off: such a file is unpacked without fault and is no JSON.
    cut = content[: len(content) * 2 // 3]
    key = f"vendor/products/{today.day}/{name}"
    if today.number % _DAMAGED_EVERY:
        yield ExportedFile(key, _at(today.day, 5), _packed(name, content))
    else:
        yield ExportedFile(key, _at(today.day, 5), _packed(name, cut))
        yield ExportedFile(key, _at(today.day, 5) + _MENDED_AFTER, _packed(name, content))


def _vendor_offer(today: _Day) -> Iterator[ExportedFile]:
    """A small vendor offers one article at a time."""
    (article,) = _articles(today.shop, np.array([today.number], dtype=np.int64), 77, today.day)
    content = json.dumps(article, ensure_ascii=False, indent=2).encode()
    yield ExportedFile(f"vendor/products/{today.day}/offer.json", _at(today.day, 5), content)
