"""The consumers' layer as `sam build` builds it, on each supported Python of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from local.artifacts import ARTIFACTS, inspect
from local.aws import sandboxed_environment
from tests.functional.conftest import SPOTIFY_KEY, Admin, Store
from tests.support.processes import ROOT
from tests.support.pythons import SUPPORTED, find_python, link_runtime, require_python

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import LocalStack

pytestmark = pytest.mark.slow
READ = """
import json, os, sys
from service_keys import get_api_key
client_id = get_api_key("spotify")["clientId"]
ours = [module for name, module in sys.modules.items() if name.partition(".")[0] == "service_keys"]
print(json.dumps({
    "clientId": client_id,
    "files": [module.__file__ for module in ours],
    "compiled": [os.path.exists(module.__cached__) for module in ours],
    "loaded": sorted({name.partition(".")[0] for name in sys.modules}),
}))
"""
FOREIGN = ("pydantic", "pydantic_core", "typing_extensions", "annotated_types", "aws_lambda_powertools")


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the layer with bytecode for every Python of this machine; return the folder that becomes /opt/python."""
    build = tmp_path_factory.mktemp("build")
    target, pythons = build / "ServiceKeysLayer", " ".join(filter(None, map(find_python, SUPPORTED)))
    command = ["make", "build-ServiceKeysLayer", f"ARTIFACTS_DIR={target}", f"RUNTIMES=missing {pythons}"]
    subprocess.run(command, cwd=ROOT / "layers" / "service_keys", check=True, capture_output=True)
    described = inspect(build, ARTIFACTS[0], "arm64")
    assert described.endswith("only Python files of service_keys")
    return target / "python"


@pytest.fixture
def stored_key(stack: LocalStack, store: Store) -> None:
    Admin(stack).create("Spotify", key=SPOTIFY_KEY)


def read(stack: LocalStack, python: str, *path: Path, code: str = READ) -> dict[str, Any]:
    """Run a program that reads a key in an environment with these folders of packages, and no others."""
    environment = {
        **sandboxed_environment(os.environ),
        **stack.consumer_environment(),
        "AWS_ENDPOINT_URL": stack.template.parameters["AwsEndpointUrl"],
        "AWS_SDK_UA_APP_ID": "ReadSpotifyKeys",
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [python, "-S", "-c", code]
    ran = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=50)
    assert (ran.returncode, ran.stderr) == (0, "")
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_layer_reads_a_key_on_every_python(
    stack: LocalStack, stored_key: None, layer: Path, tmp_path: Path, version: str
) -> None:
    """Load only modules with bytecode of that Python, and no package besides Lambda's own."""
    python = require_python(version)

    found = read(stack, python, layer, link_runtime(tmp_path / "runtime"))

    assert found["clientId"] == SPOTIFY_KEY["clientId"]
    assert all(file.startswith(str(layer)) for file in found["files"])
    assert all(found["compiled"])
    assert not set(found["loaded"]) & {*FOREIGN, "boto3"}


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_layer_leaves_a_consumers_own_packages_alone(
    stack: LocalStack, stored_key: None, layer: Path, tmp_path: Path, version: str
) -> None:
    """Beside other versions of pydantic and botocore, load neither pydantic nor another botocore."""
    python = require_python(version)
    # In Lambda's order: /var/task, /opt/python, the runtime's packages.
    runtime, task = link_runtime(tmp_path / "runtime"), tmp_path / "task"
    for package in FOREIGN:
        (task / package).mkdir(parents=True)
        (task / package / "__init__.py").write_text('VERSION = "0.0.1"\n')
    (task / "botocore").mkdir()
    for path in (runtime / "botocore").iterdir():
        if path.name != "__init__.py":
            (task / "botocore" / path.name).symlink_to(path)
    own = (runtime / "botocore" / "__init__.py").read_text().replace("__version__ = ", '__version__ = "0.0.1" or ')
    (task / "botocore" / "__init__.py").write_text(own)
    imports = "".join(f"import {package}; assert {package}.VERSION == '0.0.1'\n" for package in FOREIGN)
    versions = "import botocore; assert botocore.__version__ == '0.0.1'\n"

    before = read(stack, python, task, layer, runtime)
    after = read(stack, python, task, layer, runtime, code=imports + READ + versions)

    assert not set(before["loaded"]) & set(FOREIGN)
    assert set(after["loaded"]) - set(before["loaded"]) == set(FOREIGN)
    assert before["clientId"] == after["clientId"] == SPOTIFY_KEY["clientId"]


def test_the_layer_is_built_without_another_python(tmp_path: Path) -> None:
    """Build the sources alone where no Python of a runtime is present."""
    command = ["make", "build-ServiceKeysLayer", f"ARTIFACTS_DIR={tmp_path}", "RUNTIMES=missing false"]
    subprocess.run(command, cwd=ROOT / "layers" / "service_keys", check=True, capture_output=True)

    source = ROOT / "layers" / "service_keys"
    built = {path.relative_to(tmp_path / "python") for path in tmp_path.rglob("*") if path.is_file()}
    assert built == {
        path.relative_to(source)
        for path in (source / "service_keys").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.parametrize("module", ["schemas", "endpoint"])
def test_the_admin_modules_name_missing_packages(layer: Path, tmp_path: Path, module: str) -> None:
    """State the layer and the extra that bring pydantic and Powertools."""
    path = os.pathsep.join(map(str, (layer, link_runtime(tmp_path / "runtime"))))
    command = [sys.executable, "-S", "-c", f"import service_keys.admin.{module}"]

    ran = subprocess.run(command, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False)

    last = ran.stderr.splitlines()[-1]
    assert last.startswith("ImportError: service_keys.admin needs pydantic and Powertools, which cannot be")
    assert "attach the stack's AdminLayer" in last
    assert "pip install 'service-keys[admin]'" in last
