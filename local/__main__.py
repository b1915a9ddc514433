"""`python -m local`: the commands behind `make run`, `make token`, `make build` and `make sam-...`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shlex
import signal
import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from local import LocalError
from local.port import bind

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.stack import LocalStack

ROOT = Path(__file__).parents[1]
_URL_VARIABLE = "SERVICE_KEYS_LOCAL_URL"

_READY = """
Service Keys on {url} (version {version}; Ctrl-C ends it).

  Web console: {console_url}

Without a browser, in another terminal, in this folder:

  curl -s {url}/api/v1/admin/api-keys \\
    -H "Authorization: Bearer $(make -s token)" -H 'Content-Type: application/json' \\
    -d '{{"name": "Spotify production", "service": "spotify", "key": {{"clientId": "0123456789abcdef0123456789abcdef", \
"clientSecret": "fedcba9876543210fedcba9876543210"}}}}'

The key is made up, and the token is good for this machine only. README.md has a command that hides real ones.
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
    try:
        return int(options.command(options) or 0)
    except KeyboardInterrupt:
        print("\nEnded.")
        return 0
    except LocalError as exc:
        print(exc, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="Service Keys on this machine, without Docker or AWS."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    def add(command: Callable[[argparse.Namespace], int | None], summary: str) -> argparse.ArgumentParser:
        name = command.__name__.strip("_").replace("_", "-")
        added = commands.add_parser(name, help=summary, description=command.__doc__)
        added.set_defaults(command=command)
        return added

    run = add(_run, "serve the API on the loopback interface")
    run.add_argument("--port", type=_port, default=8000, help="8000 unless given; 0 takes a free one")
    run.add_argument("--base-path", type=_base_path, default="", help="start of the paths, such as /live as on AWS")
    token = add(_token, "print a token for the local API")
    token.add_argument("--sub", default="local-admin", help="the subject (local-admin)")
    token.add_argument("--role", default="admin", help="any other than admin gets a 403 (admin)")
    token.add_argument("--hours", type=float, default=12, help="how long it is valid; negative for an expired one (12)")
    retained = add(_retained, "print a template of the resources that outlive the stack")
    retained.add_argument("--user-pool", action="store_true", help="of a stack with a user pool of its own, too")
    deployment = add(_check_deployment, "check the parameters of a deployment")
    deployment.add_argument("stage", help="such as dev or prod")
    deploy = add(_deploy, "deploy the output of make build")
    deploy.add_argument("stage", help="such as dev or prod")
    deploy.add_argument("options", nargs=argparse.REMAINDER, help="of sam deploy")
    artifacts = add(_artifacts, "complete and check the output of sam build")
    artifacts.add_argument("--python", default="", help="Lambda's Python, for bytecode of the admin functions' modules")
    artifacts.add_argument("--architecture", required=True, choices=["arm64", "x86_64"], help="of the Lambda functions")
    artifacts.add_argument("build", type=Path, help="the output folder of sam build")
    add(_docker, "check that a Docker engine is available")
    sam_invoke = add(_sam_invoke, "call one function in a container")
    sam_invoke.add_argument("function", help="such as CreateApiKey or create_api_key")
    sam_api = add(_sam_api, "serve the API from containers")
    sam_api.add_argument("--port", type=_port, default=3000, help="3000 unless given")
    for command in (run, token, sam_api):
        folder = "folder of the issuer's key and of the env file (.local)"
        command.add_argument("--state", type=Path, default=ROOT / ".local", help=folder)
    return parser


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):  # noqa: PLR2004 - the highest port
        raise argparse.ArgumentTypeError("give a whole number from 0 to 65535")
    return int(text)


def _base_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", text):
        raise argparse.ArgumentTypeError("give a path such as /live, without a slash at the end")
    return text


def _token(options: argparse.Namespace) -> None:
    """Print a token that the local API accepts: Authorization: Bearer <token>.

    It is for the stack that `make run` started last with this folder (.local/env), otherwise for port 8000.
    """
    from local.issuer import DEFAULT_URL, Issuer

    issuer = Issuer.load(options.state / "issuer.pem").at(_url_of_last_run(options.state / "env") or DEFAULT_URL)
    print(issuer.token(options.sub, options.role, options.hours))


def _retained(options: argparse.Namespace) -> None:
    """Print, as JSON, the part of the template that CloudFormation keeps when the stack is deleted.

    These are the table and the KMS key, and with --user-pool the pool with its administrators. A new stack imports them
    by it: docs/operations.md.
    """
    from local.deployment import retained_resources_template
    from local.template import EXAMPLE_PARAMETERS, Template

    # The printed template contains none of these parameter values.
    cloudformation = Template.load(EXAMPLE_PARAMETERS).cloudformation
    print(json.dumps(retained_resources_template(cloudformation, user_pool=options.user_pool), indent=2))


