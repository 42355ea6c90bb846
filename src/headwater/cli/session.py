"""What the commands share: options, settings, contracts, the log file, and how Headwater is called."""

import logging
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from headwater.config import Settings
    from headwater.contracts import Contracts
    from headwater.observe.refusal import Advice

DEFAULT_CONFIG = Path("config/local.yaml")
_LOGS_KEPT = 50

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Session:
    """One call of the command line; settings and contracts are read when first asked for."""

    def __init__(self) -> None:
        self.config = DEFAULT_CONFIG
        self.verbosity = 0
        self.debug = False
        self._log: Path | None = None

    @property
    def quiet(self) -> bool:
        return self.verbosity < 0

    @cached_property
    def settings(self) -> "Settings":
        """The effective settings; from here on warnings and errors also go to a log file below the state folder."""
        from headwater.config import load_settings

        settings = load_settings(self.config)
        self._log = self._log or _start_log(settings.state / "logs", self.verbosity, careful=settings.masking.any)
        return settings

    @cached_property
    def contracts(self) -> "Contracts":
        """The contracts; settings that name no Bronze table of theirs are refused here."""
        from headwater.contracts import project_contracts
        from headwater.errors import ConfigurationError

        contracts = project_contracts(self.settings)
        bronze = [name for name, contract in contracts.items() if contract.layer == "bronze"]
        for name in self.settings.tables:
            if name not in bronze:
                place = self.settings.origin(f"tables.{name}")
                raise ConfigurationError(f"{place}: tables.{name} is not a Bronze table{nearest(name, bronze)}")
        return contracts

    def reload(self) -> "Settings":
        """Read the settings again, after the sandbox has said where its stand-ins are."""
        self.__dict__.pop("settings", None)
        self.__dict__.pop("contracts", None)
        return self.settings

    def record(self, error: Exception) -> Path | None:
        """Write an error with its traceback to the log file and say where that is; None without settings."""
        if self._log is None:
            return None
        from headwater.errors import HeadwaterError, unexpected

        said = str(error) if isinstance(error, HeadwaterError) else unexpected(error)
        logging.getLogger("headwater").error("%s", said, exc_info=error, extra={"told": True})
        return self._log if self._log.exists() else None

    @property
    def command(self) -> str:
        """How this program is called in a fresh shell: by its name if that finds it, else by its path."""
        return _command(Path(sys.argv[0]), Path(sys.prefix))

    @property
    def options(self) -> str:
        """What a later command must be given to mean the same project; empty for the default."""
        return "" if self.config == DEFAULT_CONFIG else f" --config {shlex.quote(str(self.config))}"

    @property
    def advice(self) -> "Advice":
        """What commands advise with."""
        from headwater.observe.refusal import Advice

        return Advice(self.command, self.options, nearby(self.settings.dq))


def nearby(path: Path) -> str:
    """A path as it is shortest from here."""
    return str(path.relative_to(Path.cwd()) if path.is_absolute() and path.is_relative_to(Path.cwd()) else path)


