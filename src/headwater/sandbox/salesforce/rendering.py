"""Records as Salesforce writes them: JSON pages of the REST API, CSV files of the Bulk API.

Numbers with a fraction are spelled as Java spells a double (`15000.0`, `3.5E8`), with every digit of the decimal.
"""

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from headwater.sandbox.salesforce.org import Field, Records

_DOUBLES = {"currency", "percent", "double"}


def json_page(records: Records, begin: int, end: int, api_path: str) -> str:
    """The records `[begin, end)` as a JSON array; `api_path` begins each record's own address."""
    page = records.rows.slice(begin, end - begin)
    columns = [_json_column(field, page.column(at)) for at, field in enumerate(records.fields)]
    names = [json.dumps(field.name) for field in records.fields]
    if records.ids is None:
        heads = ['"attributes":{"type":"AggregateResult"}'] * len(page)
    else:
        kind = json.dumps(records.object.name)
        address = f"{api_path}/sobjects/{records.object.name}/"
        ids = records.ids.slice(begin, end - begin).to_pylist()
        heads = [f'"attributes":{{"type":{kind},"url":{json.dumps(address + each)}}}' for each in ids]
    rows = zip(heads, *columns, strict=True)
    return "[" + ",".join("{" + ",".join(_members(names, row)) + "}" for row in rows) + "]"


def _members(names: list[str], row: tuple[str, ...]) -> Iterator[str]:
    yield row[0]
    for name, value in zip(names, row[1:], strict=True):
        yield f"{name}:{value}"


def _json_column(field: Field, values: pa.ChunkedArray) -> list[str]:
    if field.kind == "datetime":
        values = _instants(values, "+0000")
    elif field.kind == "date":
        values = values.cast(pa.string())
    elif field.kind in _DOUBLES:
        return ["null" if value is None else java_double(value) for value in values.to_pylist()]
    return [json.dumps(value) for value in values.to_pylist()]


def csv_page(records: Records, begin: int, end: int, delimiter: str, line_ending: str) -> bytes:
    """The records `[begin, end)` as CSV with a header; every value is in quotes, an empty field is `""`."""
    page = records.rows.slice(begin, end - begin)
    columns = [_csv_column(field, page.column(at)) for at, field in enumerate(records.fields)]
    names = [field.name for field in records.fields]
    if line_ending == "CRLF":
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
        writer.writerow(names)
        writer.writerows(zip(*(column.to_pylist() for column in columns), strict=True))
        return text.getvalue().encode()
    sink = io.BytesIO()
    options = pacsv.WriteOptions(delimiter=delimiter, quoting_style="all_valid")
    pacsv.write_csv(pa.table(columns, names), sink, options)
    return sink.getvalue()


def _csv_column(field: Field, values: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    if field.kind == "datetime":
        values = _instants(values, "Z")
    elif field.kind in _DOUBLES:
        values = pa.array([None if value is None else java_double(value) for value in values.to_pylist()], pa.string())
    else:
        values = values.cast(pa.string())
    return pc.fill_null(values, "")


def _instants(values: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    return pc.strftime(values.cast(pa.timestamp("ms")), "%Y-%m-%dT%H:%M:%S" + zone)


def java_double(value: Decimal | float) -> str:
    """The number as `Double.toString` spells it, without losing a digit: plain from 0.001 up to 10 000 000."""
    number = Decimal(str(value))
    if number == 0:
        return "0.0"
    number = number.normalize()
    exponent = number.adjusted()
    if -3 <= exponent < 7:
        plain = format(number, "f")
        return plain if "." in plain else plain + ".0"
    sign = "-" if number < 0 else ""
    digits = "".join(map(str, number.as_tuple().digits))
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{exponent}"


def described(field: Field) -> dict[str, Any]:
    """One field as the describe call shows it."""
    lengths = {"id": 18, "reference": 18, "string": 255, "picklist": 255, "email": 80, "phone": 40, "textarea": 255}
    xml = {"currency": "double", "percent": "double", "datetime": "dateTime", "id": "ID", "reference": "ID"}
    simple = {"picklist": "string", "email": "string", "phone": "string", "textarea": "string"}
    required = field.kind in {"id", "boolean"} or field.name in {"CreatedDate", "LastModifiedDate", "SystemModstamp"}
    soap = {"id": "tns:ID", "reference": "tns:ID"}
    return {
        "name": field.name,
        "label": field.name,
        "type": field.kind,
        "soapType": soap.get(field.kind, "xsd:" + (xml | simple).get(field.kind, field.kind)),
        "length": lengths.get(field.kind, 0),
        "byteLength": 3 * lengths.get(field.kind, 0),
        "precision": field.precision or (18 if field.kind in _DOUBLES else 0),
        "scale": field.scale,
        "nillable": not required,
        "filterable": True,
        "sortable": True,
        "groupable": field.kind not in _DOUBLES | {"datetime", "textarea"},
        "createable": False,
        "updateable": False,
        "custom": False,
        "relationshipName": field.name.removesuffix("Id") if field.kind == "reference" else None,
        "referenceTo": field.refers_to,
        "polymorphicForeignKey": len(field.refers_to) > 1,
        "picklistValues": [],
    }
