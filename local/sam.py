"""`sam local`, on what `make build` built for this machine and against a running local stack.

The stack stands for AWS (moto) and for the tokens' issuer; the functions run in containers, on Lambda's own Python and
with the layer as it is deployed. What differs from API Gateway is the list in docs/decisions/16-sam-local.md.
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

from local.aws import sandboxed_environment
from local.port import HOST
from local.relay import tcp_relay

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from local.stack import LocalStack

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = ROOT / ".aws-sam" / "local"
"""Apart from `.aws-sam/build`, which is built for the cloud and may be for another machine."""
EVENTS: Final = ROOT / "tests" / "events"

# What stands in the event files for what only a running stack knows.
ID: Final = "spotify.0123456789ab"
TOKEN: Final = "<token>"  # noqa: S105 - a placeholder

_ARCHITECTURES: Final = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "arm64"}
_CREATE: Final = "CreateApiKey"


class SamError(RuntimeError):
    """`sam local` cannot run here, or not that; the message says what to do."""


def architecture(machine: str | None = None) -> str:
    """Return what Lambda calls the instruction set of this machine, or of the one called `machine`.

    Raises:
        SamError: Lambda has no such machines.
    """
    name = (machine or platform.machine()).lower()
    if name not in _ARCHITECTURES:
        message = f"Lambda runs on arm64 and x86_64; this machine is {name}. Use make run, which needs no containers"
        raise SamError(message)
    return _ARCHITECTURES[name]


def check_docker() -> None:
    """Return if there is a Docker engine.

    Raises:
        SamError: There is none, or it does not answer within a few seconds.
    """
    if not shutil.which("docker"):
        raise SamError("sam local runs functions in Docker, and there is no docker here. Install it, or use make run")
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=10)  # noqa: S603 - literals
    except subprocess.TimeoutExpired:
        reason = "it did not answer in 10 seconds"
    except subprocess.CalledProcessError as exc:
        reason = exc.stderr.strip()
    else:
        return
    message = f"The Docker engine cannot be reached ({reason}). Start it, or use make run, which needs none"
    raise SamError(message)


def image(architecture: str) -> str:
    """Return the name of the image that sam runs Python functions on."""
    return f"public.ecr.aws/lambda/python:3.13-{architecture}"


def load_event(function: str, stack: LocalStack) -> dict[str, Any]:
    """Return the event that tests/events holds for a function, good for this stack: a fresh token, a key that exists.

    Args:
        function: Its logical id.
        stack: Where the key is then stored that the event is about.

    Raises:
        SamError: There is no such function, or no event for it.
    """
    text = _event_text(function, stack)
    if function != _CREATE and "httpMethod" in json.loads(text):
        created = stack.functions[_CREATE].invoke(json.loads(_event_text(_CREATE, stack)))
        if created["statusCode"] != 201:  # noqa: PLR2004 - Created
            message = f"The key that the event is about could not be stored: {created['body']}"
            raise SamError(message)
        text = text.replace(ID, json.loads(created["body"])["data"]["id"])
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
        message = f"{function} has no event: write {path}"
        raise SamError(message) from None


def _gateway() -> str:
    """Return the address by which containers know this machine. Fetches the image, where it is not there."""
    entry = "gateway.internal"
    command = ["docker", "run", "--rm", "--add-host", f"{entry}:host-gateway", "--entrypoint", "cat"]
    # What Docker says while it fetches the image, and where it cannot, is for the terminal.
    command.extend([image(architecture()), "/etc/hosts"])
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - literals
    for line in ran.stdout.splitlines():
        address, *names = line.split()
        if entry in names:
            return address
    message = f"Docker could not run {image(architecture())}; the lines above say why. make run needs no Docker"
    raise SamError(message)


@contextmanager
def reachable(urls: Iterable[str]) -> Iterator[None]:
    """Let containers reach what listens at these addresses of this machine's loopback, until the block ends.

    Raises:
        SamError: Docker is missing, or cannot run Lambda's image.
    """
    check_docker()
    with tcp_relay(_gateway(), [_port(url) for url in urls]):
        yield


def rewrite_loopback_urls(text: str, urls: Iterable[str]) -> str:
    """Return `text`, in which these addresses of this machine's loopback are as a container reaches them.

    `localhost`, and not a name of our own: from elsewhere the authorizer takes no key set over plain http. In a
    container it stands for this machine too (`--add-host`), after the container itself, where these ports are free.
    """
    for url in urls:
        text = text.replace(url, f"http://localhost:{_port(url)}")
    return text


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
        subcommand: `invoke` or `start-api`.
        arguments: More of its arguments.
        variables: Environment of each function, by logical id; sam passes on what the template declares.
        parameters: Values of the template's parameters.
        urls: What is `reachable` of those that stand there.
        template: What was built.
        options: More of `subprocess.Popen`.

    Raises:
        SamError: Nothing was built for this machine.
    """
    if not template.exists():
        message = f"There is no {template}. Build it: make sam-build"
        raise SamError(message)
    # A name that containers of this run know, and no others: sam (1.170) forgets some when it ends.
    run_label = f"run-{uuid.uuid4().hex}.internal"
    with tempfile.TemporaryDirectory() as folder:
        variables_file = Path(folder) / "variables.json"
        variables_file.write_text(rewrite_loopback_urls(json.dumps(variables), urls), encoding="utf-8")
        command = [
            *(sys.executable, "-m", "samcli", "local", subcommand, *arguments),
            *("--template", str(template), "--env-vars", str(variables_file)),
            # It is there by now, and may not be to be had.
            *("--skip-pull-image", "--add-host", "localhost:host-gateway", "--add-host", f"{run_label}:{HOST}"),
            *("--parameter-overrides", *(f'{name}="{value}"' for name, value in parameters.items())),
        ]
        environment = {**sandboxed_environment(os.environ), "SAM_CLI_TELEMETRY": "0"}
        # A session of its own: Ctrl-C is for this process, which then ends that one.
        settings = {"cwd": ROOT, "env": environment, "text": True, "start_new_session": True, **options}
        with subprocess.Popen(command, **settings) as process:  # noqa: S603 - no shell, and the developer's own words
            try:
                yield process
            finally:
                _end(process)
                _remove_containers(run_label)


