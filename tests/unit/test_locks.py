"""Tests of the lock files: pinned, hashed, complete for Lambda's Python, and minimal."""

import itertools
import re
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
}
LOCKED = re.compile(
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+))? \\\n"
    r"(?P<hashes>(?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def direct(folder: str) -> set[str]:
    lines = (ROOT / folder / "requirements.in").read_text().splitlines()
    return {canonicalize_name(line.partition("#")[0].strip()) for line in lines if line.partition("#")[0].strip()}


def needed(name: str, machine: str) -> set[str]:
    """Return the distribution and its dependencies on Lambda, by the metadata of the installed versions."""
    found: set[str] = set()
    waiting: set[str] = {canonicalize_name(name)}
    while waiting:
        one = waiting.pop()
        found.add(one)
        for text in requires(one) or []:
            requirement = Requirement(text)
            environment = LAMBDA | {"platform_machine": machine, "extra": ""}
            if requirement.marker is None or requirement.marker.evaluate(environment):
                assert not requirement.extras, f"{one} needs an extra: {text}"
                waiting |= {canonicalize_name(requirement.name)} - found
    return found


@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
@pytest.mark.parametrize("folder", ["layers/service_keys", "functions/authorizer"])
def test_a_lock_has_exactly_the_dependencies_on_lambda(folder: str, machine: str) -> None:
    """Resolve the markers for both architectures."""
    locked = {match["name"] for match in LOCKED.finditer((ROOT / folder / "requirements.txt").read_text())}

    assert locked == set().union(*(needed(name, machine) for name in direct(folder)))


LOCKS = [
    "requirements-dev.txt",
    "benchmarks/requirements.txt",
    "tools/requirements-mutants.txt",
    "layers/service_keys/requirements.txt",
    "functions/authorizer/requirements.txt",
]


def test_every_lock_is_tested() -> None:
    """Require hashes for a new requirements file too."""
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("[!.]*/**/requirements*.txt")} | {
        path.name for path in ROOT.glob("requirements*.txt")
    } == set(LOCKS)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_hashes(lock: str) -> None:
    """Allow only comments besides pins."""
    text = (ROOT / lock).read_text()

    rest = LOCKED.sub("", text)

    assert all(line.lstrip().startswith("#") or not line for line in rest.splitlines()), rest


@pytest.mark.parametrize("folder", ["layers/service_keys", "functions/authorizer"])
def test_a_build_installs_only_locked_wheels(folder: str) -> None:
    """Require the options of pip."""
    (install,) = re.findall(r"pip install(?:.*\\\n)*.*", (ROOT / folder / "Makefile").read_text())

    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install.split())


@pytest.mark.parametrize(
    ("python", "platform"),
    list(
        itertools.product(
            ["3.11", "3.12", "3.13", "3.14"], [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64")]
        )
    ),
)
def test_the_development_lock_is_complete(python: str, platform: tuple[str, str]) -> None:
    """Include all dependencies, because `make` installs with --no-deps."""
    system, machine = platform
    environment = {
        **LAMBDA,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": system,
        "platform_system": system.title(),
        "platform_machine": machine,
        "extra": "",
    }
    text = (ROOT / "requirements-dev.txt").read_text()
    locked = {
        match["name"]
        for match in LOCKED.finditer(text)
        if not match["marker"] or Marker(match["marker"]).evaluate(environment)
    }

    # Packages for other platforms or Python versions are not installed here.
    installed = {name for name in locked if _requires(name) is not None}
    missing = {
        f"{name} needs {requirement}"
        for name in installed
        for requirement in map(Requirement, _requires(name) or [])
        if (requirement.marker is None or requirement.marker.evaluate(environment))
        and canonicalize_name(requirement.name) not in locked
    }
    assert missing == set()
    assert len(installed) > 100


def _requires(name: str) -> list[str] | None:
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return None


def test_make_installs_by_hash_without_source_builds() -> None:
    """Exclude sdists, whose builds would run unlocked build tools."""
    (options,) = re.findall(r"^INSTALL := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(options.split())
    installs = re.findall(r"pip install|\$\(INSTALL\)", (ROOT / "Makefile").read_text())
    assert installs == ["pip install", "$(INSTALL)", "$(INSTALL)", "$(INSTALL)"]
    # Dependencies of cosmic-ray, which builds nothing that is deployed, are published as source only.
    relaxed = re.findall(r"\$\(subst --only-binary=:all:,,\$\(INSTALL\)\) (\S+)", (ROOT / "Makefile").read_text())
    assert relaxed == ["tools/requirements-mutants.txt"]


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
