"""Consumers in processes of their own: the example under docs/, and a local program."""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import requests

from local.aws import sandboxed_environment
from local.template import ACCOUNT_ID, Template
from service_keys.store.consumer_clients import BOTOCORE, CLIENT_VARIABLE, DIRECT
from tests.functional.conftest import COLLECTION, SPOTIFY_KEY, Admin, Store
from tests.support.http_server import HttpServer
from tests.support.processes import ROOT, local_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from local.stack import LocalStack
    from tests.support.http_server import HttpRequest

EXAMPLE = ROOT / "docs" / "examples" / "spotify_token" / "template.yaml"
OTHER_ACCOUNT = ROOT / "docs" / "examples" / "other_account"
NEW_KEY = SPOTIFY_KEY | {"clientSecret": "0f" * 16}


class FakeSpotify(HttpServer):
    """A fake Spotify that issues a token for one key and counts the requests with any other.

    Attributes:
        redirect: Status and location of a redirect that it returns.
        stray: Authorization headers of GET requests, which only a followed redirect causes.
    """

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.key = SPOTIFY_KEY
        self.refused = 0
        self.redirect: tuple[int, str] | None = None
        self.stray: list[str | None] = []

    def _respond(self, request: HttpRequest) -> None:
        if request.command == "GET":
            self.stray.append(request.headers["Authorization"])
            request.send(200, b'{"access_token": "made-up", "expires_in": 1}')
            return
        assert request.body == b"grant_type=client_credentials"
        if self.redirect:
            request.send(self.redirect[0], headers={"Location": self.redirect[1], "Content-Length": "0"})
            return
        wanted = base64.b64encode(f"{self.key['clientId']}:{self.key['clientSecret']}".encode()).decode()
        good = request.path == "/api/token" and request.headers["Authorization"] == f"Basic {wanted}"
        self.refused += not good
        body = {"access_token": "made-up", "expires_in": 3600} if good else {"error": "invalid_client"}
        request.send(200 if good else 401, json.dumps(body).encode())


@pytest.fixture
def spotify() -> Iterator[FakeSpotify]:
    with FakeSpotify() as server:
        yield server


@pytest.fixture
def admin(stack: LocalStack, store: Store) -> Admin:
    return Admin(stack)


def started(stack: LocalStack, spotify: FakeSpotify, code: str, kind: str = DIRECT) -> subprocess.Popen[str]:
    """Run `code` with the example's handler, with the environment and the layer of its template."""
    exports = {
        "/service-keys/layer-arn": str(ROOT / "layers" / "service_keys"),
        "service-keys-ReadSpotifyKeysPolicyArn": "arn:policy",
        "service-keys-TableName": stack.table_name,
    }
    template = Template.load({"SpotifyAccountsUrl": spotify.url}, exports, path=EXAMPLE)
    function = template.functions()["SpotifyToken"]
    assert template.property("SpotifyTokenRole", "ManagedPolicyArns")[-1] == "arn:policy"
    path = os.pathsep.join(str(folder) for folder in (*function.layers, function.code))
    # Call through the fault proxy, with the permissions of the attached policy.
    attached = {
        "AWS_ENDPOINT_URL": stack.template.parameters["AwsEndpointUrl"],
        "AWS_SDK_UA_APP_ID": "ReadSpotifyKeys",
        CLIENT_VARIABLE: kind,
    }
    own = function.environment | {"PYTHONPATH": path}
    environment = sandboxed_environment(os.environ) | stack.consumer_environment() | attached | own
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", f"from app import handler\n{code}"],
        env=environment,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_example(stack: LocalStack, spotify: FakeSpotify, code: str, kind: str = DIRECT) -> tuple[str, str]:
    with started(stack, spotify, code, kind) as process:
        return process.communicate(timeout=60)


@pytest.mark.parametrize("kind", [DIRECT, BOTOCORE])
def test_the_example_reads_a_stored_key(stack: LocalStack, admin: Admin, spotify: FakeSpotify, kind: str) -> None:
    """Return the token's lifetime, print nothing, stamp the key, and load botocore only if chosen."""
    key = admin.create("Spotify", key=SPOTIFY_KEY)

    code = "import sys; print(handler({}, None), 'botocore' in sys.modules)"
    assert run_example(stack, spotify, code, kind) == (f"{{'expiresIn': 3600}} {kind == BOTOCORE}\n", "")
    assert admin.get(key["id"]).data["lastUsed"] is not None


