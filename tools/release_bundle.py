"""Write what `sam build` built, with the template for it, to one zip file that has the same bytes in every build.

The zip file has a template whose `CodeUri` and `ContentUri` are zip files beside it: `sam deploy` uploads them as they
are, without a build, on a machine without this repository.
"""

from __future__ import annotations

import re
import stat
import time
import zipfile
from typing import TYPE_CHECKING, Final, NamedTuple

from samtranslator.yaml_helper import yaml_parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_CODE: Final = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_RESOURCE: Final = re.compile(r"^  (\w+):$")
_CODE_LINE: Final = re.compile(r"^(      (?:CodeUri|ContentUri)): \S+$")
_CHOICE: Final = re.compile(r"(?<=^  Architecture:\n)((?: {4}.*\n)*)", re.MULTILINE)
# The first year that a zip file can name.
_EARLIEST: Final = 315532800


class Entry(NamedTuple):
    """A file of a zip file: its name there, its content and its permissions."""

    name: str
    content: bytes
    executable: bool = False


def write_zip(path: Path, entries: Iterable[Entry], seconds: int, *, compressed: bool = True) -> None:
    """Write a zip file, sorted by name, with one time and one of two modes for every file."""
    moment = time.gmtime(max(seconds, _EARLIEST))[:6]
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w") as archive:
        for entry in sorted(entries):
            info = zipfile.ZipInfo(entry.name, moment)
            # Unix, also where this program runs on another system.
            info.create_system = 3
            info.external_attr = (stat.S_IFREG | (0o755 if entry.executable else 0o644)) << 16
            info.compress_type = kind
            archive.writestr(info, entry.content, compresslevel=9)


def folder_entries(folder: Path) -> Iterator[Entry]:
    """Yield the files of a folder; for links, the files that they name."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield Entry(path.relative_to(folder).as_posix(), path.read_bytes(), bool(path.stat().st_mode & 0o100))


def code_folders(build: Path) -> dict[str, Path]:
    """Return the folder of each function and layer, by its logical id, from the template that `sam build` wrote.

    `sam build` leaves a function without dependencies and without a Makefile in its source folder.
    """
    resources = yaml_parse((build / "template.yaml").read_text(encoding="utf-8"))["Resources"]
    return {
        name: (build / resource["Properties"][_CODE[resource["Type"]]]).resolve()
        for name, resource in resources.items()
        if resource["Type"] in _CODE
    }


def bundled_template(text: str, architecture: str) -> str:
    """Return template.yaml with a zip file beside it for each function and layer, for one architecture only."""
    name, lines = "", []
    for line in text.splitlines(keepends=True):
        resource = _RESOURCE.match(line)
        name = resource[1] if resource else name
        lines.append(_CODE_LINE.sub(rf"\1: {name}.zip", line))

    def choose(parameter: re.Match[str]) -> str:
        chosen = re.sub(r"(?<=    Default: )\S+", architecture, parameter[0])
        return re.sub(r"(?<=    AllowedValues: )\[.*\]", f"[{architecture}]", chosen)

    return _CHOICE.sub(choose, "".join(lines), count=1)


def write_bundle(path: Path, tree: Path, build: Path, architecture: str, seconds: int) -> None:
    """Write the functions and layers of a build with their template to a zip file.

    Args:
        path: The zip file. Its files are in a folder with its name.
        tree: The sources that were built.
        build: The output folder of `sam build`.
        architecture: `arm64` or `x86_64`.
        seconds: The time of every file, in seconds since 1970.
    """
    template = bundled_template((tree / "template.yaml").read_text(encoding="utf-8"), architecture)
    entries = [Entry("template.yaml", template.encode()), Entry("LICENSE", (tree / "LICENSE").read_bytes())]
    for name, folder in code_folders(build).items():
        archive = build / f"{name}.zip"
        write_zip(archive, folder_entries(folder), seconds)
        entries.append(Entry(archive.name, archive.read_bytes()))
    # Compressed already; a second time would gain nothing.
    write_zip(path, (entry._replace(name=f"{path.stem}/{entry.name}") for entry in entries), seconds, compressed=False)
