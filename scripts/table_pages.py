"""Write docs/tables/: what every table holds and where it comes from, out of the contracts and the code.

    .venv/bin/python -m scripts.table_pages

Run it after a contract, or a function's parameters, changed; a test says when that was forgotten.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from headwater.contracts import Column, Contract, Contracts, load_contracts
from headwater.extract import EXTRACTORS
from headwater.transform.table import TableFunction, load_tables

PROJECT = Path(__file__).parent.parent
FOLDER = PROJECT / "docs" / "tables"
LAYERS = {
    "bronze": "What the sources told, each version of a row once. A column that is required must be there at the source; its "
    "values may be missing. Every table has five more columns: `_ingest_ts`, `_source`, `_run_id`, `_row_id` and "
    "`_ingest_date` (`../semantics.md`).",
    "silver": "One row for each key: the newest version that breaks no rule. `../rules.md` says how each column is computed.",
    "gold": "What people ask for, computed from Silver. `../rules.md` says how.",
}
_PLACES = ("TABLES", "OBJECTS", "TOPICS", "FOLDERS")
"""The names under which an extractor's module says where each of its tables is at the source."""


def pages(contracts: Contracts, functions: Mapping[str, TableFunction]) -> dict[str, str]:
    """The text of each page by its file's name."""
    return {f"{layer}.md": "\n".join(_page(layer, contracts, functions)) + "\n" for layer in LAYERS}


def _page(layer: str, contracts: Contracts, functions: Mapping[str, TableFunction]) -> Iterator[str]:
    tables = [contract for contract in contracts.values() if contract.layer == layer]
    yield f"# {layer.title()}"
    yield ""
    yield LAYERS[layer]
    yield ""
    yield "This page is made by `python -m scripts.table_pages` from `config/contracts/`; changes belong there."
    yield ""
    yield "| table | what it holds | owner |"
    yield "|---|---|---|"
    for contract in tables:
        yield f"| [{contract.name}](#{contract.name}) | {_cell(contract.description)} | {contract.owner} |"
    for contract in tables:
        yield from _table(contract, contracts, functions)


def _table(contract: Contract, contracts: Contracts, functions: Mapping[str, TableFunction]) -> Iterator[str]:
    yield ""
    yield f"## {contract.name}"
    yield ""
    yield contract.description
    yield ""
    yield f"- Comes from {_origin(contract, contracts, functions)}"
    yield f"- Lies in `{contract.path}`" + (
        f", partitioned by {_names(contract.partition_by)}" if contract.partition_by else ""
    )
    if contract.key:
        yield f"- Key: {_names(contract.key)}"
    if contract.cursor:
        yield f"- Newer is the greater `{contract.cursor}`" + (
            f", then the greater `{contract.tie_break}`" if contract.tie_break else ""
        )
    if contract.deletion:
        yield f"- A version whose `{contract.deletion}` is true is the deletion of its key"
    yield ""
    yield "| column | type | required | rules | classified | meaning |"
    yield "|---|---|---|---|---|---|"
    for column in contract.columns:
        marks = ["key" if column.name in contract.key else "yes" if column.required else "", _rules(contract, column)]
        cells = [f"`{column.name}`", column.type, *marks, column.classification or "", column.description]
        yield "| " + " | ".join(map(_cell, cells)) + " |"


def _origin(contract: Contract, contracts: Contracts, functions: Mapping[str, TableFunction]) -> str:
    if contract.layer == "bronze":
        source = EXTRACTORS[contract.name]
        module = sys.modules[source.extractor.__module__]
        place = next(
            getattr(module, each)[contract.name] for each in _PLACES if contract.name in getattr(module, each, ())
        )
        return f"the source `{source.name}`: `{place}`"
    inputs = (contracts[name] for name in functions[contract.name].inputs)
    return ", ".join(f"[{each.name}]({each.layer}.md#{each.name})" for each in inputs)


def _rules(contract: Contract, column: Column) -> str:
    told = [*column.bounds, *column.lengths, *(["unique"] if column.unique else [])]
    told += [f"one of {', '.join(column.allowed)}"] if column.allowed else []
    told += [f"matches `{column.pattern}`"] if column.pattern else []
    keys = [key for key in contract.foreign_keys if key.column == column.name]
    return "; ".join([*told, *(f"in [{key.parent}](#{key.parent}).{key.parent_column}" for key in keys)])


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f"`{each}`" for each in columns)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages(load_contracts(PROJECT / "config" / "contracts"), load_tables()).items():
        page = FOLDER / name
        changed = not page.exists() or page.read_text(encoding="utf-8") != text
        page.write_text(text, encoding="utf-8")
        print(f"docs/tables/{name}: {'written anew' if changed else 'as it was'}")


if __name__ == "__main__":
    main()
