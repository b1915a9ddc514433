"""Inspection of build artifacts, the last step of `make build`."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING

import pytest

from local.__main__ import main
from local.artifacts import ARTIFACTS, MEGABYTE, Artifact, ArtifactError, compile_admin_modules, inspect

if TYPE_CHECKING:
    from pathlib import Path

ARTIFACT = Artifact("Thing", "functions/thing", 2)
# e_machine: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html and the processors' supplements.
X86_64, ARM64, RISCV = (62).to_bytes(2, "little"), (183).to_bytes(2, "little"), (243).to_bytes(2, "little")


def library(machine: bytes) -> bytes:
    return b"\x7fELF" + bytes(14) + machine + bytes(100)


@pytest.fixture
def build(tmp_path: Path) -> Path:
    """Return a build for arm64."""
    (tmp_path / "Thing" / "deep").mkdir(parents=True)
    (tmp_path / "Thing" / "_core.cpython-313-aarch64-linux-gnu.so").write_bytes(library(ARM64))
    (tmp_path / "Thing" / "deep" / "_rust.abi3.so").write_bytes(library(ARM64))
    (tmp_path / "Thing" / "app.py").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("version", "bytecode"),
    [("313", "with bytecode for 3.13; "), ("312", "without bytecode for 3.13, so that every cold start")],
)
def test_artifact_description(build: Path, version: str, bytecode: str) -> None:
    """The description has the unzipped size, the native modules, and the cost without bytecode of CPython 3.13."""
    (build / "Thing" / f"app.cpython-{version}.pyc").write_bytes(bytes(MEGABYTE + MEGABYTE // 2))

    described = inspect(build, ARTIFACT, "arm64")

    assert described.startswith(f"Thing: 1.5 MB unzipped, 2 at most; {bytecode}")
    assert described.endswith("_core.cpython-313-aarch64-linux-gnu.so, _rust.abi3.so")


def test_artifact_size_limit(build: Path) -> None:
    """An artifact of exactly the limit passes; one more byte is an error with a remedy."""
    size = sum(path.stat().st_size for path in build.rglob("*.so"))
    data = build / "Thing" / "data"
    data.write_bytes(bytes(2 * MEGABYTE - size))
    assert inspect(build, ARTIFACT, "arm64").startswith("Thing: 2.0 MB unzipped, 2 at most")

    data.write_bytes(bytes(2 * MEGABYTE - size + 1))
    with pytest.raises(ArtifactError, match=r"take it out of functions/thing/requirements\.in and run make lock"):
        inspect(build, ARTIFACT, "arm64")


@pytest.mark.parametrize(
    ("name", "content", "objection"),
    [
        ("_rust.abi3.so", library(X86_64), "is for x86_64, not for arm64"),
        ("_rust.abi3.so", library(RISCV), "is for another machine, not for arm64"),
        ("_core.cpython-312-aarch64-linux-gnu.so", library(ARM64), "is for CPython 3.12, not for 3.13"),
        ("_core.cpython-313-darwin.so", b"\xcf\xfa\xed\xfe" + bytes(100), "is no Linux library"),
        ("libthing.so.1", library(X86_64), "is for x86_64, not for arm64"),
    ],
)
def test_incompatible_native_module_rejected(build: Path, name: str, content: bytes, objection: str) -> None:
    """Native modules for another machine, Python or platform are errors."""
    (build / "Thing" / "deep" / name).write_bytes(content)

    with pytest.raises(ArtifactError, match=f"{name} {objection}. Build it anew: "):
        inspect(build, ARTIFACT, "arm64")


def test_artifact_without_native_modules_rejected(build: Path) -> None:
    """pip did not install the dependencies."""
    with pytest.raises(ArtifactError, match="holds no native module"):
        inspect(build, Artifact("Elsewhere", "functions/elsewhere", 2), "arm64")


def test_incomplete_or_large_console_rejected(tmp_path: Path) -> None:
    """An artifact without dependencies has no native module, but its generated page; its remedy names its files."""
    console = Artifact("Console", "functions/console", 0.1, required="static/api.html")
    (tmp_path / "Console" / "static").mkdir(parents=True)
    with pytest.raises(ArtifactError, match=r"holds no static/api\.html\. Build it anew: "):
        inspect(tmp_path, console, "arm64")

    page = tmp_path / "Console" / "static" / "api.html"
    page.write_bytes(bytes(1000))
    assert inspect(tmp_path, console, "arm64").startswith("Console: 0.0 MB unzipped, 0.1 at most; ")
    page.write_bytes(bytes(MEGABYTE // 5))
    with pytest.raises(ArtifactError, match=r"take it out of functions/console/static\. Or raise its bound"):
        inspect(tmp_path, console, "arm64")


# --- the layer of consumers -------------------------------------------------------------------------------------------

SHARED = Artifact("ServiceKeysLayer", "layers/service_keys", 2, package="service_keys")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Return the package in a build."""
    package = tmp_path / "ServiceKeysLayer" / "python" / "service_keys"
    (package / "admin").mkdir(parents=True)
    for name in ("__init__.py", "py.typed", "admin/__init__.py"):
        (package / name).write_text("")
    return package


