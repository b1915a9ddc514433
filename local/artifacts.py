"""Inspect the output of `sam build` before deployment: size, architecture and Python version.

A wheel for another architecture or Python version installs without an error, and fails at the first call on AWS.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from local import LocalError

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE: Final = 1024 * 1024
"""Unit of Lambda's quotas: its limit of 250 MB for a function with its layers is 262,144,000 bytes."""

# Executable and Linkable Format: e_machine, two little-endian bytes at offset 18.
# https://man7.org/linux/man-pages/man5/elf.5.html
_ELF: Final = b"\x7fELF"
_MACHINE_AT: Final = 18
_MACHINES: Final = {0x3E: "x86_64", 0xB7: "arm64"}
# _core.cpython-313-x86_64-linux-gnu.so loads in CPython 3.13 only; _core.abi3.so also loads in later versions.
_CPYTHON: Final = re.compile(r"\.cpython-(\d+)")
_RUNTIME: Final = "313"
_NO_BYTECODE: Final = (
    "so that every cold start compiles what it imports (to mend that, have python3.13 on PATH, or name one: make build "
    "RUNTIME_PYTHON=/path/to/python3.13)"
)


class ArtifactError(LocalError):
    """The artifact must not be deployed. The message states the remedy."""


class Artifact(NamedTuple):
    """A folder that `sam build` creates.

    Attributes:
        name: The logical id of the function or the layer.
        source: Its source folder.
        bound: Its size limit in megabytes.
        required: A file that it must have, or None if it must have native modules.
    """

    name: str
    source: str
    bound: float
    required: str | None = None


ARTIFACTS: Final = (
    # Consumers share Lambda's 250 MB between code and layers, and every cold start unpacks the layer.
    Artifact("ServiceKeysLayer", "layers/service_keys", 40),
    Artifact("Authorizer", "functions/authorizer", 25),
    # Without dependencies. A page load reads all of it except bytecode.
    Artifact("WebConsole", "functions/console", 0.3, required="static/api.html"),
)


def inspect(build: Path, artifact: Artifact, architecture: str) -> str:
    """Inspect one artifact in the output folder of `sam build`, for `arm64` or `x86_64`; return its description.

    Raises:
        ArtifactError: The artifact is missing or incomplete, is too large, or has a native module that Lambda's Python
            cannot load.
    """
    folder = build / artifact.name
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    native = [path for path in files if ".so" in path.suffixes]
    if artifact.required and not (folder / artifact.required).is_file():
        raise ArtifactError(f"{folder} holds no {artifact.required}. Build it anew: rm -r .aws-sam && make build")
    if not (native or artifact.required):
        # Native dependencies are missing: pip did not install them.
        raise ArtifactError(f"{folder} holds no native module. Build it anew: rm -r .aws-sam && make build")
    for path in native:
        if reason := _load_error(path, architecture):
            remedy = f"Build it anew: rm -r .aws-sam && make build ARCHITECTURE={architecture}"
            raise ArtifactError(f"{path} {reason}. {remedy}")
    compiled = any(path.name.endswith(f".cpython-{_RUNTIME}.pyc") for path in files)
    bytecode = "with bytecode" if compiled else f"without bytecode, {_NO_BYTECODE}"
    size = sum(path.stat().st_size for path in files)
    described = (
        f"{artifact.name}: {size / MEGABYTE:.1f} MB unzipped, {artifact.bound} at most; {bytecode}; "
        f"native: {', '.join(path.name for path in native) or 'none'}"
    )
    if size > artifact.bound * MEGABYTE:
        sources = f"{artifact.source}/static" if artifact.required else f"{artifact.source}/requirements.in"
        relock = "" if artifact.required else " and run make lock"
        raise ArtifactError(
            f"{described}. See what grew (du -k {folder}/* {folder}/*/* | sort -n), take it out of "
            f"{sources}{relock}. Or raise its bound, in local/artifacts.py"
        )
    return described


def _load_error(path: Path, architecture: str) -> str | None:
    """Return the reason that Lambda's Python on `architecture` cannot load a native module, or None."""
    with path.open("rb") as file:
        header = file.read(_MACHINE_AT + 2)
    if not header.startswith(_ELF):
        return "is no Linux library"
    machine = _MACHINES.get(int.from_bytes(header[_MACHINE_AT:], "little"), "another machine")
    if machine != architecture:
        return f"is for {machine}, not for {architecture}"
    version = _CPYTHON.search(path.name)
    if version and version[1] != _RUNTIME:
        return f"is for CPython {version[1]}, not for {_RUNTIME}"
    return None
