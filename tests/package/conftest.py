"""The distributions that `make package` builds, a repository to install from, and a stack with a stored key."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from local.aws import sandboxed_environment
from local.stack import LocalStack, local_stack
from tests.functional.conftest import SPOTIFY_KEY, Admin
from tests.support.processes import ROOT
from tests.support.repository import commit_all, copy_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIST = ROOT / "dist"
SOURCE = ROOT / "layers" / "service_keys"


class Venv:
    """A virtual environment of a consumer."""

    def __init__(self, folder: Path, python: str) -> None:
        subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
        self.folder = folder
        self.python = folder / "bin" / "python"

    def pip(self, *arguments: str | Path) -> str:
        """Run pip, which succeeds; return its output."""
        return self.run("-m", "pip", "--disable-pip-version-check", *arguments)

    def upgrade_pip(self) -> None:
        """Install a pip that accepts `git+file:` with a name; pip 23 requires a host in such a URL."""
        self.pip("install", "--quiet", "--upgrade", "pip>=24.1")

    def run(self, *arguments: str | Path, environment: dict[str, str] | None = None, code: int = 0) -> str:
        """Run Python outside the checkout, without the AWS settings of this process; return its output."""
        ran = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env={**sandboxed_environment(os.environ), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=240,
        )
        assert ran.returncode == code, ran.stdout
        return ran.stdout


@pytest.fixture(scope="session")
def wheel() -> Path:
    (path,) = DIST.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist() -> Path:
    (path,) = DIST.glob("*.tar.gz")
    return path


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Commit the files of this checkout, as they are, to a new git repository; return pip's requirement for it."""
    folder = tmp_path_factory.mktemp("repository")
    copy_files(folder)
    commit_all(folder)
    return f"service-keys @ git+{folder.as_uri()}#subdirectory=layers/service_keys"


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """The local stack, with a Spotify key."""
    with local_stack() as stack:
        Admin(stack).create("Spotify", key=SPOTIFY_KEY)
        yield stack