@pytest.mark.slow
def test_a_function_of_another_account_reads_a_key(stack: LocalStack, admin: Admin, tmp_path: Path) -> None:
    """The example assumes the role of its file for DynamoDB and KMS, and its other clients do not."""
    if stack.dynamodb_url != stack.endpoint_url:
        pytest.skip("DynamoDB Local has tables of its own for each access key, also for those of a role")
    configuration = tmp_path / "service_keys.ini"
    written = (OTHER_ACCOUNT / "function" / configuration.name).read_text(encoding="utf-8")
    # moto has a table for each account, and finds the account in the role.
    configuration.write_text(written.replace("111111111111", ACCOUNT_ID), encoding="utf-8")
    key = admin.create("Spotify", key=SPOTIFY_KEY)
    template = Template.load(
        {
            "TableName": stack.table_name,
            "LayerArn": "arn:aws:lambda:eu-west-1:111111111111:layer:service-keys-service-keys:1",
            "ReaderRoleArn": "arn:aws:iam::111111111111:role/service-keys-spotify-reader",
        },
        {"SpotifyTokenRole.Arn": "arn:role", "SpotifyTokenLog": "log"},
        path=OTHER_ACCOUNT / "template.yaml",
    )
    variables = template.property("SpotifyToken", "Environment")["Variables"]
    folder = OTHER_ACCOUNT / "function"
    assert variables["AWS_CONFIG_FILE"] == f"/var/task/{configuration.name}"
    environment = {
        **sandboxed_environment(os.environ),
        **stack.consumer_environment(),
        **variables,
        "AWS_CONFIG_FILE": str(configuration),
        # Through the fault proxy, with the permissions of the reader policy that role.yaml attaches.
        "AWS_ENDPOINT_URL": stack.template.parameters["AwsEndpointUrl"],
        "AWS_ENDPOINT_URL_STS": stack.endpoint_url,
        "AWS_SDK_UA_APP_ID": "ReadSpotifyKeys",
        "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "layers" / "service_keys")]),
    }
    code = """
import app, botocore.session
print(app.handler({}, None))
credentials = app.session.get_credentials()
print(credentials.method, credentials.access_key != "local", credentials._refresh_using is not None)
print(botocore.session.get_session().get_credentials().access_key)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    ran = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=60)

    expected = f"{{'id': '{key['id']}', 'version': 1}}\nassume-role True True\nlocal\n"
    assert (ran.stdout, ran.stderr) == (expected, "")


def test_the_role_of_another_account_is_as_narrow() -> None:
    """It trusts one role of the other account and has one reader policy; the layer is shared with that account."""
    consumer = "arn:aws:iam::222222222222:role/spotify-token-role"
    references = {"service-keys-ReadSpotifyKeysPolicyArn": "arn:policy", "/service-keys/layer-arn": "arn:layer:1"}
    template = Template.load({"ConsumerRoleArn": consumer}, references, path=OTHER_ACCOUNT / "role.yaml")

    role = template.properties("ReaderRole")
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": "arn:aws:iam::222222222222:root"}
    assert trust["Condition"] == {"ArnEquals": {"aws:PrincipalArn": consumer}}
    assert role["ManagedPolicyArns"] == ["arn:policy"]
    assert "Policies" not in role
    assert template.property("SharedLayer", "Principal") == "222222222222"
    configured = (OTHER_ACCOUNT / "function" / "service_keys.ini").read_text(encoding="utf-8")
    assert f"role_arn = arn:aws:iam::111111111111:role/{role['RoleName']}\n" in configured
    function = Template.load(
        {
            "TableName": "table",
            "LayerArn": "arn:aws:lambda:eu-west-1:111111111111:layer:x:1",
            "ReaderRoleArn": consumer,
        },
        {"SpotifyTokenLog.Arn": "arn:log"},
        path=OTHER_ACCOUNT / "template.yaml",
    )
    (policy,) = function.property("SpotifyTokenRole", "Policies")
    granted = {
        action: each["Resource"]
        for each in policy["PolicyDocument"]["Statement"]
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    }
    assert granted.pop("sts:AssumeRole") == consumer
    assert granted.keys() == {"logs:CreateLogStream", "logs:PutLogEvents"}


def test_the_example_refreshes_a_rejected_key(stack: LocalStack, admin: Admin, spotify: FakeSpotify) -> None:
    """Read the replaced key after one rejected request."""
    key = admin.create("Spotify", key=SPOTIFY_KEY)
    spotify.key = NEW_KEY
    # Stop the clock until the key is replaced, then advance it by more than the minimum refresh interval.
    code = """
