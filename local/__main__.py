"""`python -m local`: the commands behind `make run`, `make token`, `make build` and `make sam-...`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import socket
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from local import LocalError
from local.port import HOST, bind

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.run_folder import RunFolder
    from local.stack import LocalStack

ROOT = Path(__file__).parents[1]

_READY = """
Service Keys on {url} (version {version}; Ctrl-C ends it).

  Web console: {console_url}

Without a browser, in another terminal, in this folder:

  curl -s {url}/api/v1/admin/api-keys \\
    -H "Authorization: Bearer $(make -s token)" -H 'Content-Type: application/json' \\
    -d '{{"name": "First Spotify key", "service": "spotify", "key": {{"clientId": "0123456789abcdef0123456789abcdef", \
"clientSecret": "fedcba9876543210fedcba9876543210"}}}}'

The key is made up, and the token is good for this machine only. For real keys, use the commands in docs/operations.md,
which keep them out of the shell's history. To read that key as another function does:

  (source {env} && .venv/bin/python -c 'import service_keys; \
print(service_keys.get_api_key("spotify")["clientId"])')

{kept}
"""

_KEPT = "Stored keys are kept in {folder}/ for the next `make run`; `make run FRESH=1` starts without keys."
_NOT_KEPT = """\
The keys of this run, in {folder}/, are deleted when it ends. Those of {other}, in {base}/, are kept."""

_FAKE_SERVICES = """\
Keys are verified by stand-ins for the services. To let one answer that a key is wrong, or to list its answers:

  curl -X PUT {url}/spotify -d wrong
  curl -X PUT {url}/spotify -d help
"""

_SAM_API = """
The API in containers on {url} (Ctrl-C ends it), once sam says that it is running. In another terminal, in this folder:

  curl -s {url}/api/v1/admin/api-keys -H "Authorization: Bearer $(make -s token)"

And for programs that read keys: source {env}
The keys end with it. A refused token answers 502 here, where API Gateway answers 401.
"""

_OTHER_DYNAMODB = "The table is in {url}, and the KMS key that decrypts its keys in {folder}/.\n"
_OTHER_DYNAMODB_NOT_KEPT = """\
The table is in {url}. The KMS key ends with this run: later runs cannot decrypt the keys that it stores there.
"""

_ENDED_EMULATOR = (
    "moto's server, which stands for AWS, ended unexpectedly. Every stored key is kept: start `make run` again."
)


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
    token.add_argument("--port", type=_port, help="the port of another run than the one with the folder")
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
        folder = "folder of the issuer's key, the kept state and the env file (.local)"
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

    It is for the run that has this folder (.local), otherwise for port 8000; with --port, for the run on that port.
    """
    from local.issuer import DEFAULT_URL, Issuer
    from local.run_folder import url_of

    if options.port is None:
        url = url_of(options.state) or DEFAULT_URL
    else:
        # The tokens of `make sam-api` have another port.
        url = url_of(options.state / str(options.port)) or f"http://{HOST}:{options.port}"
    print(Issuer.load(options.state / "issuer.pem").at(url).token(options.sub, options.role, options.hours))


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
    from local.run_folder import run_folder, shown
    from local.sam import api
    from local.stack import local_stack

    _docker(options)
    with (
        run_folder(options.state, options.port, beside=True) as folder,
        local_stack(issuer=Issuer.load(options.state / "issuer.pem"), progress=_progress) as stack,
        api(stack, options.port) as process,
        folder.environment(stack) as env,
    ):
        text = _SAM_API.format(url=f"http://{HOST}:{options.port}", env=shown(env))
        _progress(_with_port(text, options.port))
        return process.wait()


def _run(options: argparse.Namespace) -> None:
    """Serve the API of template.yaml on 127.0.0.1, with moto's server in place of DynamoDB and KMS.

    Stored keys are kept in .local for the next run; FRESH=1 starts empty. Set AWS_ENDPOINT_URL_DYNAMODB to keep the
    table elsewhere, such as in DynamoDB Local; ALLOWED_ORIGIN to call the API from a web page; SIGN_IN_SECONDS to let
    the console's sign-ins expire after other than 3600 seconds; FAKE_SERVICES=1 to verify keys with fakes of the
    external services; and DEMO=1 to store sample keys if there are none, with these fakes. Writes .local/env, with
    which other programs read keys: source .local/env
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
                _serve(listener, options, wake, emulator_ended=lambda: waker.send(b"\0"))
        finally:
            signal.set_wakeup_fd(-1)


def _handle_signals() -> None:
    """Raise KeyboardInterrupt for SIGTERM and SIGHUP too, and for SIGINT even if the parent process ignores it."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    # A closed terminal, unless nohup started the run.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, interrupt)


