"""Tests of references in the documentation."""

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_named_in_a_page_exists(page: Path) -> None:
    """Compare names in backticks with the test modules."""
    named = set(re.findall(r"`(test_\w+)`", page.read_text()))

    assert [name for name in sorted(named) if f"def {name}(" not in TESTS] == []