def test_shared_layer_description(tmp_path: Path, shared: Path) -> None:
    """The limit applies to the zip file; the description also has the unzipped size and every version with bytecode."""
    for version in ("311", "312", "313"):
        (shared / f"__init__.cpython-{version}.pyc").write_bytes(bytes(MEGABYTE))

    described = inspect(tmp_path, SHARED, "arm64")

    assert described == (
        "ServiceKeysLayer: 0.00 MB zipped, 2 at most (3.00 unzipped); with bytecode for 3.11, 3.12, 3.13; "
        "only Python files of service_keys"
    )


def test_shared_layer_size_limit(tmp_path: Path, shared: Path) -> None:
    """More than the limit after compression is an error."""
    (shared / "__init__.cpython-313.pyc").write_bytes(random.Random(0).randbytes(2 * MEGABYTE))

    with pytest.raises(ArtifactError, match=r"2\.00 MB zipped, 2 at most .*, make it smaller\. Or raise its bound"):
        inspect(tmp_path, SHARED, "arm64")


@pytest.mark.parametrize(
    "name",
    [
        "service_keys/_rust.abi3.so",
        "service_keys/data.json",
        "pydantic/__init__.py",
        "typing_extensions.py",
        "service_keys-1.0.dist-info/METADATA",
        "service_keys.libs/libssl.so.3",
    ],
)
def test_foreign_file_in_shared_layer_rejected(tmp_path: Path, shared: Path, name: str) -> None:
    """Native modules and files of other packages are errors."""
    path = shared.parent / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")

    with pytest.raises(ArtifactError, match=f"{name} does not belong to the Python files of service_keys"):
        inspect(tmp_path, SHARED, "arm64")


def test_shared_layer_without_package_rejected(tmp_path: Path) -> None:
    """The build copied nothing."""
    with pytest.raises(ArtifactError, match=r"holds no package service_keys\. Build it anew"):
        inspect(tmp_path, SHARED, "arm64")


def test_admin_layer_gets_bytecode_of_the_shared_package(tmp_path: Path, shared: Path) -> None:
    """Compile every module, add no sources, and replace the bytecode of the build before."""
    added = tmp_path / "AdminLayer" / "python" / "service_keys"
    (added / "__pycache__").mkdir(parents=True)
    (added / "__pycache__" / "old.cpython-313.pyc").write_bytes(b"")

    compile_admin_modules(tmp_path, sys.executable)

    tag = sys.implementation.cache_tag
    assert sorted(str(path.relative_to(added)) for path in added.rglob("*") if path.is_file()) == [
        f"__pycache__/__init__.{tag}.pyc",
        f"admin/__pycache__/__init__.{tag}.pyc",
    ]
    # https://peps.python.org/pep-0552/: bit 0 for a hash in place of a time, bit 1 to check it.
    assert (added / "__pycache__" / f"__init__.{tag}.pyc").read_bytes()[4] == 0b11


def test_admin_layer_without_lambdas_python(tmp_path: Path, shared: Path) -> None:
    """Add nothing, and leave no bytecode of an earlier build."""
    compile_admin_modules(tmp_path, sys.executable)
    compile_admin_modules(tmp_path, "")

    assert not (tmp_path / "AdminLayer" / "python" / "service_keys").exists()


def test_admin_layer_compilation_error(tmp_path: Path, shared: Path) -> None:
    """A file that does not compile is an error."""
    (shared / "broken.py").write_text("(")

    with pytest.raises(ArtifactError, match="could not compile the files in"):
        compile_admin_modules(tmp_path, sys.executable)


@pytest.mark.parametrize(("architecture", "code"), [("arm64", 0), ("x86_64", 1)])
def test_artifacts_command_exit_code(
    tmp_path: Path, shared: Path, capsys: pytest.CaptureFixture[str], architecture: str, code: int
) -> None:
    """The command exits with 1 if an artifact is rejected."""
    for artifact in ARTIFACTS[1:]:
        (tmp_path / artifact.name).mkdir()
        (tmp_path / artifact.name / "_rust.abi3.so").write_bytes(library(ARM64))
        if artifact.required:
            (tmp_path / artifact.name / artifact.required).parent.mkdir()
            (tmp_path / artifact.name / artifact.required).touch()

    assert main(["artifacts", "--architecture", architecture, str(tmp_path)]) == code

    printed = capsys.readouterr()
    assert "ServiceKeysLayer: 0.00 MB zipped, 0.5 at most" in printed.out
    assert ("AdminLayer: 0.0 MB unzipped, 20 at most" in printed.out) == (code == 0)
    assert ("is for arm64, not for x86_64" in printed.err) == (code == 1)
