"""The generators and tools that `make test-clients` installs, and a local stack to use their clients against."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from local.aws import sandboxed_environment
from local.fake_services import FakeServices
from local.stack import LocalStack, local_stack
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

FOLDER = ROOT / "tests" / "clients"
NPM_PROGRAMS = FOLDER / "node_modules" / ".bin"
PYTHON_PROGRAMS = ROOT / ".venv-clients" / "bin"
GENERATED = FOLDER / "generated"
DOCUMENT = ROOT / "openapi.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/clients" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(300))


def run(
    *command: str | Path,
    code: int | None = 0,
    folder: Path = FOLDER,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program without the AWS settings of this process; fail with its output unless it ends with `code`."""
    # openapi-python-client looks for ruff in PATH; the npm programs only need node.
    path = f"{PYTHON_PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    # Redocly and schemathesis otherwise send usage statistics or look for updates.
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
    ran = subprocess.run(
        command,
        cwd=folder,
        env=sandboxed_environment(os.environ) | {"PATH": path} | quiet | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert code is None or ran.returncode == code, ran.stdout + ran.stderr
    return ran


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """An empty local stack, with fakes of the services that verify keys."""
    with FakeServices() as fake_services, local_stack(fake_services_url=fake_services.url) as stack:
        yield stack


@pytest.fixture(scope="module")
def token(stack: LocalStack) -> str:
    """The token of an administrator."""
    return stack.issuer.token(sub="ada")


@pytest.fixture
def keys(stack: LocalStack, token: str) -> Callable[[], list[str]]:
    """Return the names of the stored keys, those that can be restored included."""
    import requests

    def keys() -> list[str]:
        names: list[str] = []
        for deleted in ("false", "true"):
            response = requests.get(
                f"{stack.url}/api/v1/admin/api-keys",
                params={"deleted": deleted, "limit": "100"},
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
            names += [key["name"] for key in response.json()["data"]]
        return names

    return keys
