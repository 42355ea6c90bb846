"""Secrets that a stand-in makes up once and keeps in its own folder."""

import json
import secrets
from pathlib import Path

from headwater.sandbox.private_file import write_private


def remembered_secrets(folder: Path, **made_up: str) -> dict[str, str]:
    """The secrets kept in `folder` by the names asked for; one that is missing takes the value given, or a random one.

    An empty value asks for a random one. The file can be read by its owner alone.
    """
    file = folder / "secrets.json"
    kept: dict[str, str] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    wanted = {name: kept.get(name) or value or secrets.token_urlsafe(24) for name, value in made_up.items()}
    if wanted != kept:
        write_private(file, json.dumps(wanted) + "\n")
    return wanted
