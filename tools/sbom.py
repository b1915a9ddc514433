"""List the packages in the zip files of a release, in CycloneDX JSON; a part of ``make release``.

The packages are those whose metadata is in the built functions and layers, with the hashes of the wheels that pip
installed, which the lock files pin. Wheels with native modules bring lists of the libraries that are linked into them
(PEP 770); these are components of their package.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import uuid
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from email.message import Message

NAME: Final = "service-keys"
LICENSE: Final = "MIT"
SCHEMA: Final = SchemaVersion.V1_6
_METADATA: Final = re.compile(r"(?:.*/)?(?P<folder>[^/]+\.dist-info)/(?P<file>METADATA|sboms/[^/]+\.json)")
_BYTECODE: Final = re.compile(r"\.cpython-(\d)(\d+)\.pyc$")
_CLASSIFIER: Final = re.compile(r"License :: OSI Approved :: (.+)")
# Lambda's Python (https://packaging.python.org/en/latest/specifications/dependency-specifiers/#environment-markers).
_LAMBDA: Final = {
    "extra": "",
    "implementation_name": "cpython",
    "implementation_version": "3.13.0",
    "os_name": "posix",
    "platform_machine": "aarch64",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "Linux",
    "platform_version": "",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
}


class SbomError(Exception):
    """The list cannot be written. The message states the remedy."""


@dataclass
class Package:
    """A package of one version in the artifacts.

    Attributes:
        metadata: Its METADATA file.
        places: The artifacts that have it, such as `Authorizer (arm64)`.
        hashes: The SHA-256 hashes of its installed wheels.
        linked: The CycloneDX components that its wheels list.
    """

    metadata: Message
    places: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    linked: dict[str, dict[str, Any]] = field(default_factory=dict)


def canonical(name: str) -> str:
    """Return the name of a distribution as package indexes normalize it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def artifacts(bundle: Path) -> Iterator[tuple[str, zipfile.ZipFile]]:
    """Yield the name and the zip file of each function and layer in a zip file of the release."""
    with zipfile.ZipFile(bundle) as outer:
        for name in sorted(outer.namelist()):
            if name.endswith(".zip"):
                with zipfile.ZipFile(io.BytesIO(outer.read(name))) as inner:
                    yield Path(name).stem, inner


def packages(bundles: Iterable[Path], hashes: dict[tuple[str, str], set[str]]) -> dict[tuple[str, str], Package]:
    """Return the packages in the zip files of a release, by name and version.

    Raises:
        SbomError: pip's reports have no hash for a package.
    """
    found: dict[tuple[str, str], Package] = {}
    for bundle in bundles:
        architecture = bundle.stem.rpartition("-")[2]
        for place, archive in artifacts(bundle):
            for folder, files in _distributions(archive).items():
                if "METADATA" not in files:
                    raise SbomError(f"{bundle.name}: {place} has {folder} without METADATA. Build it anew.")
                metadata = BytesParser().parsebytes(files.pop("METADATA"), headersonly=True)
                key = canonical(metadata["Name"]), metadata["Version"]
                if key not in hashes:
                    raise SbomError(f"{place} has {key[0]} {key[1]}, which pip did not install from a lock file.")
                package = found.setdefault(key, Package(metadata, hashes=hashes[key]))
                package.places.add(f"{place} ({architecture})")
                for text in files.values():
                    package.linked |= _components(json.loads(text))
    return found


def _distributions(archive: zipfile.ZipFile) -> dict[str, dict[str, bytes]]:
    """Return METADATA and the lists of linked libraries of each distribution, by its folder."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for name in archive.namelist():
        if match := _METADATA.fullmatch(name):
            found[match["folder"]][match["file"]] = archive.read(name)
    return found


def _components(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the components of a CycloneDX document by package URL, without its qualifiers."""
    listed = (each for each in document.get("components", []) if each.get("purl"))
    return {each["purl"].partition("?")[0]: each for each in listed}


