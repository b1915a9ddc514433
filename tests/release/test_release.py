"""The files of two releases of one commit: the same bytes, deployable, and every package in the list."""

from __future__ import annotations

import io
import json
import marshal
import re
import shutil
import subprocess
import sys
import zipfile
from datetime import datetime
from email.parser import Parser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from local.template import EXAMPLE_PARAMETERS, Template
from tests.release.conftest import VERSION, Release
from tests.support.processes import ROOT
from tests.support.pythons import find_python
from tests.support.repository import git
from tests.unit.test_locks import FOLDERS, LOCKED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

pytestmark = pytest.mark.timeout(600)
ARCHITECTURES = ("arm64", "x86_64")
DEPLOYED = {"AdminLayer": "/opt/python/", "ServiceKeysLayer": "/opt/python/"}


@pytest.fixture(scope="session")
def release(releases: tuple[Release, Release]) -> Release:
    return releases[0]


@pytest.fixture(scope="session")
def sbom(release: Release) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((release.dist / f"service-keys-{VERSION}.cdx.json").read_text())
    return document


def archives(release: Release) -> Iterator[tuple[str, str, zipfile.ZipFile]]:
    """Yield architecture, name and zip file of each function and layer."""
    for architecture in ARCHITECTURES:
        with zipfile.ZipFile(release.dist / f"service-keys-{VERSION}-{architecture}.zip") as outer:
            for name in outer.namelist():
                if name.endswith(".zip"):
                    with zipfile.ZipFile(io.BytesIO(outer.read(name))) as inner:
                        yield architecture, Path(name).stem, inner


def test_two_builds_have_the_same_bytes(releases: tuple[Release, Release]) -> None:
    """Compare the checksums, and then the files."""
    one, another = releases

    assert (one.dist / "SHA256SUMS").read_text() == (another.dist / "SHA256SUMS").read_text()
    assert sorted(path.name for path in one.dist.iterdir()) == [
        "SHA256SUMS",
        f"service-keys-{VERSION}-arm64.zip",
        f"service-keys-{VERSION}-x86_64.zip",
        f"service-keys-{VERSION}.cdx.json",
        f"service_keys-{VERSION}-py3-none-any.whl",
        f"service_keys-{VERSION}.tar.gz",
    ]
    for path in one.dist.iterdir():
        assert path.read_bytes() == (another.dist / path.name).read_bytes()


