"""What became of many kills, by the point that each came at."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text
from tests.chaos.kills import Finding
from tests.chaos.points import POINTS

_WIDE = 160


@dataclass
class Report:
    """The findings of kills at some points."""

    points: Sequence[str]
    findings: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        self.findings.append(finding)

    def at(self, point: str) -> list[Finding]:
        """The kills at a point that came while the run was under way."""
        return [each for each in self.findings if each.kill.point == point and not each.missed]

    def problems(self) -> list[str]:
        """Why the harness failed: points without a kill, kills that were none, lakes that differ. Empty if all is well."""
        without = [f"{point}: no kill came there" for point in self.points if not self.at(point)]
        missed = [f"{each.kill}: {each.missed}" for each in self.findings if each.missed]
        told = [f"{each.kill}: {line}" for each in self.findings for line in each.told]
        return [*without, *missed, *told]

    def print(self) -> None:
        """Print a line for each point: its kills, by lake and run, and how they came out."""
        table = Table("point", "when it comes", "kills", "local", "S3", "first run", "second run", "tables", "outcome")
        for point in self.points:
            kills = [each.kill for each in self.at(point)]
            counts = [len(kills), *(sum(kill.where == where for kill in kills) for where in ("local", "s3"))]
            counts += [sum(kill.number == number for kill in kills) for number in (0, 1)]
            cells = [point, POINTS[point].means, *map(str, counts), str(len({kill.table for kill in kills}))]
            table.add_row(*cells, Text(self._outcome(point)))
        console = Console()
        (console if console.is_terminal else Console(width=_WIDE)).print(table)

    def _outcome(self, point: str) -> str:
        differ = sum(bool(each.told) for each in self.at(point))
        missed = sum(bool(each.missed) for each in self.findings if each.kill.point == point)
        said = [f"{differ} differ"] if differ else []
        said += [f"{missed} came too late"] if missed else []
        return ", ".join(said) or ("as undisturbed" if self.at(point) else "no kill")
