"""The API in containers, from the output of `make sam-build`, and an administrator's HTTP client."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.aws import DYNAMODB_ENDPOINT
from local.fake_services import FakeServices
from local.port import bind
from local.sam import BUILD, SamError, api, architecture, check_docker, reachable, sam_local, urls_of
from local.stack import LocalStack, local_stack
from service_keys.store.consumer_clients import CLIENT_VARIABLE, DIRECT
from tests.functional.conftest import HttpAdmin
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Invoke = Callable[[str, Mapping[str, Any]], Any]

EXAMPLE = ROOT / "docs" / "examples" / "spotify_token"
INTERPRETER = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e" in item.path.as_posix():
            item.add_marker(pytest.mark.e2e)
            # The first test waits for seven containers.
            item.add_marker(pytest.mark.timeout(300))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if INTERPRETER in config.stash:
        terminalreporter.write_line(f"The containers ran {config.stash[INTERPRETER]}")


@pytest.fixture(scope="session", autouse=True)
def docker() -> None:
    try:
        check_docker()
    except SamError as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def fake_services() -> Iterator[FakeServices]:
    with FakeServices() as fake_services:
        yield fake_services


@pytest.fixture(scope="session")
def stack(docker: None) -> Iterator[LocalStack]:
    """Emulated AWS and issuer. Tests do not call the stack's own API, which runs in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(DYNAMODB_ENDPOINT, raising=False)
        with local_stack() as stack:
            yield stack


@pytest.fixture(scope="session")
def admin(stack: LocalStack) -> Iterator[HttpAdmin]:
    with closing(bind(0)) as listener:
        port = listener.getsockname()[1]
    with api(stack, port, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Running on http" in line:
                break
        else:
            pytest.fail("sam local start-api ended:\n" + "".join(said))
        # Drain the output, so that the pipe never fills.
        rest = threading.Thread(target=process.stdout.read, daemon=True)
        rest.start()
        yield HttpAdmin(replace(stack, url=f"http://127.0.0.1:{port}"))
    rest.join()


@pytest.fixture(scope="session")
def invoke_built(stack: LocalStack, admin: HttpAdmin) -> Invoke:
    """Invoke a built function of the stack. Its containers use the relays of the running API."""
    variables = {name: function.environment for name, function in stack.template.functions().items()}
    return _invoker(BUILD / "template.yaml", variables, stack.template.parameters, urls_of(stack))


@pytest.fixture(scope="session")
def invoke_consumer(
    stack: LocalStack, admin: HttpAdmin, fake_services: FakeServices, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Invoke]:
    """Invoke the example under docs/, or a function that reports its interpreter or client, with the built layers."""
    template = yaml_parse((EXAMPLE / "template.yaml").read_text(encoding="utf-8"))
    consumer = template["Resources"]["SpotifyToken"]["Properties"]
    consumer["CodeUri"] = str(EXAMPLE / consumer["CodeUri"])
    consumer["Architectures"] = [architecture()]
    # A deployed consumer reads the layer's ARN from the stack's SSM parameter.
    consumer["Layers"] = [{"Ref": "ServiceKeysLayer"}]
    # sam sets only variables that the template declares.
    consumer["Environment"]["Variables"] |= {"SERVICE_KEYS_TABLE": "", "AWS_ENDPOINT_URL": "", CLIENT_VARIABLE: ""}
    layers = {name: {"LayerName": name, "ContentUri": str(BUILD / name)} for name in ("ServiceKeysLayer", "AdminLayer")}
    interpreter = {"CodeUri": str(ROOT / "tests" / "e2e" / "interpreter"), "Layers": [{"Ref": name} for name in layers]}
    direct_reader = {"CodeUri": str(ROOT / "tests" / "e2e" / "direct_reader")}
    template["Resources"] |= {
        **{name: {"Type": "AWS::Serverless::LayerVersion", "Properties": layer} for name, layer in layers.items()},
        "Interpreter": {"Type": "AWS::Serverless::Function", "Properties": consumer | interpreter},
        "DirectReader": {"Type": "AWS::Serverless::Function", "Properties": consumer | direct_reader},
    }
    path = tmp_path_factory.mktemp("consumer") / "template.json"
    path.write_text(json.dumps(template), encoding="utf-8")
    variables = {
        "SERVICE_KEYS_TABLE": stack.table_name,
        "AWS_ENDPOINT_URL": stack.endpoint_url,
        "SPOTIFY_ACCOUNTS_URL": f"{fake_services.url}/spotify",
        # Lambda sets no endpoint URL, so that it needs no request for this client.
        CLIENT_VARIABLE: DIRECT,
    }
    with reachable([fake_services.url]):
        yield _invoker(
            path,
            dict.fromkeys(("SpotifyToken", "DirectReader"), variables),
            {},
            [stack.endpoint_url, fake_services.url],
        )


def _invoker(
    template: Path, variables: Mapping[str, Mapping[str, str]], parameters: Mapping[str, str], urls: list[str]
) -> Invoke:
    def invoke(function: str, event: Mapping[str, Any]) -> Any:
        with sam_local(
            "invoke",
            function,
            *("--event", "-"),
            template=template,
            variables=variables,
            parameters={**parameters, "Architecture": architecture()},
            urls=urls,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            answer, log = process.communicate(json.dumps(event), timeout=120)
        assert process.returncode == 0, log
        return json.loads(answer.splitlines()[-1])

    return invoke