def _check_deployment(options: argparse.Namespace) -> None:
    """Check the parameters that samconfig.toml and the environment variable PARAMETERS give for a stage.

    Applies the checks of CloudFormation before anything is uploaded. Fails if a parameter is missing or not allowed.
    """
    from local.deployment import PARAMETERS, check

    check(options.stage, given=os.environ.get(PARAMETERS, ""))


def _deploy(options: argparse.Namespace) -> NoReturn:
    """Check the parameters of a stage, as check-deployment, and run `sam deploy` with all of them.

    Asks nothing where nothing can answer: without a terminal, or with the environment variable CI.
    """
    from local.deployment import PARAMETERS, sam_command

    given, is_pipeline = os.environ.get(PARAMETERS, ""), _is_pipeline()
    command = sam_command(options.stage, options.options, given, may_ask=not is_pipeline)
    _check_build(options, given)
    if is_pipeline:
        # A question gets the end of the input and fails, instead of a wait.
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        # The first call gives descriptor 0 itself, not inherited, if the standard input is closed.
        os.set_inheritable(0, True)  # noqa: FBT003 - positional only
    sam = Path(sys.executable).with_name("sam")
    os.execv(sam, [str(sam), *command])  # noqa: S606 - no shell


def _is_pipeline() -> bool:
    """Return True without a terminal for answers, and with CI set as GitHub, GitLab and others do."""
    has_terminal = sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()
    return not has_terminal or os.environ.get("CI", "").lower() not in {"", "0", "false"}


def _check_build(options: argparse.Namespace, given: str) -> None:
    """Fail without a build, where SAM would deploy the sources, and with one for another architecture."""
    from local.artifacts import ARTIFACTS, ArtifactError, inspect
    from local.deployment import architecture

    if any(option.startswith(("--template", "-t")) for option in options.options):
        return
    build = ROOT / ".aws-sam" / "build"
    if not (build / "template.yaml").is_file():
        raise LocalError("There is nothing to deploy yet. Run make build first.")
    deployed = architecture(options.stage, given=given)
    try:
        for artifact in ARTIFACTS:
            inspect(build, artifact, deployed)
    except ArtifactError as exc:
        raise LocalError(f"{exc}. Or deploy with the parameter Architecture of the build (here {deployed}).") from exc


def _artifacts(options: argparse.Namespace) -> None:
    """Add bytecode to the layer of the admin functions; print size and content of every artifact with a bound.

    Fails if one is over its bound, has a native module that Lambda cannot load, or a file that it must not have.
    """
    from local.artifacts import ARTIFACTS, compile_admin_modules, inspect

    compile_admin_modules(options.build, options.python)
    for artifact in ARTIFACTS:
        print(inspect(options.build, artifact, options.architecture))


def _docker(_: argparse.Namespace) -> None:
    """End with 0 if a Docker engine responds; otherwise print the remedy."""
    from local.sam import check_docker

    _handle_signals()
    _use_dummy_credentials()
    check_docker()


def _sam_invoke(options: argparse.Namespace) -> int:
    """Call a function, as built, in a container with Lambda's Python.

    The event is the function's in tests/events; moto's server takes the place of DynamoDB and KMS. Needs Docker and the
    output of make sam-build.
    """
    from local.sam import invoke
    from local.stack import local_stack

    _docker(options)
    with local_stack() as stack:
        return invoke(options.function, stack)


def _sam_api(options: argparse.Namespace) -> int:
    """Serve the API with every function, as built, in a container with Lambda's Python.

    moto's server takes the place of DynamoDB and KMS. Needs Docker and the output of make sam-build.
    """
    from local.issuer import Issuer
    from local.sam import api
    from local.stack import local_stack

    _docker(options)
    with (
        local_stack(issuer=Issuer.load(options.state / "issuer.pem"), progress=_progress) as stack,
        api(stack, options.port) as process,
    ):
        _write_environment(options.state / "env", stack)
        _progress(_SAM_API.format(url=f"http://127.0.0.1:{options.port}"))
        return process.wait()


