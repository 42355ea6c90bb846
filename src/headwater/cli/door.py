"""The outermost door: commands are found here, and every error ends here as one sentence and an exit code.

Exit codes: 0 all well; 1 an error, or tables that are stale because a source did not answer; 2 the gate refused a
table; 64 the command line was not understood; 130 interrupted.
"""

import atexit
import faulthandler
import gc
import os
import re
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from headwater.cli.contract import contract
from headwater.cli.describe import describe
from headwater.cli.forget import forget
from headwater.cli.lake import query, status
from headwater.cli.project import check, config, doctor
from headwater.cli.quality import quality
from headwater.cli.quarantine import quarantine
from headwater.cli.reconcile import reconcile
from headwater.cli.run import run
from headwater.cli.runs import runs
from headwater.cli.sandbox import sandbox
from headwater.cli.session import Session, common_options
from headwater.cli.vacuum import vacuum
from headwater.cli.watermark import watermark
from headwater.errors import EXIT_INTERRUPTED, HeadwaterError, LakeError, disk_is_full, traced, unexpected

EXIT_ERROR = 1
EXIT_USAGE = 64

_GARBAGE = (100_000, 20, 20)
"""Python's own (700, 10, 10) look through a million objects again and again while libraries are imported."""


def _print_version(context: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        click.echo(f"headwater {version('headwater')}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Say the version."
)
@common_options
def headwater() -> None:
    """Six sources to Bronze, Silver and Gold.

    Exit codes: 0 all well, 1 an error or stale tables, 2 the gate refused a table, 64 wrong usage, 130 interrupted.
    """


for command in (
    *(run, status, describe, query, quality, runs, quarantine, watermark, reconcile, vacuum, forget, contract),
    *(check, doctor, config, sandbox),
):
    headwater.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    gc.set_threshold(*_GARBAGE)
    if sys.stderr is not None:
        faulthandler.enable()  # a library that brings the process down: in which lines of whose, and no values
    code = EXIT_ERROR

    @atexit.register  # the first to be registered here is the last to be called
    def leave() -> None:
        """Leave what the process holds to the system: to take it apart takes Python a second."""
        os._exit(code)

    code = ended(arguments)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if code == EXIT_INTERRUPTED or any(thread.daemon for thread in threading.enumerate()):
        os._exit(code)  # a thread that waits must not hold back the prompt, nor one that works see modules go
    sys.exit(code)


def ended(arguments: Sequence[str] | None = None) -> int:
    """Run one command and say its exit code."""
    session = Session()
    try:
        ended = headwater.main(arguments, prog_name="headwater", standalone_mode=False, obj=session)
        return ended if isinstance(ended, int) else 0
    except click.UsageError as error:
        error.show(sys.stderr)
        return EXIT_USAGE
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: nothing half-done counts; the same command goes on from here", err=True)
        return EXIT_INTERRUPTED
    except (BrokenPipeError, SystemExit):  # click ends so where nobody reads what is said any more
        return 0
    except HeadwaterError as error:
        return _told(error, str(error), session)
    except OSError as error:
        full = disk_is_full(error, error.filename or Path.cwd())
        return _told(LakeError(full), full, session) if full else _told(error, _defect(error), session)
    except Exception as error:  # noqa: BLE001 - the outermost door: whatever it is, people get a sentence
        return _told(error, _defect(error), session)


def _defect(error: Exception) -> str:
    return f"a defect in Headwater, {unexpected(error)}"


def _typeable(message: str, session: Session) -> str:
    """Commands that a message advises, as they can be typed in this folder, over the same project."""
    return re.sub(
        rf"(?<![\w/])headwater (?=(?:{'|'.join(headwater.commands)})\b)",
        lambda _: f"{session.command}{session.options} ",
        message,
    )


def _told(error: Exception, message: str, session: Session) -> int:
    click.echo(f"headwater: {_typeable(message, session)}", err=True)
    log = session.record(error)
    if log is not None:
        click.echo(f"log: {log}", err=True)
    if session.debug:
        click.echo(traced(error), err=True, nl=False)
    elif not isinstance(error, HeadwaterError):
        click.echo("the same command with --debug shows where", err=True)
    return EXIT_ERROR
