"""Two releases of one commit, built by `make release` in different circumstances."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import pytest

from service_keys import __version__
from tests.support.processes import ROOT
from tests.support.repository import commit_all, copy_files, git

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "7.8.9"
CHANGELOG = f"# Changelog\n\n## [{VERSION}] - 2030-12-31\n\n- A made-up release.\n"
VENVS = {"VENV": ROOT / ".venv", "PACKAGE_VENV": ROOT / ".venv-package"}


class Release(NamedTuple):
    """A release: the clone in which it was built, the output of the command, and the folder of the files."""

    clone: Path
    output: str
    dist: Path


def make(clone: Path, target: str, umask: int = 0o022, **environment: str) -> str:
    """Run make in a clone with the environments of this checkout; return its output."""
    # The options of an outer make would apply to the inner one.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    settings = [f"{name}={path}" for name, path in VENVS.items()]
    ready = [f"--old-file={path}/ready" for path in VENVS.values()]
    ran = subprocess.run(
        ["make", *ready, *settings, *target.split()],
        cwd=clone,
        env=kept | environment,
        umask=umask,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Commit the files of this checkout as a made-up version, which can be released."""
    folder = tmp_path_factory.mktemp("repository")
    copy_files(folder)
    package = folder / "layers" / "service_keys" / "service_keys" / "__init__.py"
    package.write_text(package.read_text().replace(f'"{__version__}"', f'"{VERSION}"'))
    (folder / "CHANGELOG.md").write_text(CHANGELOG)
    (folder / "tests" / "functional" / "stored_items" / f"{VERSION}.json").write_text("{}\n")
    make(folder, "template openapi docs")
    commit_all(folder)
    return folder


@pytest.fixture(scope="session")
def releases(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    """Build the commit twice: in folders of other lengths, with other times, masks, zones, locales and hash seeds."""
    folder = tmp_path_factory.mktemp("releases")
    clones = folder / "one", folder / "another" / "and longer" / "path"
    for clone in clones:
        git(folder, "clone", "--quiet", repository, clone)
    # Left by other commands: none of them belongs to a release.
    for name in ("layers/service_keys/service_keys/__pycache__/x.cpython-313.pyc", "dist/old.whl", ".aws-sam/build/x"):
        (clones[1] / name).parent.mkdir(parents=True, exist_ok=True)
        (clones[1] / name).write_text("old")
    for path in clones[1].rglob("*.py"):
        os.utime(path, (86_400, 86_400))
    temporary = folder / "t", folder / "temporary" / "files"
    for each in temporary:
        each.mkdir(parents=True)
    settings: tuple[dict[str, str], ...] = (
        {"TZ": "UTC", "PYTHONHASHSEED": "1", "LC_ALL": "C", "TMPDIR": str(temporary[0])},
        {
            "TZ": "Pacific/Auckland",
            "PYTHONHASHSEED": "2",
            "LC_ALL": "C.UTF-8",
            "TMPDIR": str(temporary[1]),
            "SOURCE_DATE_EPOCH": "1",
            "PYTHONOPTIMIZE": "2",
            "PIP_PREFIX": "/made-up",
            "PIP_REPORT": "/made-up",
            "ARCHITECTURE": "sparc",
        },
    )
    with ThreadPoolExecutor(2) as executor:
        running = [
            executor.submit(make, clone, "release", umask, **environment)
            for clone, umask, environment in zip(clones, (0o022, 0o077), settings, strict=True)
        ]
    one, another = (Release(clone, each.result(), clone / "dist") for clone, each in zip(clones, running, strict=True))
    return one, another
