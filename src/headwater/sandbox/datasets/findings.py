"""What is wrong with a dataset folder, as lines for people and as JSON."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that is not as `docs/datasets.md` has it, where it is, and what to do about it.

    Attributes:
        file: relative to the folder.
        row: counted from 1, in a Parquet file; None where it concerns the file or a whole column.
        error: whether the sandbox refuses the folder for it; otherwise it is a remark.
        more: how many further rows have the same, beyond those that have findings of their own.
    """

    file: str
    problem: str
    fix: str
    row: int | None = None
    column: str | None = None
    error: bool = True
    more: int = 0

    @property
    def line(self) -> str:
        """`error: snowflake/ORDERS.parquet, row 3, AMOUNT: what is wrong; how to mend it`."""
        place = [self.file]
        place += [f"row {self.row}"] if self.row is not None else []
        place += [self.column] if self.column is not None else []
        more = f" ({self.more:,} more {'has' if self.more == 1 else 'have'} the same)" if self.more else ""
        return f"{'error' if self.error else 'remark'}: {', '.join(place)}: {self.problem}{more}; {self.fix}"


@dataclass(frozen=True)
class Report:
    """All findings of a folder, in the order of its files; `rows` counts those of each Parquet file that could be read."""

    folder: str
    findings: tuple[Finding, ...]
    rows: dict[str, int]

    @property
    def errors(self) -> list[Finding]:
        """The findings for which the sandbox refuses the folder."""
        return [each for each in self.findings if each.error]

    @property
    def summary(self) -> str:
        """One line: how much there is, and how much of it is wrong."""
        remarks = len(self.findings) - len(self.errors)
        verdict = _many(len(self.errors), "error") if self.errors else "follows docs/datasets.md"
        said = f"{verdict}, {_many(remarks, 'remark')}" if remarks else verdict
        return f"{self.folder}: {_many(len(self.rows), 'file')} with {_many(sum(self.rows.values()), 'row')}; {said}"

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "folder": self.folder,
            "ok": not self.errors,
            "rows": self.rows,
            "findings": [asdict(each) for each in self.findings],
        }


def _many(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, in their order."""
    return ", ".join(names)
