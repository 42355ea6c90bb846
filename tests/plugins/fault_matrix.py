"""Prints the matrix of faults after the tests that tried them, whichever process ran these."""

import pytest

CELL = "fault"
"""The property by which a test tells its fault, source and answer."""

_answers: dict[tuple[str, str], str] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    for name, value in report.user_properties:
        if name == CELL and report.when == "call":
            fault, source, answer = value
            _answers[fault, source] = answer


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _answers:
        return
    from tests.chaos.faults.matrix import told

    terminalreporter.section("what answered each fault of each source")
    for line in told(_answers):
        terminalreporter.write_line(line)
