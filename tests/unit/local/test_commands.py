"""Commands of `python -m local`, run as subprocesses."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING

import jwt
import pytest
import requests

from local import __main__ as commands
from local.port import bind
from local.run_folder import run_folder
from tests.support.processes import ROOT, local_command, local_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_token_prints_a_token_and_nothing_else(tmp_path: Path) -> None:
    """`make -s token` is used inside commands."""
    result = local_command("token", "--sub", "ada", "--role", "listener", "--hours", "1", "--state", str(tmp_path))

    claims = jwt.decode(result.stdout.removesuffix("\n"), options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["exp"] - claims["iat"]) == ("ada", "listener", 3600)
    assert result.stderr == ""


@pytest.mark.slow
def test_token_is_for_the_stack_that_ran_last(tmp_path: Path) -> None:
    """Its issuer is the URL in the env file, otherwise port 8000 of this machine."""

    def issuer() -> str:
        printed = local_command("token", "--state", str(tmp_path)).stdout.strip()
        claims: dict[str, str] = jwt.decode(printed, options={"verify_signature": False})
        return claims["iss"]

    assert issuer() == "http://127.0.0.1:8000"
    with local_run(tmp_path) as (process, url):
        assert issuer() == url
        token = local_command("token", "--state", str(tmp_path)).stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        assert requests.get(f"{url}/api/v1/admin/services", headers=headers, timeout=30).status_code == 200
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@pytest.mark.slow
def test_run_with_sample_keys_below_a_base_path(tmp_path: Path) -> None:
    """DEMO=1 stores keys in every state before the stack is announced, and prints no secret value."""
    environment = {**os.environ, "DEMO": "1", "SIGN_IN_SECONDS": "7"}
    with local_run(tmp_path, environment, "--base-path", "/live") as (process, url):
        assert process.stdout is not None
        assert [next(process.stdout) for _ in range(2)] == ["\n", f"  Web console: {url}/console\n"]
        token = local_command("token", "--state", str(tmp_path)).stdout.strip()
        services = requests.get(
            f"{url}/api/v1/admin/services", headers={"Authorization": f"Bearer {token}"}, timeout=30
        ).json()["data"]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    assert url.endswith("/live")
    states = {service["status"] for service in services}
    assert states == {"operational", "rejected", "unverified", "disabled", "not_configured"}
    assert any(service["serving"] and service["serving"]["lastUsed"] for service in services)
    assert "made-up" not in errors


@pytest.mark.parametrize(
    ("environment", "arguments", "words"),
    [
        ({"SIGN_IN_SECONDS": "0"}, [], "SIGN_IN_SECONDS=0 is no lifetime: give whole seconds"),
        ({"FRESH": "yes"}, [], "FRESH=yes is not valid: give FRESH=1, or omit it"),
        (
            {"FRESH": "1", "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"},
            [],
            "FRESH=1 does not empty a table elsewhere. Delete the table in http://127.0.0.1:1",
        ),
        ({}, ["--base-path", "live"], "give a path such as /live"),
        ({}, ["--base-path", "/live/"], "give a path such as /live"),
    ],
)
def test_wrong_setting_is_reported(
    tmp_path: Path, environment: dict[str, str], arguments: list[str], words: str
) -> None:
    """The message has the remedy."""
    given = ["run", "--port", "0", "--state", str(tmp_path), *arguments]
    result = local_command(*given, environment={**os.environ, **environment})

    assert result.returncode != 0
    assert words in result.stderr


def test_sam_api_has_its_own_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It leaves the folder of `make run` alone, prints its own commands, and removes its file at its end."""
    seen: list[Path] = []

    class Sam:
        def wait(self) -> int:
            seen.extend(sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")))
            return 0

    template = SimpleNamespace(consumer_layer=lambda: tmp_path / "layer")
    stack = SimpleNamespace(url="http://127.0.0.1:1", endpoint_url="", template=template, consumer_environment=dict)
    monkeypatch.setattr(commands, "_docker", lambda _: None)
    monkeypatch.setattr("local.stack.local_stack", lambda **_: nullcontext(stack))
    monkeypatch.setattr("local.sam.api", lambda *_: nullcontext(Sam()))

    with run_folder(tmp_path, 8000) as folder:
        assert commands.main(["sam-api", "--port", "3001", "--state", str(tmp_path)]) == 0

    output = capsys.readouterr().out
    assert folder.first
    assert [str(path) for path in seen] == ["3001", "3001/env", "3001/lock", "issuer.pem", "lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["issuer.pem", "lock"]
    assert "$(make -s token PORT=3001)" in output
    assert f"source {tmp_path}/3001/env" in output


def test_port_in_use_is_reported_before_startup() -> None:
    """The error names the port and the remedy."""
    with bind(0) as listener:
        port = str(listener.getsockname()[1])
        result = local_command("run", "--port", port)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"Port {port} is in use by another program or another `make run`. Choose another: make run PORT="
    )


@pytest.mark.parametrize("command", [[], ["run"], ["token"]])
def test_every_command_has_help(command: list[str]) -> None:
    """`--help` prints the usage and the purpose."""
    result = local_command(*command, "--help")

    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: {' '.join(['python -m local', *command])} ")


@pytest.fixture
def terminal() -> Iterator[None]:
    """Let SIGHUP have its effect in children, also if nohup started the tests."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures("terminal")
def test_run_stops_on_signal(number: signal.Signals, tmp_path: Path) -> None:
    """SIGINT, SIGTERM and SIGHUP end the run with exit code 0; its private env file ends with it."""
    with local_run(tmp_path, {**os.environ, "AWS_PROFILE": "there-is-no-such-profile"}) as (process, url):
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))):
            environment = tmp_path / "env"
            assert stat.S_IMODE(environment.stat().st_mode) == 0o600
            assert "export SERVICE_KEYS_TABLE=" in environment.read_text(encoding="utf-8")
            # An open connection must not delay the shutdown.
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (0, "")
    assert not environment.exists()


def test_run_stops_on_signal_during_startup(tmp_path: Path) -> None:
    """SIGINT during startup ends the run with exit code 0."""
    with subprocess.Popen(
        [sys.executable, "-m", "local", "run", "--port", "0", "--state", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Starting Service Keys ...\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (0, "")
    assert output.endswith("Ended.\n")


@pytest.mark.slow
def test_run_logs_token_rejection_reason(tmp_path: Path) -> None:
    """The reason is printed before the line about the request."""
    with local_run(tmp_path) as (process, url):
        path = "/api/v1/admin/api-keys"
        assert requests.get(url + path, headers={"Authorization": "Bearer a.b.c"}, timeout=30).status_code == 401
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)

    lines = errors.splitlines()
    assert lines[0] == "Token refused: malformed"
    assert lines[1].startswith(f"GET {path} 401 ")