def _run(options: argparse.Namespace) -> None:
    """Serve the API of template.yaml on 127.0.0.1, with moto's server in place of DynamoDB and KMS.

    Set AWS_ENDPOINT_URL_DYNAMODB to keep the table elsewhere, such as in DynamoDB Local; ALLOWED_ORIGIN to call the API
    from a web page; SIGN_IN_SECONDS to let the console's sign-ins expire after other than 3600 seconds; FAKE_SERVICES=1
    to verify keys with fakes of the external services; and DEMO=1 to begin with sample keys, and these fakes. Writes
    .local/env, with which other programs read keys: source .local/env
    """
    # Python drops an exception raised in an import-system callback, and a signal may arrive just before the wait.
    # The wake-up byte remains in both cases.
    wake, waker = socket.socketpair()
    waker.settimeout(0)
    with wake, waker:
        try:
            signal.set_wakeup_fd(waker.fileno())
            _handle_signals()
            with closing(bind(options.port)) as listener:
                _progress("Starting Service Keys ...")
                _serve(listener, options, wake)
        finally:
            signal.set_wakeup_fd(-1)


def _handle_signals() -> None:
    """Raise KeyboardInterrupt for SIGTERM too, and for SIGINT even if the parent process ignores it."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)


def _use_dummy_credentials(*kept: str) -> None:
    """Keep this process and its functions away from real AWS accounts; keep these variables."""
    from local.aws import sandboxed_environment

    environment = sandboxed_environment(os.environ) | {name: os.environ[name] for name in kept if name in os.environ}
    os.environ.clear()
    os.environ.update(environment)


def _serve(listener: socket.socket, options: argparse.Namespace, wake: socket.socket) -> None:
    _log_rejected_tokens()
    from local.aws import DYNAMODB_ENDPOINT
    from local.demo import store_sample_keys
    from local.fake_services import FakeServices
    from local.issuer import Issuer
    from local.stack import local_stack

    _use_dummy_credentials(DYNAMODB_ENDPOINT)
    origin, state, seconds = os.environ.get("ALLOWED_ORIGIN"), options.state, _sign_in_seconds()
    try:
        with ExitStack() as exits:
            # The services would refuse the made-up keys.
            demo = os.environ.get("DEMO") == "1"
            fake = demo or os.environ.get("FAKE_SERVICES") == "1"
            fake_services = exits.enter_context(FakeServices()) if fake else None
            running = local_stack(
                {"AllowedOrigin": origin} if origin else {},
                listener=listener,
                base_path=options.base_path,
                issuer=Issuer.load(state / "issuer.pem"),
                fake_services_url=fake_services.url if fake_services else None,
                log_requests=True,
                progress=_progress,
            )
            stack = exits.enter_context(running)
            stack.sign_in.seconds = seconds
            # Configure AWS clients that a function creates during a call.
            os.environ.update(stack.consumer_environment())
            _write_environment(state / "env", stack)
            if demo and fake_services:
                _progress("Storing sample keys ...")
                store_sample_keys(stack, fake_services)
            version = stack.template.stage_variables()["version"]
            _progress(_READY.format(url=stack.url + stack.base_path, version=version, console_url=stack.console_url))
            if fake_services:
                _progress(_FAKE_SERVICES.format(url=fake_services.url))
            if stack.dynamodb_url != stack.endpoint_url:
                _progress(_OTHER_DYNAMODB.format(url=stack.dynamodb_url))
            wake.recv(1)
    except LocalError as exc:
        raise LocalError(f"Service Keys cannot start: {exc}") from exc


def _sign_in_seconds() -> int:
    """Return the lifetime of the console's tokens: SIGN_IN_SECONDS, else an hour."""
    from local.sign_in import DEFAULT_SECONDS

    given = os.environ.get("SIGN_IN_SECONDS") or str(DEFAULT_SECONDS)
    if not re.fullmatch("[1-9][0-9]{0,5}", given):
        raise LocalError(f"SIGN_IN_SECONDS={given} is no lifetime: give whole seconds, from 1 to 999999")
    return int(given)


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
    unset = sorted({"AWS_ENDPOINT_URL_DYNAMODB", "AWS_PROFILE", "AWS_SESSION_TOKEN"} - variables.keys())
    lines = [
        "# Written by `make run`; holds nothing secret. Use it with: source .local/env",
        f"unset {' '.join(unset)}",
        f"export {_URL_VARIABLE}={shlex.quote(stack.url)}",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
        f"export PYTHONPATH={shlex.quote(str(stack.template.consumer_layer()))}${{PYTHONPATH:+:$PYTHONPATH}}",
    ]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _url_of_last_run(path: Path) -> str | None:
    """Return the URL in a file from `_write_environment`, or None if there is none."""
    try:
        match = re.search(rf"^export {_URL_VARIABLE}=(\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    except FileNotFoundError:
        return None
    return match[1] if match else None


if __name__ == "__main__":
    sys.exit(main())
