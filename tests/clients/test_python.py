"""The client that openapi-python-client generates."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from tests.clients.conftest import DOCUMENT, FOLDER, PYTHON_PROGRAMS, run
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import LocalStack


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate the client outside of this checkout, whose configuration does not apply to it; a warning fails."""
    folder = tmp_path_factory.mktemp("client")
    generated = run(
        PYTHON_PROGRAMS / "openapi-python-client",
        *("generate", "--path", DOCUMENT, "--output-path", folder, "--overwrite", "--fail-on-warning"),
    )
    assert "arning" not in generated.stdout + generated.stderr
    return folder


def test_generated_client_and_its_use_have_strict_types(client: Path) -> None:
    """Check the client and tests/clients/example.py with mypy."""
    options = ("--strict", "--python-executable", PYTHON_PROGRAMS / "python")
    run(
        sys.executable,
        *("-m", "mypy", *options, client / "service_keys_client", FOLDER / "example.py"),
        folder=client,
        environment={"MYPYPATH": str(client)},
    )


def test_no_name_is_numbered(client: Path) -> None:
    """Every part of a schema has a name of its own."""
    names = {path.stem for path in (client / "service_keys_client" / "models").glob("[a-z]*.py")}

    assert {"change_kind", "error_code", "masked_fields", "pagination", "secret_fields", "service_status"} <= names
    assert not [name for name in names if name.endswith(("_item", "_type_0", "_type_1", "_response_200", "_"))]


def test_generated_client_uses_the_api(client: Path, stack: LocalStack, token: str) -> None:
    """Create, list with pages, update, read errors, delete and restore, as docs/clients.md shows."""
    environment = {"SERVICE_KEYS_URL": stack.url, "SERVICE_KEYS_TOKEN": token, "PYTHONPATH": str(client)}
    ran = run(PYTHON_PROGRAMS / "python", "-W", "error", FOLDER / "example.py", folder=ROOT, environment=environment)

    assert json.loads(ran.stdout) == {
        "mask": {"appId": "••••", "secret": "••••"},
        "similar": ["spotify"],
        "listed": ["Weather 3", "Weather 2", "Weather 1", "Weather 0", "Spotfy in Python"],
        "created": "UTC",
        "version": 2,
        "refusals": ["VERSION_CONFLICT", "VALIDATION_ERROR name key", "API_KEY_NOT_FOUND"],
        "deleted": 4,
        "restored": "Spotify in Python",
    }
