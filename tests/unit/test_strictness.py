"""The switch of the continuous integration: no test may quietly not run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

SKIPPED = "import pytest\n@pytest.mark.skip(reason='later')\ndef test_a(): pass\ndef test_b(): pass\n"
XFAILED = "import pytest\n@pytest.mark.xfail\ndef test_a(): assert False\ndef test_b(): pass\n"
MODULE = "import pytest\npytest.importorskip('no_such_module')\n"
PARALLEL = ("-p", "xdist", "-n", "2")
GOOD = "def test_a(): pass\ndef test_b(): pass\n"


def run_pytest(folder: Path, text: str, ci: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "tests.plugins.strict", "-p", "no:cacheprovider", "-q", *options]
    environment = os.environ | {"HEADWATER_CI": ci, "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        [*command, "--rootdir", str(folder), "-c", os.devnull, str(folder)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        (SKIPPED, (), "skipped: test_it.py::test_a"),
        (XFAILED, (), "xfailed: test_it.py::test_a"),
        (MODULE, (), "skipped: test_it.py"),
        (GOOD, ("-k", "test_b"), "deselected: test_it.py::test_a"),
        (SKIPPED, PARALLEL, "skipped: test_it.py::test_a"),
        (MODULE, PARALLEL, "skipped: test_it.py"),
        (GOOD, (*PARALLEL, "-k", "test_b"), "deselected: test_it.py::test_a"),
    ],
)
def test_a_test_that_does_not_run_fails_the_run_in_ci_only(
    tmp_path: Path, text: str, options: tuple[str, ...], complaint: str
) -> None:
    in_ci = run_pytest(tmp_path, text, "1", *options)
    elsewhere = run_pytest(tmp_path, text, "", *options)

    assert in_ci.returncode == 1
    assert complaint in in_ci.stdout
    assert elsewhere.returncode in (0, 5)
    assert "HEADWATER_CI" not in elsewhere.stdout


def test_a_run_of_all_tests_passes_in_ci(tmp_path: Path) -> None:
    assert run_pytest(tmp_path, GOOD, "1").returncode == 0
