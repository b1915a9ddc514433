"""`python -m local`: the commands behind `make run`, `make token`, `make build` and `make sam-...`."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import signal
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.stack import LocalStack

ROOT = Path(__file__).parents[1]

_READY = """
Service Keys on {url} (Ctrl-C ends it). In another terminal, in this folder:

  curl -s {url}/api/v1/admin/api-keys \\
    -H "Authorization: Bearer $(make -s token)" -H 'Content-Type: application/json' \\
    -d '{{"name": "Spotify production", "service": "spotify", "key": {{"clientId": "0123456789abcdef0123456789abcdef", \
"clientSecret": "fedcba9876543210fedcba9876543210"}}}}'

And to read that key as another function does:

  (source .local/env && .venv/bin/python -c 'import service_keys; \
print(service_keys.get_api_key("spotify")["clientId"])')
"""

_FAKE_SERVICES = """\
Keys are checked with stand-ins for the services. To choose what one answers (a wrong name lists them):

  curl -X PUT {url}/spotify -d wrong
"""

_SAM_API = """
The API in containers on {url} (Ctrl-C ends it), once sam says that it is running. In another terminal, in this folder:

  curl -s {url}/api/v1/admin/api-keys -H "Authorization: Bearer $(make -s token)"

A refused token answers 502 here, where API Gateway answers 401.
"""

_OTHER_DYNAMODB = """\
The table is in {url}. The KMS key is new in every run: what an earlier run stored there cannot be decrypted.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    command: Any = options.command
    return int(command(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="Service Keys on this machine, without Docker or AWS."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    run = commands.add_parser(
        "run",
        help="serve the API on the loopback interface",
        description="Serve the API of template.yaml on 127.0.0.1, with moto's server in place of DynamoDB and KMS. Set "
        "AWS_ENDPOINT_URL_DYNAMODB to keep the table elsewhere, such as in DynamoDB Local; ALLOWED_ORIGIN to call the "
        "API from a web page; and FAKE_SERVICES=1 to check keys with stand-ins for the external services. Writes "
        ".local/env, which lets other programs read keys: source .local/env",
    )
    run.add_argument("--port", type=_port, default=8000, help="8000 unless given; 0 takes a free one")
    _add_state(run)
    run.set_defaults(command=_run)

    token = commands.add_parser(
        "token",
        help="print a token for the local API",
        description="Print a token that the local API takes: Authorization: Bearer <token>.",
    )
    token.add_argument("--sub", default="local-admin", help="who it is for (local-admin)")
    token.add_argument("--role", default="admin", help="any other than admin gets a 403 (admin)")
    token.add_argument("--hours", type=float, default=12, help="how long it is valid; negative for an expired one (12)")
    _add_state(token)
    token.set_defaults(command=_token)

    retained = commands.add_parser(
        "retained",
        help="print a template of what outlives the stack",
        description="Print, as JSON, the part of the template that CloudFormation keeps when the stack is deleted: the "
        "table and the KMS key. A new stack imports them by it: docs/operations.md.",
    )
    retained.set_defaults(command=_retained)

    deployment = commands.add_parser(
        "check-deployment",
        help="check the parameters of a deployment",
        description="Check the parameters that samconfig.toml gives for a stage as CloudFormation will check them, but "
        "before anything is uploaded. Fail where one is missing or not allowed.",
    )
    deployment.add_argument("stage", help="such as dev or prod")
    deployment.set_defaults(command=_check_deployment)

    artifacts = commands.add_parser(
        "artifacts",
        help="check what sam build made",
        description="Print the size of the layer and of the authorizer as they were built; fail where one is over its "
        "bound, or holds a native module that Lambda cannot load.",
    )
    artifacts.add_argument("--architecture", required=True, choices=["arm64", "x86_64"], help="what it was built for")
    artifacts.add_argument("build", type=Path, help="the folder that sam build filled")
    artifacts.set_defaults(command=_artifacts)

    docker = commands.add_parser(
        "docker",
        help="tell whether there is a Docker engine",
        description="End with 0 where there is a Docker engine that answers; otherwise say what is missing.",
    )
    docker.set_defaults(command=lambda _: _with_docker(lambda: 0))

    sam_invoke = commands.add_parser(
        "sam-invoke",
        help="call one function in a container",
        description="Call a function, as built, in a container with Lambda's Python, with its event from tests/events, "
        "and with moto's server in place of DynamoDB and KMS. Needs Docker and what make sam-build makes.",
    )
    sam_invoke.add_argument("function", help="such as CreateApiKey or create_api_key")
    sam_invoke.set_defaults(command=_sam_invoke)

    sam_api = commands.add_parser(
        "sam-api",
        help="serve the API from containers",
        description="Serve the API with every function, as built, in a container with Lambda's Python, and with moto's "
        "server in place of DynamoDB and KMS. Needs Docker and what make sam-build makes.",
    )
    sam_api.add_argument("--port", type=_port, default=3000, help="3000 unless given")
    _add_state(sam_api)
    sam_api.set_defaults(command=_sam_api)
    return parser


def _add_state(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--state", type=Path, default=ROOT / ".local", help="folder of the issuer's key and of the env file (.local)"
    )


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):  # noqa: PLR2004 - the highest port
        raise argparse.ArgumentTypeError("give a whole number from 0 to 65535")
    return int(text)


def _token(options: argparse.Namespace) -> int:
    from local.issuer import Issuer

    print(Issuer.load(options.state / "issuer.pem").token(options.sub, options.role, options.hours))
    return 0


def _retained(_: argparse.Namespace) -> int:
    import json

    from local.retained import retained_resources_template
    from local.stack import parameters
    from local.template import Template

    # The printed template contains none of these parameter values.
    print(
        json.dumps(retained_resources_template(Template.load(parameters("http://127.0.0.1")).cloudformation), indent=2)
    )
    return 0


def _check_deployment(options: argparse.Namespace) -> int:
    from local.deployment import check
    from local.template import TemplateError

    try:
        check(options.stage)
    except TemplateError as exc:
        print(
            f"{exc}. Correct parameter_overrides under [{options.stage}.deploy.parameters] in samconfig.toml.",
            file=sys.stderr,
        )
        return 1
    return 0


def _artifacts(options: argparse.Namespace) -> int:
    from local.artifacts import ARTIFACTS, ArtifactError, inspect

    try:
        for artifact in ARTIFACTS:
            print(inspect(options.build, artifact, options.architecture))
    except ArtifactError as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _sam_invoke(options: argparse.Namespace) -> int:
    from local.sam import invoke
    from local.stack import local_stack

    def call() -> int:
        with local_stack() as stack:
            return invoke(options.function, stack)

    return _with_docker(call)


def _sam_api(options: argparse.Namespace) -> int:
    from local.issuer import Issuer
    from local.sam import api
    from local.stack import local_stack

    def serve() -> int:
        with (
            local_stack(issuer=Issuer.load(options.state / "issuer.pem"), progress=_progress) as stack,
            api(stack, options.port) as process,
        ):
            _write_environment(options.state / "env", stack)
            _progress(_SAM_API.format(url=f"http://127.0.0.1:{options.port}"))
            return process.wait()

    return _with_docker(serve)


def _with_docker(command: Callable[[], int]) -> int:
    """Run a command that needs Docker and the local stack; report missing requirements."""
    from local.aws import EmulatorError, sandboxed_environment
    from local.sam import SamError, check_docker

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    environment = sandboxed_environment(os.environ)
    os.environ.clear()
    os.environ.update(environment)
    try:
        check_docker()
        return command()
    except KeyboardInterrupt:
        print("\nEnded.")
        return 0
    except (EmulatorError, SamError) as exc:
        print(exc, file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    # Python drops an exception raised in an import-system callback, and a signal may arrive just before the wait.
    # The wake-up byte remains in both cases.
    wake, waker = socket.socketpair()
    waker.settimeout(0)
    with wake, waker:
        try:
            signal.set_wakeup_fd(waker.fileno())
            signal.signal(signal.SIGINT, interrupt)
            signal.signal(signal.SIGTERM, interrupt)
            return _serve(options.port, options.state, wake)
        except KeyboardInterrupt:
            print("\nEnded.")
            return 0
        finally:
            signal.set_wakeup_fd(-1)


def _serve(port: int, state: Path, wake: socket.socket) -> int:
    from local.port import PortError, bind

    try:
        listener = bind(port)
    except PortError as exc:
        print(exc, file=sys.stderr)
        return 1
    with listener:
        _progress("Starting Service Keys ...")
        _log_rejected_tokens()
        from local.aws import DYNAMODB_ENDPOINT, EmulatorError, sandboxed_environment
        from local.fake_services import FakeServices
        from local.functions import FunctionLoadError
        from local.issuer import Issuer
        from local.stack import local_stack
        from local.template import TemplateError

        # Keep this process and its functions away from real AWS accounts.
        kept = {name: value for name, value in os.environ.items() if name == DYNAMODB_ENDPOINT}
        environment = {**sandboxed_environment(os.environ), **kept}
        os.environ.clear()
        os.environ.update(environment)
        try:
            with ExitStack() as exits:
                fake = os.environ.get("FAKE_SERVICES") == "1"
                fake_services = exits.enter_context(FakeServices()) if fake else None
                origin = os.environ.get("ALLOWED_ORIGIN")
                running = local_stack(
                    {"AllowedOrigin": origin} if origin else {},
                    listener=listener,
                    issuer=Issuer.load(state / "issuer.pem"),
                    fake_services_url=fake_services.url if fake_services else None,
                    log_requests=True,
                    progress=_progress,
                )
                stack = exits.enter_context(running)
                # Configure AWS clients that a function creates during a call.
                os.environ.update(stack.consumer_environment())
                _write_environment(state / "env", stack)
                _progress(_READY.format(url=stack.url))
                if fake_services:
                    _progress(_FAKE_SERVICES.format(url=fake_services.url))
                if stack.dynamodb_url != stack.endpoint_url:
                    _progress(_OTHER_DYNAMODB.format(url=stack.dynamodb_url))
                wake.recv(1)
        except (EmulatorError, FunctionLoadError, TemplateError) as exc:
            print(f"Service Keys cannot start: {exc}", file=sys.stderr)
            return 1
    return 0


def _log_rejected_tokens() -> None:
    """Log the reason for a rejected token; on AWS, Lambda's JSON log format includes it."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s: %(reason)s"))
    logging.getLogger("authorizer").addHandler(handler)
    logging.getLogger("authorizer").setLevel(logging.INFO)


def _progress(line: str) -> None:
    print(line, flush=True)


def _write_environment(path: Path, stack: LocalStack) -> None:
    """Write a shell script that sets the environment of a local consumer."""
    variables = stack.consumer_environment()
    # Unset variables that would override the local endpoint.
    unset = [
        name for name in ("AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE", "AWS_SESSION_TOKEN") if name not in variables
    ]
    layers = {str(layer) for function in stack.template.functions().values() for layer in function.layers}
    python_path = shlex.quote(":".join(sorted(layers)))
    lines = [
        "# Written by `make run`; holds nothing secret. Use it with: source .local/env",
        f"unset {' '.join(sorted(unset))}",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
        f"export PYTHONPATH={python_path}${{PYTHONPATH:+:$PYTHONPATH}}",
    ]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
