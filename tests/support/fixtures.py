"""Fixtures of released versions: one JSON file for each version, with a checksum. A stored one never changes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Fixtures:
    """A folder with the fixtures of one kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, version: str) -> Path:
        """Return the path of the fixture of a version."""
        return self.folder / f"{version}.json"

    def paths(self) -> list[Path]:
        """Return the paths of all fixtures, the one of the newest version last."""
        return sorted(self.folder.glob("*.json"), key=lambda path: [int(part) for part in path.stem.split(".")])

    def save(self, version: str, fixture: Mapping[str, Any]) -> Path:
        """Write the fixture of a new version, and its checksum; refuse to replace one."""
        path = self.path(version)
        self.folder.mkdir(exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(json.dumps(fixture, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
        with self._checksums.open("a", encoding="utf-8") as file:
            file.write(f"{_checksum(path)}  {path.name}\n")
        return path

    def changed(self) -> list[str]:
        """Return the names of fixtures that differ from their checksum, or have none, and of missing ones."""
        kept = {tuple(line.split()) for line in self._checksums.read_text(encoding="utf-8").splitlines()}
        return sorted({name for _, name in kept ^ {(_checksum(path), path.name) for path in self.paths()}})

    @property
    def _checksums(self) -> Path:
        return self.folder / "SHA256SUMS"


def load(path: Path) -> dict[str, Any]:
    """Read a fixture."""
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
