"""Check that every place has one version, then build the release of a commit into dist/: ``make release``.

dist/ gets the wheel and the sdist, for each architecture a zip file with a template and the code that `sam deploy`
needs, a list of the deployed packages (CycloneDX), and SHA256SUMS. The build uses a copy of the commit in a temporary
folder, and the time of the commit, so that two builds have the same bytes
(docs/decisions/33-reproducible-releases.md).
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools import ROOT
from tools.release_bundle import write_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ARCHITECTURES: Final = ("arm64", "x86_64")
PACKAGE: Final = Path("layers/service_keys/service_keys/__init__.py")
RUNTIME: Final = "3.13"
"""Version of Lambda's Python, as in template.yaml."""
STORED_ITEMS: Final = Path("tests/functional/stored_items")
_RELEASED: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")
_MAPPING: Final = re.compile(r'^  ServiceKeys: \{Release: \{Version: "([^"]*)"\}\}$', re.MULTILINE)
_INFO_VERSION: Final = re.compile(r"^info:\n(?:  .*\n)*?  version: (\S+)$", re.MULTILINE)
_HEADING: Final = re.compile(r"^## \[([^\]]*)\](?: - (\S*))?[^\n]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_NAMED_MAX: Final = 5
# Settings of the caller that would change the build: options of an outer make, of Python and of pip. Those of indexes,
# proxies, certificates and caches stay.
_NOT_INHERITED: Final = re.compile(
    "MAKE.*|MFLAGS|PYTHON.*|GIT_.*|ARCHITECTURE|BUILD|REPORTS|RUNTIME.*"
    "|PIP_(COMPILE|CONSTRAINT|DRY_RUN|IGNORE_INSTALLED|LOG|NO_(BINARY|COMPILE|DEPS)|PLATFORM|PREFIX|PRE|QUIET|REPORT|ROOT"
    "|TARGET|UPGRADE|USER|VERBOSE)"
)


class ReleaseError(Exception):
    """The release cannot be built. The message has a line for each reason, with its remedy."""


@dataclass(frozen=True)
class Commit:
    """The commit that is built: its id and its time in seconds since 1970."""

    id: str
    time: int


@dataclass(frozen=True)
class Tools:
    """Programs of the build.

    Attributes:
        python: The interpreter of the development environment.
        package_python: The interpreter with the build tools of tools/requirements-package.txt.
        runtime_python: Lambda's Python, for bytecode.
        runtimes: Every Python that consumers may use and this machine has, for the bytecode of their layer.
    """

    python: Path
    package_python: Path
    runtime_python: str
    runtimes: str


def package_version(root: Path) -> str:
    """Return `__version__` of the package, without importing it.

    Raises:
        ReleaseError: The package has no such constant.
    """
    for statement in ast.parse((root / PACKAGE).read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__version__")], value=ast.Constant(value=str(version))):
                return version
    raise ReleaseError(f'{PACKAGE} has no line __version__ = "…": add one with the version of the release.')


def disagreements(root: Path) -> Iterator[str]:
    """Yield a message for each place whose version differs from that of the package, or is none of a release."""
    version = package_version(root)
    if not _RELEASED.fullmatch(version):
        yield (
            f"{PACKAGE} has version {version}, which is none of a release: set __version__ to three numbers such as "
            "1.2.3, run make template openapi, and commit."
        )
    texts = {name: (root / name).read_text(encoding="utf-8") for name in ("template.yaml", "openapi.yaml")}
    generated = (("template.yaml", _MAPPING, "template"), ("openapi.yaml", _INFO_VERSION, "openapi"))
    for name, pattern, target in generated:
        found = pattern.search(texts[name])
        if not found or found[1].strip("'\"") != version:
            has = f"version {found[1]}" if found else "no version"
            yield f"{name} has {has}, and the package {version}: run make {target}, and commit."
    if not (root / STORED_ITEMS / f"{version}.json").is_file():
        yield (
            f"{STORED_ITEMS} has no items of {version}, which later versions must read: run python -m "
            f"tools.store_fixture {version} with the Python of .venv, and commit."
        )
    yield from _changelog_disagreements((root / "CHANGELOG.md").read_text(encoding="utf-8"), version)


def _changelog_disagreements(text: str, version: str) -> Iterator[str]:
    sections = _HEADING.findall(text)
    if sections and sections[0][0] == "Unreleased":
        _, _, entries = sections.pop(0)
        if entries.strip():
            yield f"CHANGELOG.md has entries under Unreleased: move them under ## [{version}], and commit."
    newest, day = sections[0][:2] if sections else ("", "")
    if newest != version:
        has = f"begins with {newest}" if newest else "has no release"
        yield f"CHANGELOG.md {has}: add the heading ## [{version}] - <date> with the changes of {version}, and commit."
        return
    try:
        valid = date.fromisoformat(day).isoformat() == day
    except ValueError:
        valid = False
    if not valid:
        yield (
            f"CHANGELOG.md has no date for {version}: write its heading as ## [{version}] - 2030-12-31, with the day "
            "of the release, and commit."
        )


def git(root: Path, *arguments: str) -> str:
    """Run git in a folder; return its output without the last line break.

    Raises:
        ReleaseError: git is missing, or failed.
    """
    command = ["git", "-C", str(root), *arguments]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    except FileNotFoundError:
        raise ReleaseError("There is no git on PATH, and a release is built from a commit: install git.") from None
    if ran.returncode:
        raise ReleaseError(
            f"git failed: {ran.stderr.strip()} - a release is built from a commit: run make release in a clone."
        )
    return ran.stdout.rstrip("\n")


def head(root: Path) -> Commit:
    """Return the commit that is checked out."""
    commit, seconds = git(root, "-c", "log.showSignature=false", "log", "-1", "--format=%H %ct").split()
    return Commit(commit, int(seconds))


def repository_problems(root: Path, version: str) -> Iterator[str]:
    """Yield a message for uncommitted files, and for each tag of a version that belongs to another commit."""
    lines = git(root, "status", "--porcelain", "--untracked-files=all").splitlines()
    if names := [line[3:] for line in lines]:
        more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
        yield f"Not committed: {', '.join(names[:_NAMED_MAX])}{more}. Commit, remove or stash them."
    here, tag = head(root).id, f"v{version}"
    if tag in git(root, "tag", "--list", tag).splitlines():
        tagged = git(root, "rev-list", "-n", "1", tag)
        if tagged != here:
            yield (
                f"The tag {tag} is another commit, {tagged[:12]}: to build that release again, run git checkout {tag}; "
                "for a new release, choose the next version."
            )
    for other in git(root, "tag", "--points-at", "HEAD", "--list", "v[0-9]*").splitlines():
        if other != tag:
            yield f"This commit has the tag {other}, and the package version {version}: tag the commit of that version."


def missing_tools(tools: Tools) -> Iterator[str]:
    """Yield a message for each program that the build needs and this machine lacks."""
    for name in ("make", "tar"):
        if shutil.which(name) is None:
            yield f"There is no {name} on PATH, which the build needs: install it."
    if not _is_runtime(tools.runtime_python):
        named = f"{tools.runtime_python} is no Python 3.13" if tools.runtime_python else "There is no Python 3.13"
        yield (
            f"{named}, which Lambda runs and whose bytecode the artifacts have: install it, or name one: make release "
            "RUNTIME_PYTHON=/path/to/python3.13"
        )


def _is_runtime(python: str) -> bool:
    command = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - no shell
    except OSError:
        return False
    return ran.stdout.strip() == RUNTIME


def check(root: Path, tools: Tools) -> tuple[str, Commit]:
    """Return the version and the commit of the release.

    Raises:
        ReleaseError: A place disagrees, the tree has uncommitted files, or a program is missing.
    """
    version = package_version(root)
    problems = [*disagreements(root), *repository_problems(root, version), *missing_tools(tools)]
    if problems:
        raise ReleaseError("\n".join(problems))
    return version, head(root)


def export(root: Path, commit: Commit, tree: Path) -> None:
    """Write the files of a commit to an empty folder, without the settings of this machine's git."""
    tree.mkdir()
    plain = ("-c", "core.autocrlf=false", "-c", "core.attributesFile=/dev/null", "-c", "tar.umask=0022")
    archive = tree.with_suffix(".tar")
    git(root, *plain, "archive", "--format=tar", f"--output={archive}", commit.id)
    run("tar", ["tar", "-xf", str(archive), "-C", str(tree)], tree, os.environ)
    archive.unlink()


def run(title: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    """Run a command and show its output only if it fails.

    Args:
        title: The name of the command in the error.
        command: The command.
        folder: Its working folder.
        environment: Its environment variables.

    Raises:
        ReleaseError: The command failed.
    """
    ran = subprocess.run(  # noqa: S603 - no shell
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise ReleaseError(f"{ran.stdout.strip()}\n\n{title} failed; the lines above say why.")


class Build:
    """One build of a commit in a temporary folder.

    Args:
        work: The temporary folder.
        tools: The programs of the build.
        version: The version of the package.
        commit: The commit.
    """

    def __init__(self, work: Path, tools: Tools, version: str, commit: Commit) -> None:
        self.tree, self.output, self.reports = work / "tree", work / "dist", work / "reports"
        self._tools, self._version, self._commit = tools, version, commit
        # Relative links, because make would split a path with a space into two.
        self._environments = {"VENV": "../venv", "PACKAGE_VENV": "../venv-package"}
        for link, python in zip(self._environments.values(), (tools.python, tools.package_python), strict=True):
            (work / Path(link).name).symlink_to(python.parents[1])
        kept = {name: value for name, value in os.environ.items() if not _NOT_INHERITED.fullmatch(name)}
        self._environment = kept | {
            # The time in the wheel and the sdist (https://reproducible-builds.org/specs/source-date-epoch/).
            "SOURCE_DATE_EPOCH": str(commit.time),
            "TZ": "UTC",
            "LC_ALL": "C",
            "PYTHONUTF8": "1",
            "PYTHONHASHSEED": "0",
            # No bytecode of the tools themselves beside the sources.
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def make(self, *arguments: str) -> None:
        """Run make in the tree, with the environments of this checkout."""
        command = ["make", "--no-print-directory"]
        for name, link in self._environments.items():
            command += [f"--old-file={link}/ready", f"{name}={link}"]
        command += [f"RUNTIME_PYTHON={self._tools.runtime_python}", f"RUNTIMES={self._tools.runtimes}"]
        run(f"make {arguments[0]}", [*command, *arguments], self.tree, self._environment)

    def check_generated_files(self) -> None:
        """Generate every generated file again.

        Raises:
            ReleaseError: A file of the commit is out of date.
        """
        paths = [path for path in self.tree.rglob("*") if path.is_file() and path.suffix in {".yaml", ".md", ".json"}]
        before = {path: path.read_bytes() for path in paths}
        self.make("template", "openapi", "docs")
        if changed := sorted(str(path.relative_to(self.tree)) for path in paths if path.read_bytes() != before[path]):
            raise ReleaseError(f"Out of date: {', '.join(changed)}. Run make template openapi docs, and commit.")

    def distributions(self) -> None:
        """Build and check the wheel and the sdist."""
        self.make("package")
        self.output.mkdir()
        for path in (self.tree / "dist").iterdir():
            shutil.move(path, self.output)

    def bundle(self, architecture: str) -> None:
        """Build the functions and layers for an architecture, and write them with their template to one zip file."""
        build, reports = Path(".aws-sam", architecture), self.reports / architecture
        reports.mkdir(parents=True)
        self.make("build", f"ARCHITECTURE={architecture}", f"BUILD={build}", f"REPORTS={reports}")
        path = self.output / f"service-keys-{self._version}-{architecture}.zip"
        write_bundle(path, self.tree, self.tree / build, architecture, self._commit.time)

    def bill_of_materials(self) -> str:
        """Write the list of the packages in the bundles; return the versions of Python with bytecode there."""
        path = self.output / f"service-keys-{self._version}.cdx.json"
        command = [str(self._tools.package_python), "-m", "tools.sbom", "--output", str(path)]
        command += ["--version", self._version, "--commit", self._commit.id, "--time", str(self._commit.time)]
        command += ["--reports", str(self.reports), *map(str, sorted(self.output.glob("service-keys-*.zip")))]
        run("The list of packages (tools/sbom.py)", command, self.tree, self._environment)
        properties = json.loads(path.read_text(encoding="utf-8"))["metadata"]["component"]["properties"]
        return next(str(each["value"]) for each in properties if each["name"] == "service-keys:bytecode")

    def checksums(self) -> str:
        """Write SHA256SUMS, in the format of `sha256sum --check`; return its text."""
        names = sorted(path.name for path in self.output.iterdir())
        lines = (f"{hashlib.sha256((self.output / name).read_bytes()).hexdigest()}  {name}\n" for name in names)
        text = "".join(lines)
        (self.output / "SHA256SUMS").write_text(text, encoding="utf-8")
        return text


def release(root: Path, tools: Tools, target: Path) -> None:
    """Check and build the release; replace the folder `target`.

    Raises:
        ReleaseError: A check or a part of the build failed. `target` is unchanged.
    """
    _progress("Checking that all places have the same version ...")
    version, commit = check(root, tools)
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="service-keys-") as temporary:
        work = Path(temporary)
        build = Build(work, tools, version, commit)
        _progress(f"Version {version}, commit {commit.id[:12]}. Checking that the generated files are current ...")
        export(root, commit, build.tree)
        build.check_generated_files()
        _progress("Building the wheel and the sdist ...")
        build.distributions()
        for architecture in ARCHITECTURES:
            _progress(f"Building the functions and layers for {architecture} ...")
            build.bundle(architecture)
        _progress("Listing the deployed packages ...")
        bytecode = build.bill_of_materials()
        sums = build.checksums()
        replace(target, build.output)
    _progress(f"\nThe release is in {target.name}/, with these checksums in SHA256SUMS:\n\n{sums}")
    _progress(f"With bytecode for Python {bytecode}.")
    _progress(f"To publish it: git tag -a v{version} -m v{version} && git push origin v{version}")


def replace(target: Path, output: Path) -> None:
    """Replace a folder by a copy of another one.

    Raises:
        ReleaseError: It cannot be removed or written.
    """
    try:
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(output, target)
    except OSError as exc:
        raise ReleaseError(
            f"{target} cannot be replaced: {exc.strerror}. Remove it, then run make release again."
        ) from exc


def _progress(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Parse the command line, build the release and return the exit code."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--package-python", type=Path, required=True, help="the Python with the build tools")
    parser.add_argument("--runtime-python", default="", help="Lambda's Python, for bytecode")
    parser.add_argument("--runtimes", default="", help="every Python that consumers may use, for bytecode")
    options = parser.parse_args()
    # Not resolved: the link is the environment, and its target the Python that it was made of.
    python = Path(os.path.abspath(sys.executable))  # noqa: PTH100 - Path.resolve follows links
    tools = Tools(python, options.package_python, options.runtime_python, options.runtimes)
    try:
        release(ROOT, tools, ROOT / "dist")
    except ReleaseError as exc:
        print(f"{exc}\nNothing was released.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Ended. Nothing was released.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
