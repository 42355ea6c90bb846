"""Every deliberate error of Headwater.

    HeadwaterError
    ├── ConfigurationError        a setting, contract or secret is wrong: fix a file, run again
    ├── SourceError
    │   ├── SourceUnavailable     a source did not answer: a retry may help
    │   └── SourceRejected        a source refused us or shows what the contract does not allow: a retry does not help
    ├── CommitRefused             another writer committed this span first: look again at what is left to do
    ├── TableIsHeld               another run works on the table and did not end in time
    ├── StateUnavailable          the state store did not answer: the tables know how far they are
    ├── MaskedOtherwise           a table stands with another key or other rules than the settings have: rebuild it
    ├── BalanceBroken             rows of a batch have no end, or more than one
    ├── GateFailed                a critical check failed, raised or was not evaluated: nothing was published
    ├── NothingToAccept           no batch waits that failed the rule in that run: look at what the newest run refused
    ├── LakeError                 the lake's own files say something that they must not
    └── SandboxError              a stand-in does not start, stop or answer

A message says what happened, where, and how to fix it, in one sentence or two, and never holds a credential.
"""

import errno
import traceback
from pathlib import Path

EXIT_INTERRUPTED = 130
"""How a command that somebody ended exits, and what the ledger keeps of it."""


class HeadwaterError(Exception):
    """The root: anything below it is shown to people as its message alone."""


class ConfigurationError(HeadwaterError):
    """A setting, contract or secret is wrong; names the file and the key."""


class SourceError(HeadwaterError):
    """Reading a source failed; names the source."""

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"{source}: {message}")
        self.source = source
        self.said = message


class SourceUnavailable(SourceError):
    """The source did not answer, or not in time: the run retries.

    `whole` is false where that says nothing of the source's other tables, `tried` true where it was asked again already.
    """

    def __init__(self, source: str, message: str, retry_after_s: float | None = None, *, whole: bool = True) -> None:
        super().__init__(source, message)
        self.retry_after_s = retry_after_s
        self.whole = whole
        self.tried = False


class SourceRejected(SourceError):
    """The source refused the login, the right or the query: retrying does not help.

    `whole` is true where it is the login, which is the same for all of the source's tables.
    """

    def __init__(self, source: str, message: str, *, whole: bool = False) -> None:
        super().__init__(source, message)
        self.whole = whole


class CommitRefused(HeadwaterError):
    """A commit's version is not above the one the table records: its span is done by somebody else."""


class TableIsHeld(HeadwaterError):
    """Another run holds the table's lease for longer than we wait; names the run."""


class StateUnavailable(HeadwaterError):
    """The state store did not answer or can't be written; names its place."""


class MaskedOtherwise(HeadwaterError):
    """A table stands with another masking key or other masking rules than the settings have; says how to rebuild it."""


class BalanceBroken(HeadwaterError):
    """The rows that went in are not the rows that came to an end."""


class GateFailed(HeadwaterError):
    """A critical check failed, raised or was not evaluated: the table keeps its version."""


class NothingToAccept(HeadwaterError):
    """What somebody wants to accept did not fail, was not judged, or is not what a run would publish now."""


class LakeError(HeadwaterError):
    """A table of the lake is not as Headwater left it."""


class SandboxError(HeadwaterError):
    """A stand-in does not start, stop or answer."""


def unexpected(error: BaseException) -> str:
    """What may be said of an error that nobody raised on purpose: its type, and where it came from.

    What it says itself may hold the value of a row or a credential, so it is said nowhere.
    """
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (type(error).__name__, error.strerror, error.filename) if part)
    frames = [each for each in traceback.extract_tb(error.__traceback__) if f"{_HERE}/" in each.filename]
    where = f" in {Path(frames[-1].filename).relative_to(_HERE.parent)}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where} ({_NOT_SHOWN})"


def traced(error: BaseException) -> str:
    """Where an error came from, and those that led to it; only deliberate ones say what they say."""
    parts: list[str] = []
    each: BaseException | None = error
    seen = set[int]()
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        said = str(each) if isinstance(each, HeadwaterError) else f"({_NOT_SHOWN})"
        head, frames = "Traceback (most recent call last):\n", "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"{head}{frames}{type(each).__module__}.{type(each).__qualname__}: {said}\n")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\nwhich led to:\n\n".join(reversed(parts))


_HERE = Path(__file__).parent
_NOT_SHOWN = "what it says is not shown: it may hold values of rows or credentials"


def disk_is_full(error: BaseException, place: object) -> str:
    """What to do if an error comes of a full disk, whichever library met it; empty for any other."""
    said = str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or any(words in said for words in _NO_SPACE):
        return f"the disk is full at {place}: make room there and run again; nothing half-written counts"
    return ""


_NO_SPACE = ("No space left on device", "os error 28")