def _end(process: subprocess.Popen[str]) -> None:
    """Let sam remove its containers, and wait until it has ended."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _remove_containers(run_label: str) -> None:
    """Remove the containers of one run that are still there."""
    docker = functools.partial(subprocess.run, capture_output=True, text=True, check=False)
    found = docker(["docker", "ps", "--quiet", "--filter", "label=sam.cli.container.type=lambda"]).stdout.split()
    for container in found:
        hosts = docker(["docker", "inspect", "--format", "{{.HostConfig.ExtraHosts}}", container]).stdout
        if run_label in hosts:
            docker(["docker", "rm", "--force", container])


def invoke(function: str, stack: LocalStack) -> int:
    """Call a function with its event; sam prints its log and its answer. Return sam's exit code.

    Args:
        function: Its logical id, or the name of its folder.
        stack: What stands for AWS and for the issuer.

    Raises:
        SamError: It cannot be called; the message says why.
    """
    folders = {found.code.name: name for name, found in stack.template.functions().items()}
    name = folders.get(function, function)
    event = json.dumps(load_event(name, stack))
    with (
        reachable(urls_of(stack)),
        sam_local("invoke", name, "--event", "-", **_sam_arguments(stack), stdin=subprocess.PIPE) as process,
    ):
        process.communicate(event)
    return process.returncode


@contextmanager
def api(stack: LocalStack, port: int, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Serve the API on a port of the loopback interface until the block ends; yield the process of sam.

    Args:
        stack: What stands for AWS and for the issuer.
        port: Where.
        options: More of `subprocess.Popen`.

    Raises:
        SamError: As `sam_local`.
    """
    # EAGER: every container is there before the first call, which would otherwise wait for its own.
    arguments = ["--port", str(port), "--warm-containers", "EAGER"]
    with reachable(urls_of(stack)), sam_local("start-api", *arguments, **_sam_arguments(stack), **options) as process:
        yield process


def urls_of(stack: LocalStack) -> list[str]:
    """Return what its functions call: what stands for AWS, and for the issuer."""
    return [stack.endpoint_url, stack.url]


def _sam_arguments(stack: LocalStack) -> dict[str, Any]:
    return {
        "variables": {name: function.environment for name, function in stack.template.functions().items()},
        "parameters": {**stack.template.parameters, "Architecture": architecture()},
        "urls": urls_of(stack),
    }
