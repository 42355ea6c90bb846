"""Datasets that exceed a limit of the gate: each limit that a dataset can exceed has one, which spoils what it says."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from headwater.cli.sandbox import sandbox
from headwater.contracts import Contracts
from headwater.errors import SandboxError
from headwater.quality.limits import load_limits
from headwater.quality.rules import rule_names
from headwater.sandbox.datasets import materialise
from headwater.sandbox.datasets.generated.excesses import BEYOND, EXCESSES, excess_of, name_of

SMALL = 0.05
CONFIG = Path(__file__).parents[2] / "config"


def limits(contracts: Contracts) -> list[str]:
    """Every critical limit of config/dq.yaml, by table and check."""
    found = []
    for name, table in load_limits(CONFIG / "dq.yaml", contracts).tables.items():
        rules = rule_names(contracts[name]) if contracts[name].layer == "silver" else ()
        checks = [*(f"refused:{rule}" for rule in rules), "volume", "volume:shrink"]
        checks += ["freshness"] * (table.freshness is not None) + ["unpriced"] * (table.unpriced is not None)
        checks += ["volume:day"] * (table.daily.column is not None)
        found += [f"{name} {check}" for check in checks]
    return found


def test_every_limit_is_exceeded_by_a_dataset_or_by_none_for_a_reason(contracts: Contracts) -> None:
    for limit in limits(contracts):
        reasons = [reason for pattern, reason in BEYOND.items() if re.fullmatch(pattern, limit)]
        assert limit in EXCESSES or reasons, limit
    assert set(EXCESSES) <= set(limits(contracts))


def test_every_reason_is_needed(contracts: Contracts) -> None:
    rest = [limit for limit in limits(contracts) if limit not in EXCESSES]
    assert [pattern for pattern in BEYOND if not any(re.fullmatch(pattern, limit) for limit in rest)] == []


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return materialise("generated", tmp_path_factory.mktemp("whole") / "generated", SMALL)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("limit", EXCESSES)
def test_what_is_spoilt_is_what_is_said(whole: Path, tmp_path: Path, limit: str) -> None:
    excess = EXCESSES[limit]
    for part in excess.parts:
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / f"{part}.parquet", tmp_path / f"{part}.parquet")
    if excess.lines:
        shutil.copytree(whole / "s3" / "objects", tmp_path / "s3" / "objects")
    before = contents(tmp_path)

    for part in excess.parts:
        excess.spoil(tmp_path, part)

    after = contents(tmp_path)
    changed = {name for name in after if after[name] != before[name]}
    lines = {"s3/objects/erp-export/inventory/2024-11-01/inventory.csv"} if excess.lines else set()
    assert changed - {"s3/files.parquet"} == ({f"{part}.parquet" for part in excess.files} | lines) - {
        "s3/files.parquet"
    }


def test_it_is_a_dataset_of_its_own(tmp_path: Path) -> None:
    limit = "orders refused:currency:required"
    name = name_of("generated", limit)
    folder = materialise(name, tmp_path / name, 0.01)

    about = yaml.safe_load((folder / "dataset.yaml").read_text("utf-8"))
    assert (about["name"], about["scale"]) == ("generated~orders-refused-currency-required", 0.01)
    assert limit in about["about"]
    assert excess_of("generated", "generated") is None
    with pytest.raises(SandboxError, match="there is no dataset 'generated~orders-refused'"):
        materialise("generated~orders-refused", tmp_path / "other", 0.01)


def test_the_command_line_shows_the_limits_and_refuses_others() -> None:
    listed = CliRunner().invoke(sandbox, ["up", "--trouble", "list"])
    assert listed.exit_code == 0
    assert "orders refused:currency:required\n" in listed.output
    assert "orders freshness (after 3 days)\n" in listed.output

    wrong = CliRunner().invoke(sandbox, ["up", "--trouble", "orders refused:currency"])
    assert wrong.exit_code == 2
    assert "did you mean 'orders refused:currency:required'?" in wrong.output
