"""Run `sam local` on the output of `make sam-build`, with a running local stack.

The stack provides AWS (moto) and the issuer; the functions run in containers, on Lambda's Python image and with the
deployed layer. docs/decisions/16-sam-local.md lists the differences from API Gateway.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local import LocalError
from local.aws import sandboxed_environment
from local.port import HOST
from local.relay import tcp_relay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from local.stack import LocalStack

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / ".aws-sam" / "local"
"""Separate from `.aws-sam/build`, whose architecture may differ from this machine's."""
EVENTS: Final = ROOT / "tests" / "events"

# Placeholders in the event files.
ID: Final = "spotify.0123456789ab"
TOKEN: Final = "<token>"  # noqa: S105 - a placeholder
_WITHOUT_KEY: Final = {"Authorizer", "CreateApiKey", "WebConsole"}
_CHANGED_BEFORE: Final = {"RollbackApiKey": "UpdateApiKey", "RestoreApiKey": "DeleteApiKey"}

_ARCHITECTURES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}


class SamError(LocalError):
    """`sam local` or the given function cannot run. The message states the remedy."""


def architecture(machine: str | None = None) -> str:
    """Return Lambda's name for the architecture `machine`; default: this machine's.

    Raises:
        SamError: Lambda does not support the architecture.
    """
    name = (machine or platform.machine()).lower()
    if name not in _ARCHITECTURES:
        message = f"Lambda runs on arm64 and x86_64; this machine is {name}. Use make run, which needs no containers"
        raise SamError(message)
    return _ARCHITECTURES[name]


def check_docker() -> None:
    """Check that a Docker engine is available.

    Raises:
        SamError: Docker is missing or does not respond within 10 seconds.
    """
    if not shutil.which("docker"):
        raise SamError("sam local runs functions in Docker, and there is no docker here. Install it, or use make run")
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)  # noqa: S603 - literals
    except subprocess.TimeoutExpired:
        reason = "it did not respond in 10 seconds"
    except subprocess.CalledProcessError as exc:
        reason = exc.stderr.strip()
    else:
        return
    raise SamError(f"The Docker engine cannot be reached ({reason}). Start it, or use make run, which needs none")


def load_event(function: str, stack: LocalStack) -> dict[str, Any]:
    """Return a function's event from tests/events with a new token and the id of a stored key.

    The key is stored in the stack; for a rollback it is also replaced, and for a restore deleted.

    Raises:
        SamError: The function or its event does not exist.
    """
    text = _event_text(function, stack)
    if function not in _WITHOUT_KEY:
        created = stack.functions["CreateApiKey"].invoke(json.loads(_event_text("CreateApiKey", stack)))
        if created["statusCode"] != 201:  # noqa: PLR2004 - Created
            raise SamError(f"The key that the event is about could not be stored: {created['body']}")
        key_id = json.loads(created["body"])["data"]["id"]
        if before := _CHANGED_BEFORE.get(function):
            stack.functions[before].invoke(json.loads(_event_text(before, stack).replace(ID, key_id)))
        text = text.replace(ID, key_id)
    event: dict[str, Any] = json.loads(text.replace(TOKEN, stack.issuer.token()))
    return event


def _event_text(function: str, stack: LocalStack) -> str:
    functions = stack.template.functions()
    if function not in functions:
        message = f"There is no function {function}. Choose one: make sam-invoke FUNCTION=... {' | '.join(functions)}"
        raise SamError(message)
    path = EVENTS / f"{functions[function].code.name}.json"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SamError(f"{function} has no event: write {path}") from None


def _gateway() -> str:
    """Return the address at which containers reach this machine. Pulls the image if it is missing."""
    entry, image = "gateway.internal", f"public.ecr.aws/lambda/python:3.13-{architecture()}"
    command = ["docker", "run", "--rm", f"--add-host={entry}:host-gateway", "--entrypoint=cat", image, "/etc/hosts"]
    # Leave stderr on the terminal: it shows the progress and the errors of the pull.
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - literals
    for line in ran.stdout.splitlines():
        address, *names = line.split()
        if entry in names:
            return address
    raise SamError(f"Docker could not run {image}; the lines above say why. make run needs no Docker")


@contextmanager
def reachable(urls: Iterable[str]) -> Iterator[None]:
    """Make these loopback URLs reachable from containers until the block ends.

    Raises:
        SamError: Docker is missing, or cannot run Lambda's image.
    """
    check_docker()
    with tcp_relay(_gateway(), [_port(url) for url in urls]):
        yield


