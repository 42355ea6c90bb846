#!/usr/bin/env python3
"""Stop the sandbox, remove all that was made in this folder, and say how much was freed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PROJECT = Path(__file__).resolve().parents[2]
_MADE = (
    ".headwater",
    ".venv",
    ".uv",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".hypothesis",
    ".import_linter_cache",
    "dist",
    "build",
)
_SEARCHED = ("src", "tests", "scripts", "benchmarks")


def main() -> None:
    os.chdir(_PROJECT)
    _stop_sandbox()
    folders = [Path(name) for name in _MADE if Path(name).exists() or Path(name).is_symlink()]
    folders += [cache for name in _SEARCHED for cache in Path(name).rglob("__pycache__")]
    freed, removed = _freed(folders)
    for folder in folders:
        if folder.is_symlink():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    print(f"freed {_size(freed)}")
    if removed - freed > 1e6:
        print(
            f"kept {_size(removed - freed)} of packages that uv's cache shares between projects; to empty it: uv cache clean"
        )
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headwater"
    if cache.exists():
        print(f"kept {cache} ({_size(_freed([cache])[1])}, for all checkouts); to remove it: rm -r {cache}")


def _stop_sandbox() -> None:
    """Ask Headwater to; a sandbox that cannot be stopped is a reason to remove nothing."""
    headwater = Path(".venv/bin/headwater")
    if not Path(".headwater/sandbox").exists() or not headwater.exists():
        return
    if subprocess.run([headwater, "sandbox", "down"], check=False).returncode != 0:
        sys.exit("clean: the sandbox did not stop, so nothing was removed; see above")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _freed(folders: list[Path]) -> tuple[int, int]:
    """Bytes on disk whose last name is in these folders, and bytes in all; what has other names elsewhere stays there."""
    links: dict[tuple[int, int], list[int]] = {}
    for folder in folders:
        for parent, names, files in os.walk(folder):
            for name in (*names, *files):
                status = Path(parent, name).lstat()
                found = links.setdefault((status.st_dev, status.st_ino), [0, status.st_nlink, status.st_blocks * 512])
                found[0] += 1
    freed = sum(size for seen, named, size in links.values() if seen >= named)
    return freed, sum(size for _, _, size in links.values())


if __name__ == "__main__":
    main()
