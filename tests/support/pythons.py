"""The supported versions of Python on this machine, and Lambda's packages for them."""

from __future__ import annotations

import functools
import importlib.metadata
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
_PACKAGES = ("botocore", "jmespath", "python-dateutil", "six", "urllib3")
_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


@functools.cache
def find_python(version: str) -> str | None:
    """Return an interpreter of this version, on PATH or of pyenv."""
    on_path = shutil.which(f"python{version}")
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"))
    candidates = [*([on_path] if on_path else []), *map(str, pyenv)]
    for python in candidates:
        # A shim of pyenv may only print an error.
        ran = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=False)
        if ran.stdout.strip() == version:
            return python
    return None


def require_python(version: str) -> str:
    """Return an interpreter of this version, or skip the test."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"This machine has no Python {version}")
    return python


def link_packages(folder: Path, packages: Iterable[str]) -> None:
    """Link the files of installed packages into a folder, such as the site-packages of another environment."""
    for package in packages:
        distribution = importlib.metadata.distribution(package)
        for top in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            (folder / top).symlink_to(str(distribution.locate_file(top)))


def link_runtime(folder: Path) -> Path:
    """Fill a folder with botocore and its dependencies, as Lambda's runtime has them; all are pure Python."""
    folder.mkdir()
    link_packages(folder, _PACKAGES)
    return folder