def test_the_checksums_are_those_of_every_file(release: Release) -> None:
    """Check them with the tool that a deployer uses."""
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("This machine has no sha256sum")
    command = [tool, "--check", "--strict", "SHA256SUMS"]

    ran = subprocess.run(command, cwd=release.dist, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert len(ran.stdout.splitlines()) == len(list(release.dist.iterdir())) - 1


def test_no_file_names_a_folder_of_the_build(releases: tuple[Release, Release]) -> None:
    """Search the uncompressed files for the folders of the clones, temporary folders and environments."""
    release = releases[0]
    folders = [str(release.clone), str(release.clone.parent / "t"), str(ROOT), str(Path(sys.prefix).resolve())]
    searched = 0
    for architecture, name, archive in archives(release):
        for member in archive.namelist():
            content = archive.read(member)
            assert not [each for each in folders if each.encode() in content], f"{name} ({architecture}): {member}"
            searched += 1
    for path in release.dist.iterdir():
        assert not [each for each in folders if each.encode() in path.read_bytes()], path.name
    assert searched > 1000


def code_objects(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            yield from code_objects(constant)


def test_bytecode_names_its_source_on_lambda(release: Release) -> None:
    """Read the bytecode of the Python that runs this test, which has no flags that depend on times."""
    tag = f"cpython-{sys.version_info.major}{sys.version_info.minor}.pyc"
    found = 0
    for _, name, archive in archives(release):
        for member in archive.namelist():
            if not member.endswith(".pyc"):
                continue
            content = archive.read(member)
            assert int.from_bytes(content[4:8], "little") & 1, f"{name}: {member} depends on the time of its source"
            if member.endswith(tag):
                files = {code.co_filename for code in code_objects(marshal.loads(content[16:]))}
                assert all(file.startswith(DEPLOYED.get(name, "/var/task/")) for file in files), files
                found += 1
    assert found or sys.version_info[:2] not in {(3, 11), (3, 12), (3, 13), (3, 14)}


def test_the_record_of_a_package_lists_files_of_the_artifact(release: Release) -> None:
    """Name no script, which pip writes for the machine of the build."""
    for _, name, archive in archives(release):
        members = set(archive.namelist())
        for record in (member for member in members if member.endswith(".dist-info/RECORD")):
            top = record.rpartition("/")[0].rpartition("/")[0]
            for line in archive.read(record).decode().splitlines():
                listed = line.partition(",")[0]
                assert (f"{top}/{listed}" if top else listed) in members, f"{name}: {record} lists {listed}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_bundle_has_a_template_for_its_zip_files(release: Release, tmp_path: Path, architecture: str) -> None:
    """Translate it as SAM does: each function and layer has its zip file, for this architecture alone."""
    with zipfile.ZipFile(release.dist / f"service-keys-{VERSION}-{architecture}.zip") as bundle:
        bundle.extractall(tmp_path)
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"service-keys-{VERSION}-{architecture}"

    template = Template.load(EXAMPLE_PARAMETERS, path=folder / "template.yaml")

    code = {resource["Code"]["S3Key"] for _, resource in template.resources("AWS::Lambda::Function")}
    layers = {resource["Content"]["S3Key"] for _, resource in template.resources("AWS::Lambda::LayerVersion")}
    assert (len(code), len(layers)) == (12, 2)
    assert {path.name for path in folder.glob("*.zip")} == code | layers
    assert template.parameters["Architecture"] == architecture
    assert template.resolve(template.cloudformation["Outputs"]["Version"]["Value"]) == VERSION
    (other,) = set(ARCHITECTURES) - {architecture}
    assert other not in json.dumps(template.cloudformation["Parameters"]["Architecture"]["AllowedValues"])


def test_native_modules_have_the_architecture_of_their_bundle(release: Release) -> None:
    """Read the machine in the header of each module (ELF, offset 18)."""
    machines = {"arm64": 0xB7, "x86_64": 0x3E}
    for architecture, name, archive in archives(release):
        for member in (each for each in archive.namelist() if each.endswith(".so")):
            assert int.from_bytes(archive.read(member)[18:20], "little") == machines[architecture], f"{name}: {member}"


def test_the_layer_has_the_version_of_the_release(release: Release) -> None:
    """Put the same package into the wheel and the consumers' layer."""
    with zipfile.ZipFile(release.dist / f"service_keys-{VERSION}-py3-none-any.whl") as wheel:
        sources = {name: wheel.read(name) for name in wheel.namelist() if name.endswith(".py")}
    assert f'__version__ = "{VERSION}"'.encode() in sources["service_keys/__init__.py"]
    for _, name, archive in archives(release):
        if name == "ServiceKeysLayer":
            layer = {each.removeprefix("python/"): archive.read(each) for each in archive.namelist()}
            assert {each: text for each, text in layer.items() if each.endswith(".py")} == sources


def deployed_packages(release: Release) -> dict[tuple[str, str], set[str]]:
    """Return the artifacts of each package by name and version, from the dist-info folders."""
    found: dict[tuple[str, str], set[str]] = {}
    for architecture, name, archive in archives(release):
        for member in archive.namelist():
            if member.endswith(".dist-info/METADATA"):
                metadata = Parser().parsestr(archive.read(member).decode())
                key = re.sub(r"[-_.]+", "-", metadata["Name"]).lower(), metadata["Version"]
                found.setdefault(key, set()).add(f"{name} ({architecture})")
    return found


def test_the_sbom_lists_every_deployed_package(release: Release, sbom: dict[str, Any]) -> None:
    """Compare names, versions and artifacts with the dist-info folders in the zip files."""
    listed = {
        (each["name"], each["version"]): {
            entry["value"] for entry in each["properties"] if entry["name"] == "service-keys:artifact"
        }
        for each in sbom["components"]
    }

    assert listed == deployed_packages(release)
    assert len(listed) > 8
    own = sbom["metadata"]["component"]
    assert (own["name"], own["version"], own["purl"]) == ("service-keys", VERSION, f"pkg:pypi/service-keys@{VERSION}")


def test_the_sbom_has_exactly_the_pins_of_the_locks(sbom: dict[str, Any]) -> None:
    """Compare the versions, and each hash with those that the lock allows for the version."""
    locked = {
        (pin["name"], pin["version"]): set(re.findall(r"sha256:([0-9a-f]{64})", pin["hashes"]))
        for folder in FOLDERS
        for pin in LOCKED.finditer((ROOT / folder / "requirements.txt").read_text())
    }

    components = {(each["name"], each["version"]): each for each in sbom["components"]}
    assert components.keys() == locked.keys()
    for key, component in components.items():
        hashes = {each["content"] for each in component["hashes"]}
        assert hashes, key
        assert hashes <= locked[key], key
        assert len(hashes) <= len(ARCHITECTURES), key
        assert component["purl"] == "pkg:pypi/{}@{}".format(*key)
        assert component["licenses"], key


def test_the_sbom_lists_the_libraries_in_native_modules(sbom: dict[str, Any]) -> None:
    """Take them from the lists that the wheels bring along: cryptography has OpenSSL."""
    linked = {
        (each["name"], library["name"]): library["purl"]
        for each in sbom["components"]
        for library in each.get("components", [])
    }

    assert linked["cryptography", "openssl"].startswith("pkg:generic/openssl@")
    assert any(package == "pydantic-core" for package, _ in linked)


def test_the_sbom_has_the_dependencies_between_packages(sbom: dict[str, Any]) -> None:
    """Name those on Lambda: without extras, and without those of other systems."""
    by_reference = {each["bom-ref"]: each["name"] for each in [sbom["metadata"]["component"], *sbom["components"]]}
    needs = {
        by_reference[each["ref"]]: {by_reference[other] for other in each.get("dependsOn", [])}
        for each in sbom["dependencies"]
        if each["ref"] in by_reference
    }

    assert needs["pydantic"] == {"annotated-types", "pydantic-core", "typing-extensions", "typing-inspection"}
    assert needs["cryptography"] == {"cffi"}
    assert needs["pyjwt"] == set()
    assert needs["service-keys"] == {each["name"] for each in sbom["components"]}


def test_the_sbom_names_the_bytecode(sbom: dict[str, Any]) -> None:
    """Name the versions of Python of which the machine's bytecode is in the artifacts."""
    (bytecode,) = [
        each["value"] for each in sbom["metadata"]["component"]["properties"] if each["name"] == "service-keys:bytecode"
    ]

    assert "3.13" in bytecode.split(", ")
    assert set(bytecode.split(", ")) == {each for each in ("3.11", "3.12", "3.13", "3.14") if find_python(each)}


def test_the_sbom_depends_on_the_commit_alone(sbom: dict[str, Any], release: Release) -> None:
    """Derive the serial number and the time from the commit."""
    commit, seconds = git(release.clone, "show", "--no-patch", "--format=%H %ct").split()

    assert {"name": "service-keys:commit", "value": commit} in sbom["metadata"]["component"]["properties"]
    assert sbom["serialNumber"].startswith("urn:uuid:")
    assert datetime.fromisoformat(sbom["metadata"]["timestamp"]).timestamp() == int(seconds)


def test_the_command_reports_its_steps_and_the_next_one(release: Release) -> None:
    """Print a line for each step, the checksums, and how to publish."""
    steps = [line for line in release.output.splitlines() if line.endswith(" ...")]

    assert len(steps) == 6
    assert (release.dist / "SHA256SUMS").read_text() in release.output
    assert "With bytecode for Python 3.1" in release.output
    assert f"git tag -a v{VERSION} -m v{VERSION} && git push origin v{VERSION}" in release.output
