"""Git repositories with the files of this checkout."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

_IDENTITY = ("-c", "user.name=Test", "-c", "user.email=test@example.com")


def git(folder: Path, *arguments: str | Path) -> str:
    """Run git in a folder, which succeeds; return its output."""
    command = ["git", *_IDENTITY, "-C", folder, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def copy_files(folder: Path) -> None:
    """Copy the files of this checkout, as they are, that git does not ignore."""
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        path, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(path.readlink())
        elif path.is_file():
            target.write_bytes(path.read_bytes())


def commit_all(folder: Path) -> None:
    """Commit the files of a folder to a new repository."""
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-verify", "-m", "Test")
