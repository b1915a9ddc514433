"""The types that openapi-typescript generates with its default options."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import DOCUMENT, FOLDER, GENERATED, NPM_PROGRAMS, run

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import LocalStack


@pytest.fixture(scope="module")
def example() -> Path:
    """Generate the types without a warning, and compile the example strictly."""
    generated = run(NPM_PROGRAMS / "openapi-typescript", DOCUMENT, "--output", GENERATED / "api.d.ts")
    assert generated.stderr == ""
    assert "⚠" not in generated.stdout
    run(NPM_PROGRAMS / "tsc", "--project", FOLDER)
    return GENERATED / "example.js"


def test_typed_client_uses_the_api(example: Path, stack: LocalStack, token: str) -> None:
    """Create, update and delete a key; narrow masks, warnings and error codes."""
    ran = run("node", example, environment={"SERVICE_KEYS_URL": stack.url, "SERVICE_KEYS_TOKEN": token})

    result = json.loads(ran.stdout)
    assert re.fullmatch(r"weather-in-typescript\.[0-9a-z]{12}", result.pop("id"))
    assert result == {
        "mask": "•••• ••••",
        "warnings": ["none"],
        "version": 2,
        "stale": "VERSION_CONFLICT",
        "unsafe": "PRECONDITION_REQUIRED",
        "gone": None,
    }


def test_a_default_in_a_request_fails_the_compilation(example: Path, tmp_path: Path) -> None:
    """Prove that the compiler checks the optional fields: with a default, one of them is required."""
    document = DOCUMENT.read_text().replace(
        "description: Whether readers get", "default: true\n          description: W", 1
    )
    (tmp_path / "openapi.yaml").write_text(document)
    run(NPM_PROGRAMS / "openapi-typescript", tmp_path / "openapi.yaml", "--output", tmp_path / "generated" / "api.d.ts")
    for name in ("example.ts", "tsconfig.json"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    (tmp_path / "node_modules").symlink_to(FOLDER / "node_modules")

    compiled = run(NPM_PROGRAMS / "tsc", "--project", tmp_path, "--noEmit", code=2)

    assert "Property 'active' is missing" in compiled.stdout


def test_every_enumeration_has_a_type(example: Path) -> None:
    """openapi-typescript marks enumerations without one as unknown."""
    types = (GENERATED / "api.d.ts").read_text()

    assert "unknown}" not in types
    assert "ErrorCode: " in types
