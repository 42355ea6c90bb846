"""Whatever breaks the gate closes it: nothing is published, what is wrong is named, and mended it opens again."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.tiny import T1, VERSIONS, Lake, clean_environment, customer, merged, write_tiny
from tests.versions import T0

from headwater import sandbox
from headwater.sandbox import Status

pytestmark = pytest.mark.slow

HEADWATER = Path(sys.prefix) / "bin" / "headwater"
SELECT = "snowflake_customers,customers"


@dataclass(frozen=True)
class Breakage:
    """What breaks the gate: other limits, their file gone, a path that Python looks in first, or the lake's evidence.

    `rule` is the check that fails, where the gate got so far; `says` is on the terminal.
    """

    says: str
    limits: Mapping[str, Any] = field(default_factory=dict)
    spoil: Callable[[Lake], None] | None = None
    rule: str | None = None


def of_customers(**limits: Any) -> dict[str, Any]:
    return {"tables": {"silver.customers": limits}}


def expecting(sql: str) -> dict[str, Any]:
    return of_customers(expectations={"mine": {"sql": sql, "severity": "warning"}})


def without_limits(lake: Lake) -> None:
    (lake.folder / "config" / "dq.yaml").unlink()


def without_great_expectations(lake: Lake) -> None:
    package = lake.folder / "first" / "great_expectations"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('great_expectations is damaged')\n", encoding="utf-8")


def without_evidence(lake: Lake) -> None:
    folder = lake.folder / "lake" / "_dq_results"
    folder.rename(lake.folder / "evidence")
    folder.write_text("", encoding="utf-8")


BREAKAGES = {
    "a query that raises": Breakage(
        "no such currency", expecting("SELECT raise_error('no such currency') FROM candidate"), rule="expectation:mine"
    ),
    "a query over a misspelt column": Breakage(
        "contry", expecting("SELECT count(*) FROM candidate WHERE contry IS NULL"), rule="expectation:mine"
    ),
    "a misspelt column": Breakage(
        "contry is no column of silver.customers; did you mean country?",
        of_customers(missing={"max_share": {"contry": 0.1}}),
    ),
    "a misspelt severity": Breakage(
        "missing.severity: Input should be 'critical' or 'warning'", of_customers(missing={"severity": "critcal"})
    ),
    "no limits": Breakage("dq.yaml: cannot read the gate's limits", spoil=without_limits),
    "checks that do not end": Breakage("the checks did not end", {"timeout": "0s"}, rule="gate:timeout"),
    "Great Expectations that cannot be imported": Breakage(
        "great_expectations is damaged", spoil=without_great_expectations, rule="gate:error"
    ),
    "evidence that cannot be written": Breakage("_dq_results", spoil=without_evidence),
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny shop with one customer."""
    rows = [customer("C1"), customer("C1", T1, country="FR")]
    versions = VERSIONS | {"snowflake/CUSTOMERS": (VERSIONS["snowflake/CUSTOMERS"][0], rows)}
    return write_tiny(tmp_path_factory.mktemp("dataset") / "tiny", versions, None, None)


@pytest.fixture(scope="module")
def published(sources: Status, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with one version of its customers, and a newer one at the source."""
    lake = Lake.beside(sources, tmp_path_factory.mktemp("lake") / "lake")
    assert run(lake, T0.isoformat()).returncode == 0
    sandbox.advance(sources.connections.parent, T1 + (T1 - T0))
    return lake


def run(lake: Lake, at: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HEADWATER, "run", "--config", lake.config, "--select", SELECT, "--at", at],
        cwd=lake.folder,
        env=clean_environment(PYTHONPATH=str(lake.folder / "first")),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.parametrize("name", BREAKAGES)
def test_what_breaks_the_gate_closes_it_and_what_mends_it_opens_it(published: Lake, tmp_path: Path, name: str) -> None:
    breakage, lake = BREAKAGES[name], Lake(tmp_path / "lake")
    shutil.copytree(published.folder, lake.folder)
    standing = lake.table("silver/customers").version()
    limits = lake.folder / "config" / "dq.yaml"
    good = limits.read_text(encoding="utf-8")
    limits.write_text(yaml.safe_dump(merged(yaml.safe_load(good), breakage.limits)), encoding="utf-8")
    if breakage.spoil is not None:
        breakage.spoil(lake)
    at = (T1 + (T1 - T0)).isoformat()

    closed = run(lake, at)

    assert closed.returncode != 0
    assert breakage.says in closed.stderr + closed.stdout
    assert lake.table("silver/customers").version() == standing
    if breakage.rule is not None:
        assert closed.returncode == 2
        failed = {
            row["rule"] for row in lake.rows("_dq_results") if row["severity"] == "critical" and not row["success"]
        }
        assert failed == {breakage.rule}

    mend(lake, good)
    opened = run(lake, at)
    assert opened.returncode == 0, opened.stderr
    assert lake.table("silver/customers").version() == standing + 1
    assert [row["country"] for row in lake.rows("silver/customers")] == ["FR"]


def mend(lake: Lake, limits: str) -> None:
    (lake.folder / "config" / "dq.yaml").write_text(limits, encoding="utf-8")
    shutil.rmtree(lake.folder / "first", ignore_errors=True)
    if (evidence := lake.folder / "evidence").exists():
        (lake.folder / "lake" / "_dq_results").unlink()
        evidence.rename(lake.folder / "lake" / "_dq_results")