def installed_hashes(reports: Path) -> dict[tuple[str, str], set[str]]:
    """Return the SHA-256 hashes of the wheels that pip installed, by name and version, from its reports."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for report in sorted(reports.rglob("*.json")):
        for each in json.loads(report.read_text(encoding="utf-8"))["install"]:
            key = canonical(each["metadata"]["name"]), each["metadata"]["version"]
            found[key].add(each["download_info"]["archive_info"]["hashes"]["sha256"])
    return found


def license_of(metadata: Message) -> str | None:
    """Return the licence that a distribution declares: an SPDX expression, or else a name."""
    declared = metadata["License-Expression"] or metadata["License"]
    if declared and "\n" not in declared:
        return str(declared)
    names = (_CLASSIFIER.fullmatch(each) for each in metadata.get_all("Classifier", []))
    return next((match[1] for match in names if match), None)


def dependencies_of(metadata: Message) -> set[str]:
    """Return the names of the packages that a distribution needs on Lambda, without those of its extras."""
    declared = map(Requirement, metadata.get_all("Requires-Dist", []))
    return {canonical(each.name) for each in declared if each.marker is None or each.marker.evaluate(_LAMBDA)}


def bytecode_versions(bundles: Iterable[Path]) -> list[str]:
    """Return the versions of Python whose bytecode the artifacts have."""
    names = (name for bundle in bundles for _, archive in artifacts(bundle) for name in archive.namelist())
    found = {(int(match[1]), int(match[2])) for name in names if (match := _BYTECODE.search(name))}
    return [f"{major}.{minor}" for major, minor in sorted(found)]


def bill_of_materials(
    version: str, commit: str, seconds: int, bundles: list[Path], hashes: dict[tuple[str, str], set[str]]
) -> str:
    """Return the CycloneDX document of a release.

    Args:
        version: The version of the release.
        commit: The id of its commit.
        seconds: The time of the commit, in seconds since 1970.
        bundles: The zip files of the release.
        hashes: The SHA-256 hashes of the installed wheels, by name and version.

    Raises:
        SbomError: A package has no hash, or the document does not match the schema.
    """
    licenses = LicenseFactory()
    own = Component(
        name=NAME,
        version=version,
        type=ComponentType.APPLICATION,
        bom_ref=NAME,
        licenses=[licenses.make_from_string(LICENSE)],
        purl=PackageURL("pypi", name=NAME, version=version),
        properties=[
            Property(name="service-keys:commit", value=commit),
            Property(name="service-keys:bytecode", value=", ".join(bytecode_versions(bundles))),
        ],
    )
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"pkg:pypi/{NAME}@{version}#{commit}"))
    bom.metadata.component = own
    bom.metadata.timestamp = datetime.fromtimestamp(seconds, UTC)
    deployed = sorted(packages(bundles, hashes).items())
    components: dict[str, Component] = {}
    for (name, its_version), package in deployed:
        purl = PackageURL("pypi", name=name, version=its_version)
        declared = license_of(package.metadata)
        component = Component(
            name=name,
            version=its_version,
            bom_ref=str(purl),
            purl=purl,
            licenses=[licenses.make_from_string(declared)] if declared else [],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in sorted(package.hashes)],
            properties=[Property(name="service-keys:artifact", value=place) for place in sorted(package.places)],
            components=[_linked(str(purl), each) for _, each in sorted(package.linked.items())],
        )
        bom.components.add(component)
        components[name] = component
    for (name, _), package in deployed:
        needed = dependencies_of(package.metadata) & components.keys()
        bom.register_dependency(components[name], [components[each] for each in sorted(needed)])
    bom.register_dependency(own, components.values())
    text: str = make_outputter(bom, OutputFormat.JSON, SCHEMA).output_as_string(indent=2) + "\n"
    if problem := JsonStrictValidator(SCHEMA).validate_str(text):
        raise SbomError(f"The list does not match the schema of CycloneDX: {problem}. Correct tools/sbom.py.")
    return text


def _linked(package: str, listed: dict[str, Any]) -> Component:
    """Return the component of a library that is linked into the native module of a package."""
    purl = listed["purl"].partition("?")[0]
    texts = [each.get("expression") or next(iter(each["license"].values())) for each in listed.get("licenses", [])]
    hashes = [each["content"] for each in listed.get("hashes", []) if each["alg"] == "SHA-256"]
    return Component(
        name=listed["name"],
        version=listed.get("version"),
        bom_ref=f"{package}#{purl}",
        purl=PackageURL.from_string(purl),
        licenses=[LicenseFactory().make_from_string(text) for text in texts],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in hashes],
    )


def main() -> int:
    """Parse the command line, write the list and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--time", type=int, required=True, help="the time of the commit, in seconds since 1970")
    parser.add_argument("--reports", type=Path, required=True, help="the folder with pip's reports")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("bundles", type=Path, nargs="+", help="the zip files of the release")
    options = parser.parse_args()
    try:
        hashes = installed_hashes(options.reports)
        text = bill_of_materials(options.version, options.commit, options.time, options.bundles, hashes)
    except SbomError as exc:
        print(exc, file=sys.stderr)
        return 1
    options.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
