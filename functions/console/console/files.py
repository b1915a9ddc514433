"""The static files, and their entity tags."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

CONTENT_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml; charset=utf-8",
}


class File(NamedTuple):
    """The text of a response and its content type."""

    text: str
    content_type: str


def read_files(folder: Path) -> dict[str, File]:
    """Read the files of a folder; return them by their path in URLs."""
    return {
        path.relative_to(folder).as_posix(): File(path.read_text(encoding="utf-8"), CONTENT_TYPES[path.suffix])
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in CONTENT_TYPES
    }


def entity_tag(file: File, headers: dict[str, str]) -> str:
    """Return the entity tag of a file and its headers."""
    # With the headers, because Chromium keeps the cached Content-Security-Policy after a 304.
    return f'"{hashlib.sha256(json.dumps([file, headers]).encode()).hexdigest()[:32]}"'


def is_known(headers: dict[str, str], etag: str) -> bool:
    """Return True if `If-None-Match` names the entity tag; weakly, as RFC 9110 has it."""
    given = next((value for name, value in headers.items() if name.lower() == "if-none-match"), "")
    return given.strip() == "*" or etag in (each.strip().removeprefix("W/") for each in given.split(","))