import sys, service_keys.reader.default_client as reader, time
now = time.time()
reader._default = reader.ServiceKeys(clock=lambda: now)
reader.get_api_key("spotify")
print("read", flush=True)
sys.stdin.readline()
now += 6
print(handler({}, None))
"""
    with started(stack, spotify, code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "read\n"
        admin.update(key["id"], {"key": NEW_KEY})
        out, errors = process.communicate("go\n", timeout=60)

    assert (out, errors) == ("{'expiresIn': 3600}\n", "")
    assert spotify.refused == 1


@pytest.mark.timeout(120)
def test_the_example_follows_no_redirect(stack: LocalStack, admin: Admin, spotify: FakeSpotify) -> None:
    """Send the credentials to no other address for any redirect status, and fail with that status."""
    admin.create("Spotify", key=SPOTIFY_KEY)
    # urllib treats these statuses differently: it has no handler for 300, and one for 308 since Python 3.11.
    code = """
import urllib.error
for line in iter(sys.stdin.readline, ""):
    try:
        print(handler({}, None), flush=True)
    except urllib.error.HTTPError as error:
        error.close()
        print(error.code, flush=True)
"""
    statuses = [300, 301, 302, 303, 307, 308]
    with FakeSpotify() as other, started(stack, spotify, "import sys" + code) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        printed = []
        for location, status in itertools.product((f"{other.url}/stolen", "/elsewhere"), statuses):
            spotify.redirect = (status, location)
            process.stdin.write("again\n")
            process.stdin.flush()
            printed.append(process.stdout.readline())
        _, errors = process.communicate(timeout=60)

    assert printed == [f"{status}\n" for status in statuses] * 2
    assert (spotify.stray, other.stray, other.refused, errors) == ([], [], 0, "")


@pytest.mark.parametrize(
    ("end", "error"),
    [("disabled", "KeyDisabledError"), ("deleted", "KeyNotFoundError"), ("never stored", "KeyNotFoundError")],
)
def test_the_example_raises_the_error_of_a_missing_key(
    stack: LocalStack, admin: Admin, spotify: FakeSpotify, end: str, error: str
) -> None:
    """Send no request to Spotify without an active key."""
    if end != "never stored":
        key = admin.create("Spotify", key=SPOTIFY_KEY)
        if end == "disabled":
            admin.update(key["id"], {"active": False})
        else:
            admin.delete(key["id"])

    _, errors = run_example(stack, spotify, "handler({}, None)")

    assert f"service_keys.errors.{error}: " in errors
    assert SPOTIFY_KEY["clientSecret"] not in errors
    assert spotify.refused == 0


@pytest.mark.timeout(240)
def test_a_program_reads_keys_with_the_sourced_env_file(tmp_path: Path, testrun_uid: str) -> None:
    """Call `get_api_key` in a process that sourced the file of `make run`."""
    with local_run(tmp_path) as (run, url):
        token = [sys.executable, "-m", "local", "token", "--state", str(tmp_path)]
        bearer = subprocess.run(token, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
        # A unique name, because a DynamoDB that outlives this run keeps the keys of other runs.
        body = {"name": f"Spotify {testrun_uid}", "service": "spotify", "key": SPOTIFY_KEY}
        headers = {"Authorization": f"Bearer {bearer}"}
        assert requests.post(url + COLLECTION, json=body, headers=headers, timeout=60).status_code == 201

        consumer = f"""
set -eu
source {tmp_path}/env
exec {sys.executable} -c 'import service_keys; print(service_keys.get_api_key("spotify")["clientId"])'
"""
        command = ["bash", "-c", consumer]
        program = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False, timeout=120)
        run.send_signal(signal.SIGINT)
        run.communicate(timeout=60)

    assert (program.stdout, program.stderr) == (SPOTIFY_KEY["clientId"] + "\n", "")
