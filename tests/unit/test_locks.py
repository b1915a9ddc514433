"""Tests of the lock files: pinned, hashed, complete for Lambda's Python, and minimal."""

from __future__ import annotations

import ast
import functools
import re
from importlib.metadata import distributions, packages_distributions, requires
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html: python3.13 on Amazon Linux 2023.
LAMBDA = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
    "extra": "",
}
LOCKED = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+))? \\\n"
    r"(?P<hashes>(?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


FOLDERS = ["layers/admin", "functions/authorizer"]
LOCKS = [
    "requirements-dev.txt",
    "local/requirements.txt",
    "benchmarks/requirements.txt",
    "tools/requirements-mutants.txt",
    "tools/requirements-package.txt",
    "tests/clients/requirements.txt",
    "tests/deploy/requirements.txt",
]
LOCKS += [f"{folder}/requirements.txt" for folder in FOLDERS]


@functools.cache
def requirements_of(name: str) -> list[Requirement]:
    """Return the direct dependencies of an installed distribution, by its metadata."""
    return [Requirement(text) for text in requires(name) or []]


def needed(name: str, environment: dict[str, str]) -> list[Requirement]:
    """Return the direct dependencies of an installed distribution in an environment."""
    return [each for each in requirements_of(name) if each.marker is None or each.marker.evaluate(environment)]


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_lock_has_exactly_the_dependencies_on_lambda(folder: str, machine: str) -> None:
    """Resolve the markers for both architectures."""
    environment = LAMBDA | {"platform_machine": machine}
    lines = (ROOT / folder / "requirements.in").read_text().splitlines()
    waiting = [line.partition("#")[0].strip() for line in lines if not line.startswith("#")]
    found: set[str] = set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name and name not in found:
            found.add(name)
            requirements = needed(name, environment)
            assert not any(requirement.extras for requirement in requirements), f"{name} needs an extra"
            waiting += [requirement.name for requirement in requirements]

    assert {pin["name"] for pin in LOCKED.finditer((ROOT / folder / "requirements.txt").read_text())} == found


def test_every_lock_is_tested() -> None:
    """Require hashes for a new requirements file too."""
    found = {*ROOT.glob("requirements*.txt"), *ROOT.glob("[!.]*/**/requirements*.txt")}

    assert {str(path.relative_to(ROOT)) for path in found} == set(LOCKS)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_hashes(lock: str) -> None:
    """Allow only comments besides pins."""
    rest = LOCKED.sub("", (ROOT / lock).read_text())

    assert all(line.lstrip().startswith("#") or not line for line in rest.splitlines()), rest


@pytest.mark.parametrize(("lock", "at_least"), [("requirements-dev.txt", 101), ("local/requirements.txt", 36)])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(("system", "machine"), [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")])
def test_a_lock_of_this_machine_is_complete(python: str, system: str, machine: str, lock: str, at_least: int) -> None:
    """Include all dependencies, because `make` installs with --no-deps."""
    environment = LAMBDA | {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": system.title(),
        "platform_machine": machine,
    }
    pins = LOCKED.finditer((ROOT / lock).read_text())
    names = {pin["name"] for pin in pins if not pin["marker"] or Marker(pin["marker"]).evaluate(environment)}
    # Packages for other platforms or Python versions are not installed here.
    installed = names & {canonicalize_name(each.name) for each in distributions()}

    dependencies = {(name, canonicalize_name(each.name)) for name in installed for each in needed(name, environment)}
    assert {(name, dependency) for name, dependency in dependencies if dependency not in names} == set()
    assert len(installed) >= at_least


def test_make_run_has_the_pins_of_development() -> None:
    """Install the same files of the same versions, so that make test does not replace packages of make run."""
    run, development = (
        {pin["name"]: (pin["version"], pin["hashes"]) for pin in LOCKED.finditer((ROOT / lock).read_text())}
        for lock in ("local/requirements.txt", "requirements-dev.txt")
    )

    assert run == {name: development.get(name) for name in run}


def imported_modules(files: Iterable[Path]) -> set[str]:
    """Return the top-level names of the modules that files import."""
    found: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(str(node.module).partition(".")[0])
    return found


def test_make_run_installs_no_package_that_nothing_imports() -> None:
    """Find an import of each direct dependency in the code of make run, or in moto's server, which needs Flask."""
    used = [*(ROOT / "local").glob("*.py"), *(ROOT / "functions").rglob("*.py"), *(ROOT / "layers").rglob("*.py")]
    used += [ROOT / "tools" / f"{name}.py" for name in ("generate_api_page", "sign_in", "smoke")]
    moto = find_spec("moto.moto_server.werkzeug_app")
    assert moto is not None
    imported = imported_modules([*used, Path(str(moto.origin))])
    lines = (ROOT / "local" / "requirements.in").read_text().splitlines()
    direct = {line.partition("#")[0].strip() for line in lines if not line.startswith("#")}

    distribution_names = packages_distributions()
    providers = {canonicalize_name(name) for module in imported for name in distribution_names.get(module, [])}
    assert direct - providers == set()


@pytest.mark.parametrize("folder", FOLDERS)
def test_pip_installs_by_hash_without_source_builds(folder: str) -> None:
    """Exclude sdists, whose builds would run unlocked build tools; test_install.py tests the same of this machine."""
    (install,) = re.findall(r"pip install(?:.*\\\n)*.*", (ROOT / folder / "Makefile").read_text())

    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install.split())


def test_make_relaxes_the_options_of_pip_only_for_cosmic_ray() -> None:
    """Allow source builds there: they build nothing that is deployed, and two packages have no wheels."""
    makefile = (ROOT / "Makefile").read_text()

    assert "pip install" not in makefile
    assert makefile.count("$(INSTALL) ") == 7
    relaxed = re.findall(r"^(\S+): (\S+)\n(?:\t.*\n)*\t.*--sources", makefile, re.MULTILINE)
    assert relaxed == [("$(MUTANTS_VENV)/ready", "tools/requirements-mutants.txt")]


WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_pins_actions_and_images_by_hash(workflow: Path) -> None:
    """Require a hash, because a tag can move, and the version in a comment."""
    text = workflow.read_text()

    actions = re.findall(r"uses: (.*)", text)
    assert actions
    for action in actions:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
    for image in re.findall(r"image: (.*)", text):
        assert re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image), image
    assert "-latest" not in text
