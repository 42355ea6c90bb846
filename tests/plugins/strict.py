"""With HEADWATER_CI=1 a run is only good if every test was run and passed: nothing skipped, xfailed or deselected."""

import os
from collections.abc import Sequence
from typing import Any

import pytest

_NOT_RUN: list[str] = []


def _is_strict() -> bool:
    return os.environ.get("HEADWATER_CI", "") not in ("", "0")


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    _NOT_RUN.extend(f"deselected: {item.nodeid}" for item in items)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _NOT_RUN.append(f"skipped: {report.nodeid}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _NOT_RUN.append(f"{'xfailed' if hasattr(report, 'wasxfail') else 'skipped'}: {report.nodeid}")
    elif report.passed and hasattr(report, "wasxfail"):
        _NOT_RUN.append(f"xpassed: {report.nodeid}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear from a process that ran a part of the tests what it did not run; one that died says nothing any more."""
    told = getattr(node, "workeroutput", {})
    _NOT_RUN.extend(each for each in told.get("not_run", ()) if each not in _NOT_RUN)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not_run"] = _NOT_RUN
        return
    if _is_strict() and _NOT_RUN and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _is_strict() and _NOT_RUN:
        terminalreporter.section("HEADWATER_CI=1: these tests did not run, so this run fails", red=True, bold=True)
        for line in _NOT_RUN:
            terminalreporter.write_line(line)
