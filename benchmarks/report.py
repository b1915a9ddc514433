"""Results of the benchmark's parts, and their Markdown format."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
LAYER = ROOT / "layers" / "service_keys"
sys.path.insert(0, str(LAYER))


def median_with_quartiles(values: Sequence[float], digits: int, factor: float) -> str:
    """Summarize values as ``median (low to high)``, each multiplied by ``factor``."""
    quartiles = statistics.quantiles(values, n=4, method="inclusive")
    low, median, high = (f"{value * factor:,.{digits}f}" for value in quartiles)
    return f"{median} ({low} to {high})"


def median_ratio(values: Sequence[float], others: Sequence[float]) -> float:
    """Return the median ratio of values from the same round."""
    return statistics.median(value / other for value, other in zip(values, others, strict=True))


def format_table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a Markdown table with padded columns; the first is left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(heading, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for first, *others in (heading, rule, *rows):
        cells = [first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


class Bound(NamedTuple):
    """An upper limit of a figure."""

    name: str
    measured: float
    at_most: float

    def is_met(self) -> bool:
        """Compare with the displayed precision."""
        return round(self.measured, 2) <= self.at_most


@dataclass(frozen=True)
class Part:
    """Results of one part of the benchmark.

    Attributes:
        title: The heading.
        method: The description of the measurement.
        tables: The figures, in Markdown.
        bounds: Upper limits of figures.
        readme: Rows of the README's table: subject, our figure, the peers' figures.
        notes: Remarks on the figures, in Markdown.
    """

    title: str
    method: str
    tables: list[str]
    bounds: list[Bound]
    readme: list[tuple[str, str, str]]
    notes: str = ""

    def markdown(self) -> str:
        """Return the section for results.md."""
        return "\n\n".join(filter(None, [f"## {self.title}", self.method, *self.tables, self.notes]))


def bounds_table(bounds: Sequence[Bound]) -> str:
    """Return the table of all bounds."""
    rows = [(b.name, f"{b.measured:.2f}", f"{b.at_most:.2f}", "met" if b.is_met() else "missed") for b in bounds]
    return format_table(("bound", "measured", "at most", ""), rows)


def show_progress(line: str) -> None:
    """Print to stderr; on a terminal, overwrite the last line."""
    terminal = sys.stderr.isatty()
    print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
