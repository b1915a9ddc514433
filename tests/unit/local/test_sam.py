"""Tests of `sam local` that need no Docker."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from local.port import bind
from local.relay import tcp_relay
from local.sam import SamError, architecture, check_docker, reachable, rewrite_loopback_urls
from tests.support.processes import local_command

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8")


def test_architecture_uses_lambda_names() -> None:
    """Machine names map to Lambda's architectures; the error names the machine and an alternative."""
    names = {machine: architecture(machine) for machine in ("x86_64", "AMD64", "aarch64", "arm64")}

    assert names == {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
    with pytest.raises(SamError, match=r"this machine is riscv64\. Use make run"):
        architecture("riscv64")


@pytest.mark.parametrize("arguments", [["sam-invoke", "Authorizer"], ["sam-api"]])
def test_sam_commands_report_missing_docker(tmp_path: Path, arguments: list[str]) -> None:
    """Without Docker a command exits with 1 and names the remedy."""
    ran = local_command(*arguments, environment={**os.environ, "PATH": str(tmp_path)})

    remedy = "sam local runs functions in Docker, and there is no docker here. Install it, or use make run\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", remedy)


Docker = Callable[[str], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Return a function that replaces docker, and all other programs, by a script."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def replace(script: str) -> None:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)

    return replace


def test_stopped_docker_engine_is_reported(docker: Docker) -> None:
    """The error has Docker's message and the remedy."""
    docker("echo 'Cannot connect to the Docker daemon' >&2; exit 1")

    with pytest.raises(SamError, match=r"cannot be reached \(Cannot connect to the Docker daemon\)\. Start it"):
        check_docker()


def test_unavailable_image_is_reported(docker: Docker) -> None:
    """The error names the image."""
    docker('[ "$1" = version ] || exit 125')

    with pytest.raises(SamError, match=r"could not run public\.ecr\.aws/lambda/python:3\.13-"), reachable([]):
        pytest.fail("nothing is reachable")


def test_rewrite_loopback_urls() -> None:
    """Only the listed URLs change to localhost; the issuer's stays."""
    urls = ["http://127.0.0.1:5001", "http://127.0.0.1:8000"]
    given = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5001",
        "JWT_ISSUER": "http://127.0.0.1:8000",
        "JWKS_URL": "http://127.0.0.1:8000/jwks.json",
        "OTHER_URL": "http://127.0.0.1:9000",
    }

    seen = rewrite_loopback_urls({"Authorizer": given}, urls)

    assert seen == {
        "Authorizer": {
            "AWS_ENDPOINT_URL": "http://localhost:5001",
            "JWT_ISSUER": "http://127.0.0.1:8000",
            "JWKS_URL": "http://localhost:8000/jwks.json",
            "OTHER_URL": "http://127.0.0.1:9000",
        }
    }


@pytest.fixture
def shouting() -> Iterator[int]:
    """Run a loopback server that returns the received bytes in upper case; yield its port."""
    with bind(0) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                sent = b""
                while data := connection.recv(1000):
                    sent += data
                connection.sendall(sent.upper())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


@linux
def test_relay_forwards_in_both_directions(shouting: int) -> None:
    """The relay connects an address with the loopback, and stops listening at the end."""
    long = b"made up " * 20_000
    with tcp_relay("127.0.0.2", [shouting]) as relaying:
        assert relaying
        with socket.create_connection(("127.0.0.2", shouting), timeout=10) as client:
            client.sendall(long)
            client.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda: client.recv(65536), b""))

    assert received == long.upper()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", shouting), timeout=20)


@linux
def test_relay_ignores_stopped_server(capfd: pytest.CaptureFixture[str]) -> None:
    """The relay closes the connection and prints no error."""
    with bind(0) as listener:
        port = listener.getsockname()[1]
    with tcp_relay("127.0.0.2", [port]), socket.create_connection(("127.0.0.2", port), timeout=10) as client:
        assert client.recv(1) == b""

    assert capfd.readouterr().err == ""


def test_relay_needs_a_local_address() -> None:
    """The relay does not start on an address of another machine."""
    # TEST-NET-1 (RFC 5737) is never assigned to a machine.
    with tcp_relay("192.0.2.1", [8000]) as relaying:
        assert not relaying


@linux
def test_relay_reports_port_in_use() -> None:
    """A port in use raises OSError."""
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"), tcp_relay("127.0.0.2", [port]):
            pytest.fail("it is taken")
