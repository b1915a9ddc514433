"""Commands of `python -m local`, run as subprocesses."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import jwt
import pytest
import requests

from local.port import bind
from tests.support.processes import ROOT, local_command, local_run

if TYPE_CHECKING:
    from pathlib import Path


def test_token_prints_a_token_and_nothing_else(tmp_path: Path) -> None:
    """`make -s token` is used inside commands."""
    result = local_command("token", "--sub", "ada", "--role", "listener", "--hours", "1", "--state", str(tmp_path))

    claims = jwt.decode(result.stdout.removesuffix("\n"), options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["exp"] - claims["iat"]) == ("ada", "listener", 3600)
    assert result.stderr == ""


def test_port_in_use_is_reported_before_startup() -> None:
    """The error names the port and the remedy."""
    with bind(0) as listener:
        port = str(listener.getsockname()[1])
        result = local_command("run", "--port", port)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Port {port} is taken by another program. Choose another: make run PORT=")


@pytest.mark.parametrize("command", [[], ["run"], ["token"]])
def test_every_command_has_help(command: list[str]) -> None:
    """`--help` prints the usage and the purpose."""
    result = local_command(*command, "--help")

    assert result.returncode == 0
    assert result.stdout.startswith(f"usage: {' '.join(['python -m local', *command])} ")


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_run_stops_on_signal(number: signal.Signals, tmp_path: Path) -> None:
    """SIGINT and SIGTERM end the run with exit code 0; its env file has mode 0600."""
    with local_run(tmp_path, {**os.environ, "AWS_PROFILE": "there-is-no-such-profile"}) as (process, url):
        host, _, port = url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port))):
            # An open connection must not delay the shutdown.
            process.send_signal(number)
            _, errors = process.communicate(timeout=20)

    assert (process.returncode, errors) == (0, "")
    environment = tmp_path / "env"
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600
    assert "export SERVICE_KEYS_TABLE=" in environment.read_text(encoding="utf-8")


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
