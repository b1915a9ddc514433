"""Inspection of build artifacts, the last step of `make build`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.__main__ import main
from local.artifacts import ARTIFACTS, MEGABYTE, Artifact, ArtifactError, inspect

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
    ("version", "bytecode"), [("313", "with bytecode; "), ("312", "without bytecode, so that every cold start")]
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
        ("_core.cpython-312-aarch64-linux-gnu.so", library(ARM64), "is for CPython 312, not for 313"),
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


@pytest.mark.parametrize(("architecture", "code"), [("arm64", 0), ("x86_64", 1)])
def test_artifacts_command_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], architecture: str, code: int
) -> None:
    """The command exits with 1 if an artifact is rejected."""
    for artifact in ARTIFACTS:
        (tmp_path / artifact.name).mkdir()
        (tmp_path / artifact.name / "_rust.abi3.so").write_bytes(library(ARM64))
        if artifact.required:
            (tmp_path / artifact.name / artifact.required).parent.mkdir()
            (tmp_path / artifact.name / artifact.required).touch()

    assert main(["artifacts", "--architecture", architecture, str(tmp_path)]) == code

    printed = capsys.readouterr()
    assert ("ServiceKeysLayer: 0.0 MB unzipped, 40 at most" in printed.out) == (code == 0)
    assert ("is for arm64, not for x86_64" in printed.err) == (code == 1)
