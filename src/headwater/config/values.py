"""What a value in a config file may be: a length of time, a path, a place."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BeforeValidator, ConfigDict, Field, ValidationInfo

STRICT = ConfigDict(extra="forbid", frozen=True)
"""An unknown key is an error, and nobody changes a setting that was read."""

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _duration(value: object) -> object:
    match = re.fullmatch(r"(\d+)\s*([smhd])", value.strip()) if isinstance(value, str) else None
    if match is None:
        if isinstance(value, timedelta):
            return value
        raise ValueError(f"{value!r} is not a duration such as 30s, 15m, 1h or 2d")
    return timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])


def _place(value: object, info: ValidationInfo) -> object:
    """Make a relative path relative to the project folder; leave a URI such as s3://bucket alone."""
    folder = (info.context or {}).get("folder")
    if not isinstance(value, str | Path) or "://" in str(value) or folder is None:
        return value
    return os.path.normpath(folder / Path(value).expanduser())


def _here(value: object, info: ValidationInfo) -> object:
    if "://" in str(value):
        raise ValueError(f"{value!r} is no path on this machine; only lake, state_store and contracts may be elsewhere")
    return _place(value, info)


Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_duration)]
Patience: TypeAlias = Annotated[Duration, Field(gt=timedelta(0))]
"""How long something is waited for: some time."""
LocalPath: TypeAlias = Annotated[Path, BeforeValidator(_here)]
Location: TypeAlias = Annotated[str, BeforeValidator(_place)]
"""An absolute path or a URI."""
