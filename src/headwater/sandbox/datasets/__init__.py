"""The datasets that the sandbox's stand-ins serve. `docs/datasets.md` describes the folder."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from headwater.errors import SandboxError
from headwater.sandbox.datasets import completejourney, generated
from headwater.sandbox.datasets.folder import About, read_about, write_about
from headwater.sandbox.datasets.generated.excesses import Excess, excess_of

Progress: TypeAlias = Callable[[str], None]
"""Takes a line for people, such as `snowflake/ORDERS: 128 033 rows`."""


@dataclass(frozen=True)
class Dataset:
    """A dataset that can be made: what it is, and the parts that write it, none of which needs another."""

    about: About
    parts: Callable[[Path, float], dict[str, Callable[[], int]]]
    scales: bool = True


DATASETS: dict[str, Dataset] = {
    "generated": Dataset(generated.ABOUT, generated.parts),
    "completejourney": Dataset(completejourney.ABOUT, completejourney.parts, scales=False),
}
"""The datasets by name; the first is the default."""

_THREADS = 2


def materialise(name: str, folder: Path, scale: float = 1.0, progress: Progress | None = None) -> Path:
    """Make the dataset in `folder`, or leave it alone where it stands already with the same parameters; return `folder`.

    All or nothing: the folder appears by a rename. One of another dataset, scale or version is replaced, what
    Headwater did not make is not touched.

    Raises:
        SandboxError: there is no such dataset, or `folder` holds something else.
    """
    dataset = known(name, scale)
    wanted = dataset.about.document(scale)
    standing = read_about(folder)
    if standing == wanted:
        return folder
    if standing is None and folder.exists() and any(folder.iterdir()):
        raise SandboxError(f"{folder} holds files but no dataset.yaml: name an empty folder for the dataset {name}")
    if standing is not None and not made_here(str(standing.get("name"))):
        raise SandboxError(f"{folder} holds a dataset that Headwater did not make: name another folder for {name}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    building = folder.with_name(f".{folder.name}.making-{os.getpid()}")
    try:
        building.mkdir()
        _write(dataset.parts(building, scale), progress)
        write_about(building, wanted)
        _put(building, folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def made_here(name: str) -> bool:
    """Whether a name is that of a dataset that can be made."""
    return name in DATASETS or excess_of("generated", name) is not None


def known(name: str, scale: float) -> Dataset:
    """The dataset of this name, which may be `generated~…`: that one, exceeding a limit of the gate.

    Raises:
        SandboxError: there is none, or it takes no such scale.
    """
    if (found := excess_of("generated", name)) is not None:
        return _spoilt(name, *found)
    if name not in DATASETS:
        raise SandboxError(f"there is no dataset {name!r}: choose one of {', '.join(DATASETS)}")
    if not scale > 0:
        raise SandboxError(f"a dataset's scale is a number above 0, not {scale}")
    if scale != 1 and not DATASETS[name].scales:
        raise SandboxError(f"the dataset {name} is what it is: it takes no scale")
    return DATASETS[name]


def _spoilt(name: str, limit: str, excess: Excess) -> Dataset:
    """`generated`, exceeding a limit."""
    whole = DATASETS["generated"]

    def parts(folder: Path, scale: float) -> dict[str, Callable[[], int]]:
        def spoiling(part: str, write: Callable[[], int]) -> Callable[[], int]:
            def written() -> int:
                rows = write()
                excess.spoil(folder, part)
                return rows

            return written if part in excess.parts else write

        return {part: spoiling(part, write) for part, write in whole.parts(folder, scale).items()}

    when = "on the day after the start clock" if excess.days == 1 else f"{excess.days} days after the start clock"
    about = replace(whole.about, name=name, about=f"{whole.about.about} It exceeds the limit {limit!r} {when}.")
    return Dataset(about, parts)


def _write(parts: dict[str, Callable[[], int]], progress: Progress | None) -> None:
    """Write all parts, the first failure stopping those not begun."""
    with ThreadPoolExecutor(_THREADS) as pool:
        begun = {pool.submit(part): path for path, part in parts.items()}
        try:
            for done in as_completed(begun):
                rows = done.result()
                if progress is not None:
                    progress(f"{begun[done]}: {rows:,} rows")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _put(building: Path, folder: Path) -> None:
    """Rename the finished folder into place; what stood there goes aside first, then away."""
    aside = folder.with_name(f".{folder.name}.replaced-{os.getpid()}")
    if folder.exists():
        folder.rename(aside)
    building.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what processes that died left beside the folder."""
    for pattern in (f".{folder.name}.making-*", f".{folder.name}.replaced-*"):
        for left in folder.parent.glob(pattern):
            if not _runs(left.name.rpartition("-")[2]):
                shutil.rmtree(left, ignore_errors=True)


def _runs(pid: str) -> bool:
    if pid == str(os.getpid()):
        return False
    with suppress(ProcessLookupError, ValueError):
        try:
            os.kill(int(pid), 0)
        except PermissionError:
            return True
        return True
    return False
