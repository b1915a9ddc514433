"""What the parts of the benchmark share: what a part hands back, and how it is shown on a terminal and in Markdown."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROOT = Path(__file__).parents[1]
LAYER = ROOT / "layers" / "service_keys"


class Spread(NamedTuple):
    """A median, and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up at least two values."""
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))

    def shown(self, digits: int, factor: float = 1) -> str:
        """Write it as ``median (low to high)``, each multiplied by ``factor``."""
        low, median, high = (f"{value * factor:,.{digits}f}" for value in self)
        return f"{median} ({low} to {high})"


@dataclass(frozen=True)
class Table:
    """Rows under a heading; the first column is text, the others are figures, already written out."""

    heading: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def text(self) -> str:
        """Return it for a terminal."""
        widths = [max(map(len, column)) for column in zip(self.heading, *self.rows, strict=True)]
        lines = []
        for row in (self.heading, *self.rows):
            first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            lines.append("  ".join([first.strip().ljust(widths[0]), *others]).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return it for results.md."""
        rules = ("---", *("---:" for _ in self.heading[1:]))
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.heading, rules, *self.rows))


@dataclass(frozen=True)
class Target:
    """A bound that the product is held to, and what was measured."""

    what: str
    figure: float
    at_most: float

    @property
    def met(self) -> bool:
        """Tell whether the bound holds, in the precision that is shown."""
        return round(self.figure, 2) <= self.at_most

    def row(self) -> tuple[str, ...]:
        """Return the line of a table."""
        return self.what, f"{self.figure:.2f}", f"{self.at_most:.2f}", "met" if self.met else "missed"


@dataclass
class Part:
    """What one part of the benchmark found.

    Attributes:
        title: Its heading.
        method: What was counted, and how.
        tables: The figures.
        notes: What is to be known about them.
        targets: The bounds that they are held to.
        readme: Lines of the README's table: what, this, beside which peer.
    """

    title: str
    method: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    readme: list[tuple[str, ...]] = field(default_factory=list)

    def text(self) -> str:
        """Return it for a terminal."""
        shown = [self.title, *(table.text() for table in self.tables), *self.notes]
        if self.targets:
            shown.append(targets(self.targets).text())
        return "\n\n".join(shown)

    def markdown(self) -> str:
        """Return it for results.md."""
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(filter(None, [f"## {self.title}", self.method, *(t.markdown() for t in self.tables), notes]))


@dataclass(frozen=True)
class Options:
    """How thorough to be, and where to say what is under way."""

    quick: bool = False
    progress: Callable[[str], None] = lambda _line: None

    def choose(self, full: int, quick: int) -> int:
        """Return how often to do something."""
        return quick if self.quick else full


def targets(of: Iterable[Target]) -> Table:
    """Return the table of targets."""
    return Table(("what must hold", "measured", "at most", ""), [target.row() for target in of])


def to_stderr(line: str) -> None:
    """Show progress: over the last line on a terminal, below it in a log."""
    terminal = sys.stderr.isatty()
    print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)


def machine() -> str:
    """Say on what the figures were measured."""
    model = platform.processor() or platform.machine()
    with_name = Path("/proc/cpuinfo")
    if with_name.is_file():
        names = [line for line in with_name.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    system, python = f"{platform.system()} {platform.machine()}", f"CPython {platform.python_version()}"
    return f"{system}, {os.cpu_count()} cores of {model}, {python}"


def run_alone(description: str | None, measure: Callable[[Options], Part]) -> None:
    """Be the command of one part."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: an impression")
    options = Options(quick=parser.parse_args().quick, progress=to_stderr)
    part = measure(options)
    options.progress("")
    print(part.text())
