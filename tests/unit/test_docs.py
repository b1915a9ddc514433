"""Tests of references in the documentation."""

import re
from pathlib import Path

import pytest

from tests.support.processes import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TESTS = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_named_in_a_page_exists(page: Path) -> None:
    """Compare names in backticks with the test modules."""
    named = set(re.findall(r"`(test_\w+)`", page.read_text()))

    assert [name for name in sorted(named) if f"def {name}(" not in TESTS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """Follow the relative links of a page; GitHub derives the anchor of a heading from its text."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)

    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not link.startswith("https://"):
            assert target.exists(), link
            assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
