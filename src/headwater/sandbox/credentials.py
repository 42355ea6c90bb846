"""Generated secrets of the stand-ins: made once, kept in files that only their owner can read."""

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def generated(file: Path, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The secret in `file`; what `make` returns is written there the first time."""
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        kept = None
    if isinstance(kept, dict) and kept:
        return {str(name): str(value) for name, value in kept.items()}
    made = make()
    write_private(file, json.dumps(made, indent=2) + "\n")
    return made


def write_private(file: Path, text: str) -> None:
    """Replace `file` at once by one of mode 600; at no moment can others read it or see half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(file)


def password() -> str:
    """A random password that needs no quoting anywhere."""
    return secrets.token_urlsafe(24)