def rewrite_loopback_urls(variables: Mapping[str, Mapping[str, str]], urls: Iterable[str]) -> dict[str, dict[str, str]]:
    """Replace these loopback URLs in the functions' variables with the URLs for containers.

    JWT_ISSUER stays: the authorizer compares it with the tokens and never calls it. The host is `localhost` because the
    authorizer accepts plain http for a JWKS only from there. In containers it resolves to the container, where these
    ports are closed, and then to this machine (`--add-host`).
    """
    known = list(urls)

    def rewrite(name: str, value: str) -> str:
        for url in [] if name == "JWT_ISSUER" else known:
            value = value.replace(url, f"http://localhost:{_port(url)}")
        return value

    return {
        function: {name: rewrite(name, value) for name, value in given.items()} for function, given in variables.items()
    }


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


@contextmanager
def sam_local(
    subcommand: str,
    *arguments: str,
    variables: Mapping[str, Mapping[str, str]],
    parameters: Mapping[str, str],
    urls: Iterable[str],
    template: Path = BUILD / "template.yaml",
    **options: Any,
) -> Iterator[subprocess.Popen[str]]:
    """Run `sam local <subcommand>` until the block ends; yield the process.

    Args:
        subcommand: The subcommand, `invoke` or `start-api`.
        arguments: Additional arguments of the subcommand.
        variables: Environment of each function, by logical id; sam passes only variables that the template declares.
        parameters: Values of the template's parameters.
        urls: The `reachable` URLs, to rewrite in `variables`.
        template: The built template.
        options: Additional arguments of `subprocess.Popen`.

    Raises:
        SamError: The built template is missing.
    """
    if not template.exists():
        raise SamError(f"There is no {template}. Build it: make sam-build")
    # Label the containers of this run, because sam (1.170) leaves some behind when it ends.
    run_label = f"run-{uuid.uuid4().hex}.internal"
    with tempfile.TemporaryDirectory() as folder:
        variables_file = Path(folder) / "variables.json"
        variables_file.write_text(json.dumps(rewrite_loopback_urls(variables, urls)), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "samcli", "local", subcommand, *arguments),
            *("--template", str(template), "--env-vars", str(variables_file)),
            # The image was pulled above; do not contact the registry.
            *("--skip-pull-image", "--add-host", "localhost:host-gateway", "--add-host", f"{run_label}:{HOST}"),
            *("--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())),
        ]
        environment = {**sandboxed_environment(os.environ), "SAM_CLI_TELEMETRY": "0"}
        # Start a new session: only this process handles Ctrl-C, and then ends sam.
        settings = {"cwd": ROOT, "env": environment, "text": True, "start_new_session": True, **options}
        with subprocess.Popen(command, **settings) as process:  # noqa: S603 - no shell; the developer's own arguments
            try:
                yield process
            finally:
                # sam removes its containers when it ends.
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                _remove_containers(run_label)


def _remove_containers(run_label: str) -> None:
    """Remove the remaining containers of one run."""
    docker = functools.partial(subprocess.run, capture_output=True, text=True, check=False)
    found = docker(["docker", "ps", "--quiet", "--filter", "label=sam.cli.container.type=lambda"]).stdout.split()
    for container in found:
        hosts = docker(["docker", "inspect", "--format", "{{.HostConfig.ExtraHosts}}", container]).stdout
        if run_label in hosts:
            docker(["docker", "rm", "--force", container])


def invoke(function: str, stack: LocalStack) -> int:
    """Call a function, by its logical id or folder; sam prints the log and the response. Return sam's exit code.

    Raises:
        SamError: The function cannot be called. The message states the reason.
    """
    folders = {found.code.name: name for name, found in stack.template.functions().items()}
    name = folders.get(function, function)
    event, arguments = json.dumps(load_event(name, stack)), ("--event", "-")
    with (
        reachable(urls_of(stack)),
        sam_local("invoke", name, *arguments, **_sam_arguments(stack), stdin=subprocess.PIPE) as process,
    ):
        process.communicate(event)
    return process.returncode


@contextmanager
def api(stack: LocalStack, port: int, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Serve the API on a port of the loopback interface until the block ends; yield the sam process.

    `options` are additional arguments of `subprocess.Popen`.

    Raises:
        SamError: See `sam_local`.
    """
    # EAGER starts every container before the first call.
    arguments = ["--port", str(port), "--warm-containers", "EAGER"]
    with reachable(urls_of(stack)), sam_local("start-api", *arguments, **_sam_arguments(stack), **options) as process:
        yield process


def urls_of(stack: LocalStack) -> list[str]:
    """Return the URLs that the stack's functions call: the AWS emulator and the issuer."""
    return [stack.endpoint_url, stack.url]


def _sam_arguments(stack: LocalStack) -> dict[str, Any]:
    return {
        "variables": {name: function.environment for name, function in stack.template.functions().items()},
        "parameters": {**stack.template.parameters, "Architecture": architecture()},
        "urls": urls_of(stack),
    }
