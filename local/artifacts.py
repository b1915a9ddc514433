"""Complete and inspect the output of `sam build` before deployment: size, content, architecture and Python version.

A wheel for another architecture or Python version installs without an error, and fails at the first call on AWS. A
package of another project in the consumers' layer would replace the version of it that a consumer brings along.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
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
_CPYTHON: Final = re.compile(r"\.cpython-(\d)(\d+)")
_RUNTIME: Final = "3.13"
_SHARED: Final = "ServiceKeysLayer"
_ADMIN: Final = "AdminLayer"
_NO_BYTECODE: Final = (
    "so that every cold start compiles its imports (to mend that: rm -r .aws-sam, then make build with python3.13 "
    "on PATH, or name one: make build RUNTIME_PYTHON=/path/to/python3.13)"
)


class ArtifactError(LocalError):
    """The artifact must not be deployed. The message states the remedy."""


class Artifact(NamedTuple):
    """A folder that `sam build` creates.

    Attributes:
        name: The logical id of the function or the layer.
        source: Its source folder.
        bound: Its size limit in megabytes: of the zip file for an artifact with `package`, because bytecode for several
            versions of Python triples its size, and of the unzipped files otherwise.
        package: The package whose Python files are its only files; empty for an artifact with other content.
        required: A file that it must have; None if it must have native modules.
    """

    name: str
    source: str
    bound: float
    package: str = ""
    required: str | None = None


ARTIFACTS: Final = (
    # Consumers share Lambda's 250 MB between code and layers, and every cold start unpacks the layer.
    Artifact(_SHARED, "layers/service_keys", 0.5, package="service_keys"),
    Artifact(_ADMIN, "layers/admin", 20),
    Artifact("Authorizer", "functions/authorizer", 25),
    # Without dependencies. A page load reads all of it except bytecode.
    Artifact("WebConsole", "functions/console", 0.3, required="static/api.html"),
)


def compile_admin_modules(build: Path, python: str) -> None:
    """Add bytecode of the shared package to the layer of the admin functions, for Lambda's Python.

    Lambda merges the folders of a function's layers (https://docs.aws.amazon.com/lambda/latest/dg/adding-layers.html),
    so the bytecode comes to lie beside its sources. The shared layer has none for modules that consumers never load.
    The interpreter ignores it (`checked-hash`) for other sources, as of another version of the shared layer.

    Args:
        build: The output folder of `sam build`.
        python: The interpreter, of Lambda's version; empty adds nothing.

    Raises:
        ArtifactError: The interpreter cannot compile the package.
    """
    target = build / _ADMIN / "python" / "service_keys"
    shutil.rmtree(target, ignore_errors=True)
    if not python:
        return
    shutil.copytree(
        build / _SHARED / "python" / "service_keys", target, ignore=shutil.ignore_patterns("__pycache__", "py.typed")
    )
    options = ["-q", "--invalidation-mode", "checked-hash", "-s", str(target), "-p", "/opt/python/service_keys"]
    ran = subprocess.run([python, "-m", "compileall", *options, str(target)], check=False)  # noqa: S603 - no shell
    if ran.returncode:
        raise ArtifactError(f"{python} could not compile the files in {target}; the lines above say why")
    for source in target.rglob("*.py"):
        source.unlink()


def inspect(build: Path, artifact: Artifact, architecture: str) -> str:
    """Inspect one artifact in the output folder of `sam build`, for `arm64` or `x86_64`; return its description.

    Raises:
        ArtifactError: The artifact is missing or incomplete, is too large, has a native module that Lambda's
            Python cannot load, or a file that does not belong to its package.
    """
    folder = build / artifact.name
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    content = _package(folder, files, artifact) if artifact.package else _native(folder, files, artifact, architecture)
    unzipped = sum(path.stat().st_size for path in files)
    if artifact.package:
        size, remedy = _zipped(folder, files), "make it smaller"
        sizes = f"{size / MEGABYTE:.2f} MB zipped, {artifact.bound} at most ({unzipped / MEGABYTE:.2f} unzipped)"
    else:
        sources = "static" if artifact.required else "requirements.in and run make lock"
        size, remedy = unzipped, f"take it out of {artifact.source}/{sources}"
        sizes = f"{size / MEGABYTE:.1f} MB unzipped, {artifact.bound} at most"
    described = f"{artifact.name}: {sizes}; {_bytecode(files)}; {content}"
    if size > artifact.bound * MEGABYTE:
        raise ArtifactError(
            f"{described}. See what grew (du -k {folder}/* {folder}/*/* | sort -n), {remedy}. "
            "Or raise its bound, in local/artifacts.py"
        )
    return described


def _package(folder: Path, files: list[Path], artifact: Artifact) -> str:
    """Return the description of an artifact with one package; raise if it is missing or has other files."""
    package = folder / "python" / artifact.package
    if package / "__init__.py" not in files:
        raise ArtifactError(
            f"{folder} holds no package {artifact.package}. Build it anew: rm -r .aws-sam && make build"
        )
    for path in files:
        if not path.is_relative_to(package) or (path.suffix not in {".py", ".pyc"} and path.name != "py.typed"):
            raise ArtifactError(
                f"{path} does not belong to the Python files of {artifact.package}, and functions of other teams would "
                f"load it. Take it out of {artifact.source}, or put it into layers/admin"
            )
    return f"only Python files of {artifact.package}"


def _native(folder: Path, files: list[Path], artifact: Artifact, architecture: str) -> str:
    """Return the description of the native modules; raise if Lambda's Python cannot load one, or a file is missing."""
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
    return f"native: {', '.join(path.name for path in native) or 'none'}"


def _bytecode(files: list[Path]) -> str:
    """Describe the versions of Python for which the artifact has bytecode."""
    names = (_CPYTHON.search(path.name) for path in files if path.suffix == ".pyc")
    versions = sorted({f"{name[1]}.{name[2]}" for name in names if name})
    if _RUNTIME in versions:
        return f"with bytecode for {', '.join(versions)}"
    return f"without bytecode for {_RUNTIME}, {_NO_BYTECODE}"


def _zipped(folder: Path, files: list[Path]) -> int:
    """Return the size of the zip file that `sam deploy` uploads, in bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in files:
            zipped.write(path, path.relative_to(folder))
    return len(archive.getvalue())


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
    if version and f"{version[1]}.{version[2]}" != _RUNTIME:
        return f"is for CPython {version[1]}.{version[2]}, not for {_RUNTIME}"
    return None
