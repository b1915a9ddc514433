"""Tests of the benchmark figures in the README."""

from pathlib import Path

import pytest

from benchmarks.__main__ import BEGIN, END, README, RESULTS, replace_figures


def figures_in(path: Path) -> str:
    """Return the table between the markers."""
    return path.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def test_readme_has_the_figures_of_the_results() -> None:
    """Compare the tables in README.md and benchmarks/results.md."""
    assert figures_in(RESULTS).count("\n") >= 2
    assert figures_in(README) == figures_in(RESULTS), "run make bench, or copy the table of benchmarks/results.md"


def test_new_figures_replace_old_ones() -> None:
    """Keep the text before and after the markers."""
    document = f"before\n{BEGIN}\n\nold\n\n{END}\nafter\n"

    assert replace_figures(document, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_a_document_without_markers_is_rejected() -> None:
    """Name the missing markers in the error."""
    with pytest.raises(ValueError, match=BEGIN):
        replace_figures("before and after", "new")
