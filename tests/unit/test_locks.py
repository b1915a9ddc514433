"""What is deployed is exactly what was looked at: pinned, with hashes, complete for Lambda's Python, nothing spare."""

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
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
    r"^(?P<name>[a-z0-9.-]+)==(?P<version>\S+) \\\n(?P<hashes>(?: {4}--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
    re.MULTILINE,
)


def direct(folder: str) -> set[str]:
    lines = (ROOT / folder / "requirements.in").read_text().splitlines()
    return {canonicalize_name(line.partition("#")[0].strip()) for line in lines if line.partition("#")[0].strip()}


def needed(name: str, machine: str) -> set[str]:
    """The distribution and all that it needs on Lambda, by the metadata of the versions that the tests run on."""
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
def test_a_lock_holds_what_lambda_needs_and_nothing_else(folder: str, machine: str) -> None:
    locked = {match["name"] for match in LOCKED.finditer((ROOT / folder / "requirements.txt").read_text())}

    assert locked == set().union(*(needed(name, machine) for name in direct(folder)))


@pytest.mark.parametrize("folder", ["layers/service_keys", "functions/authorizer"])
def test_every_line_of_a_lock_is_a_pin_with_hashes(folder: str) -> None:
    text = (ROOT / folder / "requirements.txt").read_text()

    rest = LOCKED.sub("", text)

    assert all(line.lstrip().startswith("#") or not line for line in rest.splitlines()), rest


@pytest.mark.parametrize("folder", ["layers/service_keys", "functions/authorizer"])
def test_a_build_takes_nothing_that_the_lock_does_not_know(folder: str) -> None:
    (install,) = re.findall(r"pip install(?:.*\\\n)*.*", (ROOT / folder / "Makefile").read_text())

    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(install.split())
