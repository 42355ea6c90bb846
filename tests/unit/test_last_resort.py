"""An error that nobody expected may hold the value of a row or a credential: people are told all but what it says."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.tiny import clean_environment

from headwater.contracts.types import arrow_type
from headwater.errors import LakeError, traced, unexpected

SAID = "Key (email)=(ada@example.com) exists; password hunter2-not-for-logs"
PARTS = ("ada@example.com", "hunter2-not-for-logs")
BROKEN = f"""
import os
import signal
import click
from headwater.cli import door
from headwater.cli.session import Session, common_options

@click.command()
@common_options
@click.pass_obj
def broken(session: Session) -> None:
    session.settings
    if {{brought_down}}:
        os.kill(os.getpid(), signal.SIGSEGV)
    try:
        raise KeyError({SAID!r})
    except KeyError as error:
        raise ValueError({SAID!r}) from error

door.headwater.add_command(broken)
door.main()
"""


def broken(folder: Path, *options: str, brought_down: bool = False) -> subprocess.CompletedProcess[str]:
    (folder / "config").mkdir(exist_ok=True)
    (folder / "config" / "local.yaml").write_text("engine: embedded\nstate: state\n", encoding="utf-8")
    told = [sys.executable, "-c", BROKEN.format(brought_down=brought_down), "broken", *options]
    return subprocess.run(told, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False)


@pytest.mark.parametrize("options", [(), ("--debug",), ("-v",)])
def test_an_unexpected_error_says_where_and_nothing_of_what_it_holds(tmp_path: Path, options: tuple[str, ...]) -> None:
    made = broken(tmp_path, *options)
    [log] = (tmp_path / "state" / "logs").glob("*.log")
    seen = made.stdout + made.stderr + log.read_text(encoding="utf-8")

    assert made.returncode == 1
    assert "headwater: a defect in Headwater, ValueError" in made.stderr
    assert "what it says is not shown: it may hold values of rows or credentials" in made.stderr
    assert "builtins.KeyError" in log.read_text(encoding="utf-8")
    assert not [part for part in PARTS if part in seen]


def test_a_library_that_brings_the_process_down_is_shown_at_work(tmp_path: Path) -> None:
    made = broken(tmp_path, brought_down=True)

    assert made.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in made.stderr
    assert "in broken" in made.stderr
    assert not [part for part in PARTS if part in made.stderr]


def test_where_it_came_from_is_told_with_the_line() -> None:
    with pytest.raises(KeyError) as elsewhere:
        {"nothing": 1}["ada@example.com"]  # type: ignore[index]
    with pytest.raises(ValueError, match="is not one of") as ours:
        arrow_type("ada@example.com")

    assert unexpected(elsewhere.value).startswith("KeyError (what it says is not shown")
    assert unexpected(ours.value).startswith("ValueError in headwater/contracts/types.py, line ")
    assert "ada@example.com" not in unexpected(elsewhere.value) + unexpected(ours.value) + traced(ours.value)[-200:]


def test_what_the_system_says_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Is a directory") as raised:
        tmp_path.read_bytes()

    assert unexpected(raised.value) == f"IsADirectoryError: Is a directory: {tmp_path}"


def test_deliberate_errors_say_what_they_say_and_what_led_to_them_does_not() -> None:
    error = LakeError("silver.orders is gone")
    error.__cause__ = ValueError(SAID)
    told = traced(error)

    assert "headwater.errors.LakeError: silver.orders is gone" in told
    assert "builtins.ValueError: (what it says is not shown" in told
    assert not [part for part in PARTS if part in told]
