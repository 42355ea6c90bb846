"""Files that only their owner can read."""

import os
import secrets
from pathlib import Path


def write_private(file: Path, text: str) -> None:
    """Replace `file` at once by one of mode 600; at no moment can others read it or see half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(file)
