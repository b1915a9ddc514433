"""Whether the README says what was measured."""

from pathlib import Path

import pytest

from benchmarks.__main__ import BEGIN, END, README, RESULTS, with_table


def _figures(path: Path) -> str:
    return path.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def test_the_figures_in_the_readme_are_those_that_were_measured() -> None:
    assert _figures(RESULTS).count("\n") >= 2
    assert _figures(README) == _figures(RESULTS), "run make bench, or copy the table of benchmarks/results.md"


def test_new_figures_take_the_place_of_the_old() -> None:
    document = f"before\n{BEGIN}\n\nold\n\n{END}\nafter\n"

    assert with_table(document, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"


def test_a_document_without_a_place_for_figures_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        with_table("before and after", "new")
