"""A mutant: one small wrong change of a transform, a contract or the logic of a run."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_KEPT = {"src": ("headwater",), "config": ("contracts",)}


@dataclass(frozen=True)
class Mutant:
    """`old` stands once in `file` (below src/headwater or config/contracts) and becomes `new`.

    It is caught by the tables `of`: a Silver or Gold table is built by the changed code from what landed; a Bronze
    table is first landed by it, at both instants. With `again` Silver is built on what stood after the first instant.
    """

    name: str
    file: str
    old: str
    new: str
    of: tuple[str, ...]
    again: bool = False

    @property
    def path(self) -> Path:
        """The file, from the project's folder."""
        root = "config/contracts" if self.file.endswith(".yaml") else "src/headwater"
        return Path(root) / self.file

    @property
    def change(self) -> str:
        """The change for people, on one line."""
        return f"{_on_one_line(self.old)} -> {_on_one_line(self.new) or '(nothing)'}"

    def stale(self, project: Path) -> str:
        """Why it cannot be applied to a project's code as it now stands; empty if it can."""
        file = project / self.path
        found = file.read_text(encoding="utf-8").count(self.old) if file.exists() else 0
        if found == 1 and self.old != self.new:
            return ""
        return f"{self.path} has {found} times the text {_on_one_line(self.old)!r}, which must stand there once"

    def apply(self, project: Path) -> None:
        """Change a copy of the project.

        Raises:
            ValueError: it is stale.
        """
        if why := self.stale(project):
            raise ValueError(f"{self.name} is stale: {why}")
        file = project / self.path
        file.write_text(file.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")
        # A compiled module is told from an old one by the second of its change, and this may be the same second.
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
            compiled.unlink()


def of_function(layer: str, table: str, *changes: tuple[str, str, str]) -> list[Mutant]:
    """Mutants of a Silver or Gold function, each a name, what stands there and what takes its place."""
    return [Mutant(name, f"transform/{layer}/{table}.py", old, new, (table,)) for name, old, new in changes]


def of_contract(table: str, *changes: tuple[str, str, str], again: bool = False) -> list[Mutant]:
    """Mutants of a Silver table's contract."""
    return [Mutant(name, f"silver/{table}.yaml", old, new, (table,), again) for name, old, new in changes]


def of_file(file: str, *changes: tuple[str, str, str, str], again: bool = False) -> list[Mutant]:
    """Mutants of any other file, each with the tables by which it should be caught, blanks between."""
    return [Mutant(name, file, old, new, tuple(of.split()), again) for name, old, new, of in changes]


def copied(project: Path, folder: Path) -> Path:
    """Copy what a mutant may change, and the rest of the package with it."""
    for root, names in _KEPT.items():
        for name in names:
            shutil.copytree(project / root / name, folder / root / name)
    return folder


def stale(mutants: Iterable[Mutant], project: Path) -> list[str]:
    """What is wrong with those that cannot be applied."""
    return [f"{mutant.name} is stale: {why}" for mutant in mutants if (why := mutant.stale(project))]


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
