"""The wheel and the sdist of `make package`, and pip installations of them on each Python of this machine."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tarfile
import textwrap
import tomllib
import zipfile
from email.parser import Parser
from typing import TYPE_CHECKING, Any

import pytest

import service_keys
from tests.functional.conftest import SPOTIFY_KEY
from tests.package.conftest import SOURCE, Venv
from tests.support.processes import ROOT
from tests.support.pythons import SUPPORTED, require_python

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import LocalStack

pytestmark = pytest.mark.timeout(600)
PROJECT: dict[str, Any] = tomllib.loads((SOURCE / "pyproject.toml").read_text())
READ = 'from service_keys import get_api_key; print(get_api_key("spotify")["clientId"])'
PAGE = (ROOT / "docs" / "consumers.md").read_text()
FROM_GIT = '"service-keys @ git+https://github.com/your-organization/service-keys.git#subdirectory=layers/service_keys"'


def package_files() -> set[str]:
    return {
        str(path.relative_to(SOURCE))
        for path in (SOURCE / "service_keys").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def reads(venv: Venv, stack: LocalStack, *, client: str = "botocore") -> bool:
    """Return True if a program in the environment reads the stored key."""
    environment = stack.consumer_environment() | {"SERVICE_KEYS_CLIENT": client}
    return venv.run("-W", "error", "-c", READ, environment=environment) == f"{SPOTIFY_KEY['clientId']}\n"


# --- contents ---------------------------------------------------------------------------------------------------------


def test_the_wheel_contains_the_package_alone(wheel: Path) -> None:
    """Ship every file of the package with its types, and neither tests nor output of a build."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    folder = f"service_keys-{service_keys.__version__}.dist-info"
    metadata = {f"{folder}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE")}
    assert names == package_files() | metadata
    assert "service_keys/py.typed" in names


