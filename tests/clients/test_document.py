"""openapi.yaml in Redocly's linter and renderer, and in the command line of schemathesis."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from tests.clients.conftest import DOCUMENT, NPM_PROGRAMS, run
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import LocalStack


def test_redocly_finds_no_problem() -> None:
    """Apply the ruleset `recommended`; no rule is switched off."""
    ran = run(NPM_PROGRAMS / "redocly", "lint", "--extends=recommended", DOCUMENT)

    assert "Your API description is valid" in ran.stdout + ran.stderr
    assert not re.search(r"\b(warning|error|problem)s?\b", re.sub("Deprecation warning", "", ran.stdout + ran.stderr))


def test_redocly_reports_a_warning(tmp_path: Path) -> None:
    """Prove that a warning would be seen."""
    (tmp_path / "openapi.yaml").write_text(DOCUMENT.read_text().replace("  license:", "  x-license:", 1))

    ran = run(NPM_PROGRAMS / "redocly", "lint", "--extends=recommended", tmp_path / "openapi.yaml")

    assert "You have 1 warning" in ran.stdout + ran.stderr


def test_redocly_renders_every_operation(tmp_path: Path) -> None:
    """Build the HTML page."""
    page = tmp_path / "index.html"
    run(NPM_PROGRAMS / "redocly", "build-docs", DOCUMENT, "--output", page)

    html = page.read_text()
    for operation in re.findall(r"operationId: (\w+)", DOCUMENT.read_text()):
        assert operation in html


def test_schemathesis_finds_no_problem(stack: LocalStack, token: str, tmp_path: Path) -> None:
    """Run all phases and checks of schemathesis.toml; a warning fails the run."""
    ran = run(
        *(sys.executable, "-m", "schemathesis.cli", "run", DOCUMENT, "--url", stack.url, "--seed", "1"),
        *("--header", f"Authorization: Bearer {token}", "--max-examples", "10"),
        *("--report-dir", tmp_path),
        folder=ROOT,
        code=None,
    )

    assert ran.returncode == 0, ran.stdout[-6000:]
    assert "No issues found" in ran.stdout
    assert "Tested: 11" in ran.stdout