def _use_dummy_credentials(*kept: str) -> None:
    """Keep this process and its functions away from real AWS accounts; keep these variables."""
    from local.aws import sandboxed_environment

    environment = sandboxed_environment(os.environ) | {name: os.environ[name] for name in kept if name in os.environ}
    os.environ.clear()
    os.environ.update(environment)


def _serve(
    listener: socket.socket, options: argparse.Namespace, wake: socket.socket, emulator_ended: Callable[[], object]
) -> None:
    """Run the stack until `wake` has a byte: the number of a signal, or 0 after the end of moto's server."""
    _log_rejected_tokens()
    from local.aws import DYNAMODB_ENDPOINT, EmulatorError
    from local.demo import store_sample_keys
    from local.fake_services import FakeServices
    from local.issuer import Issuer
    from local.run_folder import run_folder
    from local.stack import local_stack

    _use_dummy_credentials(DYNAMODB_ENDPOINT)
    origin, seconds = os.environ.get("ALLOWED_ORIGIN"), _sign_in_seconds()
    # The services would refuse the made-up keys.
    demo, fake, samples = _switch("DEMO"), _switch("FAKE_SERVICES"), ""
    with ExitStack() as exits:
        try:
            folder = exits.enter_context(run_folder(options.state, listener.getsockname()[1]))
            _start_fresh(folder)
            fake_services = exits.enter_context(FakeServices()) if demo or fake else None
            running = local_stack(
                {"AllowedOrigin": origin} if origin else {},
                listener=listener,
                base_path=options.base_path,
                issuer=Issuer.load(options.state / "issuer.pem"),
                fake_services_url=fake_services.url if fake_services else None,
                state=folder.state,
                emulator_ended=emulator_ended,
                log_requests=True,
                progress=_progress,
            )
            stack = exits.enter_context(running)
            stack.sign_in.seconds = seconds
            # Configure AWS clients that a function creates during a call.
            os.environ.update(stack.consumer_environment())
            env = exits.enter_context(folder.environment(stack))
            if demo and fake_services:
                _progress("Storing sample keys ...")
                samples = store_sample_keys(stack, fake_services)
        except LocalError as exc:
            raise LocalError(f"Service Keys cannot start: {exc}") from exc
        _progress(_ready_text(stack, folder, env))
        if fake_services:
            _progress(_FAKE_SERVICES.format(url=fake_services.url))
        if samples:
            _progress(samples)
        if wake.recv(1) == b"\0":
            raise EmulatorError(_ENDED_EMULATOR)


def _start_fresh(folder: RunFolder) -> None:
    """With FRESH=1, begin without the keys of earlier runs."""
    from local.aws import DYNAMODB_ENDPOINT
    from local.run_folder import shown

    if not _switch("FRESH") or not folder.first:
        return
    if url := os.environ.get(DYNAMODB_ENDPOINT):
        raise LocalError(f"FRESH=1 does not empty a table elsewhere. Delete the table in {url}, or omit FRESH=1.")
    aside = folder.start_fresh()
    if aside:
        _progress(
            f"The keys of earlier runs are in {shown(aside)}. Delete it if you do not need them. To return to them,"
        )
        # After a crash of this run, SQLite would apply the log of its changes to the other file.
        state, log = shown(folder.state), Path(f"{aside}-wal")
        own_log = f" && mv {shown(log)} {state}-wal" if log.exists() else ""
        _progress(f"end this run, and: rm -f {state}-wal && mv {shown(aside)} {state}{own_log}")


def _ready_text(stack: LocalStack, folder: RunFolder, env: Path) -> str:
    from local.run_folder import shown, url_of

    path, base = shown(folder.path), folder.path.parent
    if folder.first:
        kept = _KEPT.format(folder=path)
    else:
        kept = _NOT_KEPT.format(folder=path, base=shown(base), other=f"the run on {url_of(base) or 'another port'}")
    if stack.dynamodb_url != stack.endpoint_url:
        kept = (_OTHER_DYNAMODB if folder.first else _OTHER_DYNAMODB_NOT_KEPT).format(
            url=stack.dynamodb_url, folder=path
        )
    text = _READY.format(
        url=stack.url + stack.base_path,
        version=stack.template.stage_variables()["version"],
        console_url=stack.console_url,
        env=shown(env),
        kept=kept.strip(),
    )
    return text if folder.first else _with_port(text, int(stack.url.rpartition(":")[2]))


def _with_port(text: str, port: int) -> str:
    """Return a text in which `make token` is for the run on another port than the first one."""
    return text.replace("make -s token", f"make -s token PORT={port}")


def _switch(name: str) -> bool:
    """Return a setting that is 1 or absent."""
    given = os.environ.get(name, "")
    if given not in {"", "0", "1"}:
        raise LocalError(f"{name}={given} is not valid: give {name}=1, or omit it")
    return given == "1"


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


if __name__ == "__main__":
    sys.exit(main())