def test_the_sdist_contains_the_sources_alone(sdist: Path) -> None:
    """Ship the package and the files of the build, with a license in place of a link."""
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2]: member for member in archive.getmembers()}

    assert set(members) == package_files() | {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert all(member.isfile() for member in members.values())


def test_the_metadata(wheel: Path) -> None:
    """State the version of the package, its one dependency, and the extra of the admin API."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())

    assert (metadata["Name"], metadata["Version"]) == ("service-keys", service_keys.__version__)
    assert metadata["License-Expression"] == "MIT"
    always = [text for text in metadata.get_all("Requires-Dist") or [] if "extra" not in text]
    assert always == ["botocore>=1.34"]
    assert metadata.get_all("Provides-Extra") == ["admin"]
    classifiers = metadata.get_all("Classifier") or []
    versions = [text.rpartition(" ")[2] for text in classifiers if re.search(r":: 3\.\d+$", text)]
    assert tuple(versions) == SUPPORTED


# --- installations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", SUPPORTED)
def test_pip_installs_the_package_from_each_source(
    stack: LocalStack, tmp_path: Path, wheel: Path, sdist: Path, repository: str, version: str
) -> None:
    """Install a folder, a git repository, the wheel and the sdist; each reads a key, and uninstalls completely."""
    venv = Venv(tmp_path / "venv", require_python(version))
    before = (ROOT / "layers" / "service_keys").stat().st_mtime_ns

    for source in (str(SOURCE), str(wheel), str(sdist), repository):
        if source == repository:
            venv.upgrade_pip()
        venv.pip("install", "--quiet", source)
        assert f"Version: {service_keys.__version__}" in venv.pip("show", "service-keys")
        assert venv.pip("check").strip() == "No broken requirements found."
        assert reads(venv, stack), source
        venv.pip("uninstall", "--quiet", "--yes", "service-keys")

    assert not list(venv.folder.glob("lib/*/site-packages/service_keys*"))
    assert (ROOT / "layers" / "service_keys").stat().st_mtime_ns == before, "pip left files of its build"


@pytest.mark.parametrize("version", [SUPPORTED[0], "3.13"])
def test_the_oldest_allowed_botocore_works(stack: LocalStack, tmp_path: Path, wheel: Path, version: str) -> None:
    """Read a key with the lower bound of the dependency."""
    (dependency,) = PROJECT["project"]["dependencies"]
    venv = Venv(tmp_path / "venv", require_python(version))
    venv.pip("install", "--quiet", dependency.replace(">=", "==") + ".0", wheel)

    environment = stack.consumer_environment() | {"SERVICE_KEYS_CLIENT": "botocore"}
    assert venv.run("-c", READ, environment=environment).splitlines()[-1] == SPOTIFY_KEY["clientId"]


def test_the_admin_api_needs_its_extra(tmp_path: Path, wheel: Path) -> None:
    """Name the extra in the error; with it, the modules of the admin API can be imported."""
    venv = Venv(tmp_path / "venv", sys.executable)
    venv.pip("install", "--quiet", wheel)
    program = "import service_keys.admin.schemas, service_keys.admin.endpoint; print('imported')"

    missing = venv.run("-c", program, code=1).splitlines()[-1]
    venv.pip("install", "--quiet", f"{wheel}[admin]")

    assert missing.startswith("ImportError: service_keys.admin needs pydantic and Powertools")
    assert "pip install 'service-keys[admin]'" in missing
    assert venv.run("-c", program) == "imported\n"


# --- a consumer's walk: the code and the commands of docs/consumers.md ------------------------------------------------


def blocks(language: str) -> list[str]:
    return [textwrap.dedent(text.partition("```")[0]) for text in PAGE.split(f"```{language}\n")[1:]]


MY_FUNCTION = '''
"""A consumer that uses every exported name."""

import service_keys
from service_keys import ApiKey, ServiceKeys, get_api_key


def play() -> str:
    key: ApiKey = get_api_key("spotify")
    return key["clientId"]


def others(reader: ServiceKeys) -> list[str]:
    key = reader.get("openai", name="OpenAI batch", refresh=True)
    value: str = key.value
    fields: dict[str, str] = dict(get_api_key("spotify"))
    return [value, key.id, key.name, key.service, str(key.version), *fields.values()]


def errors() -> list[type[service_keys.ServiceKeysError]]:
    return [
        service_keys.ConfigurationError,
        service_keys.KeyAccessDeniedError,
        service_keys.KeyCorruptedError,
        service_keys.KeyDisabledError,
        service_keys.KeyNotFoundError,
        service_keys.KeyStoreUnavailableError,
    ]
'''
MISTAKES = """
from service_keys import get_api_key
from service_keys.testing import fake_api_keys

get_api_key(1)
get_api_key("spotify", refresh="yes")
number: int = get_api_key("openai").value
with fake_api_keys({"spotify": 1}) as keys:
    keys.disabled("spotify")
"""


def test_a_consumer_follows_the_documentation(tmp_path: Path, repository: str) -> None:
    """In a new folder, run each command of the chapter on tests with the code of the page."""
    venv = Venv(tmp_path / "venv", require_python("3.12"))
    venv.upgrade_pip()
    tests = {text.splitlines()[0].removeprefix("# "): text for text in blocks("python") if text.startswith("# test_")}
    assert set(tests) == {"test_play.py", "test_play_with_moto.py"}
    for name, text in (tests | {"my_function.py": MY_FUNCTION}).items():
        (venv.folder / name).write_text(text)
    commands = [line for text in blocks("sh") for line in text.splitlines() if "pytest" in text]
    assert [command.split()[0] for command in commands] == ["pip", "pytest", "mypy", "pip", "pytest"]

    for command in commands:
        own = command.replace(FROM_GIT, f'"{repository}"')
        ran = subprocess.run(
            ["bash", "-c", own],
            cwd=venv.folder,
            env={"PATH": f"{venv.folder / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)} | pip_settings(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{own}\n{ran.stdout}{ran.stderr}"


def pip_settings() -> dict[str, str]:
    """Return the settings of pip on this machine, such as an index of packages."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith("_CERT_FILE")}


def test_mypy_finds_mistakes_of_a_consumer(tmp_path: Path, wheel: Path) -> None:
    """Without stubs of boto3, the installed package has its own types."""
    venv = Venv(tmp_path / "venv", sys.executable)
    venv.pip("install", "--quiet", wheel)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    options = ["--strict", "--config-file=", "--python-executable", str(venv.python)]
    command = [sys.executable, "-m", "mypy", *options, "mistakes.py"]

    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert re.findall(r"mistakes\.py:(\d+): error: .*\[([a-z-]+)\]", ran.stdout) == [
        ("5", "arg-type"),
        ("6", "arg-type"),
        ("7", "assignment"),
        ("8", "dict-item"),
        ("9", "attr-defined"),
    ], ran.stdout


def test_the_documented_python_is_valid() -> None:
    """Parse every Python block of the page."""
    for text in blocks("python"):
        ast.parse(text)