def _command(script: Path, prefix: Path) -> str:
    """A name found outside this environment's own `bin` is found in every shell; inside it, only where it is active."""
    own = prefix / "bin"
    found = shutil.which("headwater", path=os.pathsep.join(each for each in os.get_exec_path() if Path(each) != own))
    if found and script.name == "headwater" and Path(found).resolve() == script.resolve():
        return "headwater"
    called = script.absolute() if script.name == "headwater" else own / "headwater"
    here = Path.cwd()
    return shlex.quote(str(called.relative_to(here) if called.is_relative_to(here) else called))


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean …?`, or what is known, as the end of a sentence."""
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"


def why_option(kept: str) -> Callable[[_Function], _Function]:
    """`--why`, which must be given, not be blank and name no contact; `kept` is what becomes of the reason."""
    return click.option("--why", required=True, callback=_reason, help=f"The reason, {kept}.")


def _reason(_context: click.Context, _parameter: click.Parameter, why: str) -> str:
    if not why.strip():
        raise click.BadParameter("it is empty; say why, for whoever comes upon it later")
    from headwater.masking.embedded import without_contacts_in

    if without_contacts_in(why) != why:
        raise click.BadParameter("it is kept, and read by many: say it without an e-mail address or phone number")
    return why.strip()


def confirm(question: str) -> None:
    """Go on only with a yes.

    Raises:
        UsageError: nobody is there to answer.
        Exit: the answer is no.
    """
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        raise click.UsageError("nobody answered, and nothing was done; --yes does it without asking") from None
    if not agreed:
        click.echo("nothing was done", err=True)
        raise click.exceptions.Exit(1)


def say_waiting(holder: object) -> None:
    """Say for whom a command waits."""
    click.echo(f"waiting for {holder}", err=True)


def known_table(session: Session, table: str) -> str:
    """The bare name of a table that is named with or without its layer, or as what it refused.

    Raises:
        ConfigurationError: no contract describes it.
    """
    from headwater.errors import ConfigurationError

    names = {name: name for name in session.contracts} | {each.table: each.name for each in session.contracts.values()}
    table = table.removeprefix("quarantine.").removeprefix("rejects.")
    if table not in names:
        raise ConfigurationError(f"no contract describes a table {table}{nearest(table, sorted(names))}")
    return names[table]


def common_options(function: _Function) -> _Function:
    """The options that every command takes, before or after its name."""

    def keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def callback(context: click.Context, _parameter: click.Parameter, value: Any) -> None:
            session = context.ensure_object(Session)
            if name == "verbosity":
                session.verbosity += value
            elif value:
                setattr(session, name, value)

        return callback

    def negative(context: click.Context, _parameter: click.Parameter, value: int) -> None:
        context.ensure_object(Session).verbosity -= value

    for option in (
        click.option("--debug", is_flag=True, expose_value=False, callback=keep("debug"), help="Show tracebacks."),
        click.option("-q", "--quiet", count=True, expose_value=False, callback=negative, help="Say less."),
        click.option("-v", "--verbose", count=True, expose_value=False, callback=keep("verbosity"), help="Say more."),
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            expose_value=False,
            callback=keep("config"),
            help="The config file [default: config/local.yaml].",
        ),
    ):
        function = option(function)
    return function


class InstantType(click.ParamType[datetime]):
    """An instant such as 2024-11-02 or 2024-11-02T10:00:00Z; UTC unless it says otherwise."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            at = datetime.fromisoformat(str(value).strip())
        except ValueError:
            self.fail(f"{value!r} is not an instant such as 2024-11-02 or 2024-11-02T10:00:00Z", param, ctx)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def now() -> datetime:
    """The one place where the wall clock is read."""
    return datetime.now(UTC)


class _ToStderr(logging.Handler):
    """Log records as lines for people; what the door itself says is left to it."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "told", False):
            click.echo(f"{record.levelname.lower()}: {self.format(record)}", err=True)


class _Traced(logging.Formatter):
    """Shows where an error came from without what it says, which may hold values of rows or credentials."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name is logging's
        from headwater.errors import traced

        return traced(ei[1]).rstrip("\n")


class _Careful(_Traced):
    """Writes no e-mail address and no phone number, which a traceback or a source's message may hold."""

    def format(self, record: logging.LogRecord) -> str:
        from headwater.masking.embedded import without_contacts_in

        return without_contacts_in(super().format(record))


class _Brief(logging.Formatter):
    """The message alone, for people."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


class _BriefAndCareful(_Careful, _Brief):
    """Both."""


def _start_log(folder: Path, verbosity: int, *, careful: bool) -> Path:
    """Send our records, and others' warnings, to a file that exists once there is something to write.

    Where masking is set, what they say is `careful` of contacts.
    """
    log = folder / f"{now():%Y%m%dT%H%M%SZ}-{os.getpid()}.log"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.log"))[:-_LOGS_KEPT]:
        old.unlink(missing_ok=True)
    logging.raiseExceptions = False  # a log that can't be written, as on a full disk, is no news beside its reason
    to_file = logging.FileHandler(log, encoding="utf-8", delay=True)
    written = _Careful if careful else _Traced
    to_file.setFormatter(written("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root, ours = logging.getLogger(), logging.getLogger("headwater")
    root.addHandler(to_file)
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.DEBUG if verbosity > 0 else logging.INFO)
    to_people = _ToStderr(logging.DEBUG if verbosity > 0 else logging.ERROR if verbosity < 0 else logging.WARNING)
    to_people.setFormatter(_BriefAndCareful() if careful else _Brief())
    ours.addHandler(to_people)
    logging.captureWarnings(True)
    return log
