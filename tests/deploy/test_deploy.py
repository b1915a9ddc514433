"""The built artifacts, deployed by `sam deploy` onto an emulator of AWS. Each test continues the one before."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
import pytest
import requests
from botocore.exceptions import ClientError

from local.aws import sandboxed_environment
from local.issuer import AUDIENCE, JWKS_PATH, Issuer
from local.sam import architecture
from local.sign_in import CLIENT_ID
from local.template import ACCOUNT_ID
from service_keys import ServiceKeys
from tests.deploy.calls import CALLS, EXPLAINED, REPLACED_KEY, Api, Call
from tests.deploy.emulator import BUILD, PYTHON, Emulator, Stack, copy_without
from tests.functional.conftest import COLLECTION
from tests.support.processes import ROOT
from tools import smoke

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)
EXAMPLE = ROOT / "docs" / "examples" / "spotify_token"
SHARED = ("Architecture", "AllowedOrigin", "AwsEndpointUrl", "Alarms", "ThrottleRate", "ThrottleBurst")
KEPT = ("ApiKeysTable", "EncryptionKey")
DEPLOYMENT = "AWS::ApiGateway::Deployment"
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-apigateway-restapi.html: an update of Body
# needs no interruption. The permissions name the API.
EMULATORS_OWN = {"AWS::ApiGateway::RestApi", "AWS::Lambda::Permission"}
CHANGED = {
    "AllowedOrigin": "https://admin.example.com",
    "NameClaims": "name",
    "LogLevel": "DEBUG",
    "LogRetentionDays": "14",
    "DeletedKeyRetentionDays": "0",
    "HistoryRetentionDays": "30",
    "CustomMetrics": "false",
    "Dashboard": "false",
    "AccessLogging": "false",
    "ThrottleRate": "900",
    "ThrottleBurst": "1800",
}


@dataclass
class World:
    """The emulator with the deployed stack, and the API of `make run`."""

    emulator: Emulator
    stack: Stack
    consumer: Stack
    issuer: Issuer
    run_url: str
    fake_services_url: str
    parameters: Mapping[str, object]

    def deployed(self) -> Api:
        """Return the deployed API."""
        return Api(self.stack.url, self.issuer, self.stack.host)

    def kept(self) -> dict[str, str]:
        """Return the ids of the resources that no deployment may replace."""
        resources = self.stack.resources()
        return {name: resources[name][1] for name in KEPT}

    def read(self, service: str) -> Any:
        """Read a key as a new consumer does."""
        table = self.stack.output("TableName")
        clients = {f"{name}_client": self.emulator.client(name) for name in ("dynamodb", "kms")}
        return ServiceKeys(table, **clients).get(service)


def counted(types: Mapping[str, str]) -> str:
    """Return the number of resources of each type."""
    return ", ".join(f"{count} {type_}" for type_, count in sorted(Counter(types.values()).items())) or "nothing"


def report(line: str) -> None:
    print(f"    {line}", flush=True)


@contextmanager
def make_run(folder: Path) -> Iterator[tuple[str, str]]:
    """Run `make run` with fake services; yield its URL and theirs."""
    with (
        (folder / "run.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "local", "run", "--port", "0", "--state", str(folder / "run")],
            cwd=ROOT,
            env={**sandboxed_environment(os.environ), "FAKE_SERVICES": "1"},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        url = ""
        for line in process.stdout:
            url = line.split()[3] if line.startswith("Service Keys on http") else url
            if found := re.search(r"curl -X PUT (\S+)/spotify", line):
                yield url, found[1]
                break
        process.terminate()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    assert PYTHON.exists(), "Run make test-deploy, which installs the emulator."
    assert BUILD.exists(), "Run make test-deploy, which builds the artifacts."
    folder = tmp_path_factory.mktemp("deploy")
    example = folder / "example"
    example.mkdir()
    text = (EXAMPLE / "template.yaml").read_text(encoding="utf-8")
    # The example names the architecture of a deployment.
    text = text.replace("Architectures: [arm64]", f"Architectures: [{architecture()}]")
    (example / "template.yaml").write_text(text.replace("CodeUri: function", f"CodeUri: {EXAMPLE / 'function'}"))
    with make_run(folder) as (run_url, fake_services_url), Emulator(folder) as emulator:
        parameters = {
            "Architecture": architecture(),
            "JwtIssuer": run_url,
            "JwtAudience": AUDIENCE,
            "JwksUrl": run_url + JWKS_PATH,
            "AdminClaimRule": "role=admin",
            "ConsoleClientId": CLIENT_ID,
            "AllowedOrigin": "http://localhost:3000",
            "AwsEndpointUrl": emulator.url,
            # The emulator refuses alarms on expressions of metrics, and limits the rate of requests.
            "Alarms": "false",
            "PermissionsBoundary": f"arn:aws:iam::{ACCOUNT_ID}:policy/deployer/made-up",
            "ThrottleRate": "1000",
            "ThrottleBurst": "2000",
        }
        stack = Stack(emulator, "service-keys", BUILD)
        consumer = Stack(emulator, "spotify-token", example / "template.yaml")
        issuer = Issuer.load(folder / "run" / "issuer.pem").at(run_url)
        yield World(emulator, stack, consumer, issuer, run_url, fake_services_url, parameters)


def test_the_artifacts_deploy(world: World) -> None:
    """Create every resource of the template, by the command of a pipeline: no file is edited, no question asked."""
    began = time.monotonic()
    output = world.stack.deploy_by_make("prod", world.parameters)
    assert "Deploy this changeset?" not in output
    # Of the stage, which the given parameters complete.
    assert '"LogRetentionDays": "365"' in output
    resources = world.stack.resources()
    world.stack.complete(world.fake_services_url)

    report(f"deployed {len(resources)} resources in {time.monotonic() - began:.0f} s")
    assert {type_ for type_, _ in resources.values()} >= {"AWS::ApiGateway::RestApi", "AWS::Lambda::Function"}


def test_the_deployed_api_answers_as_make_run(world: World) -> None:
    """Send each call to both, and compare the responses; an explanation without a difference is an error."""
    deployed, ours = world.deployed(), Api(world.run_url, world.issuer)
    differences = {}
    for call in CALLS:
        difference = deployed.send(call).difference(ours.send(call))
        if difference:
            differences[f"{call.method} {call.path[:60]} ({call.title})"] = (call.title, difference)

    explained = {label: found for label, found in differences.items() if found[0] in EXPLAINED}
    report(f"{len(CALLS)} calls compared, {len(differences)} differ: {len(explained)} explained")
    for label, (title, difference) in differences.items():
        report(f"- {label}: {difference[:400]}\n      {EXPLAINED.get(title, 'NOT EXPLAINED')}")
    assert differences.keys() - explained.keys() == set()
    assert EXPLAINED.keys() - {title for title, _ in differences.values()} == set()


def test_make_smoke_passes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run it with the address of the emulator."""
    monkeypatch.setenv("API_URL", f"http://{world.stack.host}/live{COLLECTION}")
    monkeypatch.setenv("SERVICE_KEYS_TOKEN", world.issuer.token())

    assert smoke.main(["--stack", "service-keys"]) == 0


def test_an_update_of_parameters_keeps_the_keys(world: World) -> None:
    """Change several parameters at once; the API answers with them, and the key stays readable."""
    before, kept = world.stack.resources(), world.kept()
    world.deployed().data(
        Call("replace", "POST", COLLECTION, {"name": "Kept", "service": "spotify", "key": REPLACED_KEY})
    )
    assert world.read("spotify")["clientSecret"] == REPLACED_KEY["clientSecret"]

    world.stack.deploy({**world.parameters, **CHANGED})
    world.stack.complete(world.fake_services_url)

    after = world.stack.resources()
    replaced = {name: after[name][0] for name in before.keys() & after.keys() if before[name] != after[name]}
    gone = sorted(type_ for name, (type_, _) in before.items() if name not in after and type_ != DEPLOYMENT)
    report(f"{len(CHANGED)} parameters changed; removed: {', '.join(gone)}; replaced: {counted(replaced)}")
    assert world.kept() == kept
    # The emulator replaces an API whose document changes; CloudFormation updates it in place (EMULATORS_OWN).
    assert set(replaced.values()) == EMULATORS_OWN
    assert world.read("spotify")["clientSecret"] == REPLACED_KEY["clientSecret"]
    answer = world.deployed().send(Call("list", "GET", COLLECTION))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, CHANGED["AllowedOrigin"])
    created = world.deployed().data(Call("create", "POST", COLLECTION, {"name": "Short-lived", "key": "a-made-up-key"}))
    deleted = world.deployed().data(Call("delete", "DELETE", f"{COLLECTION}/{created['id']}"))
    assert deleted["recoverableUntil"] is None


def test_a_second_deployment_replaces_the_snapshot_only(world: World) -> None:
    """Compare the ids of all resources before and after a deployment of the same artifacts and parameters."""
    before = world.stack.resources()
    world.stack.deploy(world.stack.parameters)
    world.stack.complete(world.fake_services_url)
    after = world.stack.resources()

    changed = {*before.items()} ^ {*after.items()}
    report(f"a second deployment: {len(changed)} changed, {sorted({type_ for _, (type_, _) in changed})}")
    assert {type_ for _, (type_, _) in changed} == {DEPLOYMENT}
    assert world.deployed().send(Call("list", "GET", COLLECTION)).status == 200


def test_the_example_consumer_reads_the_key(world: World) -> None:
    """Deploy docs/examples/spotify_token beside the stack, and call it."""
    world.consumer.deploy({"SpotifyAccountsUrl": f"{world.fake_services_url}/spotify"})
    # On Lambda, a function needs no address of AWS.
    world.consumer.set_variable("SpotifyToken", "AWS_ENDPOINT_URL", world.emulator.url)

    assert invoke(world) == {"expiresIn": 3600}


def invoke(world: World) -> Any:
    """Call the example consumer."""
    functions, name = world.emulator.client("lambda"), world.consumer.physical_id("SpotifyToken")
    return json.loads(functions.invoke(FunctionName=name, Payload=b"{}")["Payload"].read())


def test_a_stack_with_a_consumer_is_not_deleted(world: World) -> None:
    """Refuse while the consumer imports exports."""
    try:
        status, reason = world.stack.delete()
    except ClientError as exc:
        status, reason = "refused", str(exc)

    report(f"deletion with a consumer: {status}: {reason[:200]}")
    assert "export" in reason.lower()
    assert world.deployed().send(Call("list", "GET", COLLECTION)).status == 200


def test_the_console_is_served_below_the_stage(world: World) -> None:
    """The page and its configuration come from the deployed function, without a token and with the policy."""

    def get(path: str) -> requests.Response:
        headers = {"Host": world.stack.host} if world.stack.host else {}
        return requests.get(world.stack.url + path, headers=headers, timeout=60, allow_redirects=False)

    for path in ("/console", "/console/"):
        assert (get(path).status_code, get(path).headers["Location"]) == (302, "/live/console/index.html")
    page, config = get("/console/index.html"), get("/console/config.json")
    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert f"connect-src 'self' {world.run_url};" in page.headers["Content-Security-Policy"]
    assert (config.json()["issuer"], config.json()["signIn"]) == (world.run_url, "oidc")
    assert get("/console/../app.py").status_code == get("/console/missing").status_code == 404
    report(f"console: {len(page.content)} bytes of page, below {world.stack.url}")


def test_a_shared_secret_verifies_tokens(world: World) -> None:
    """Update the stack to HS256; a token of the other kind gets 401."""
    secret, now = "a-made-up-shared-secret-of-64-characters-0123456789-0123456789-01", int(time.time())
    world.emulator.client("ssm").put_parameter(Name="/service-keys/jwt", Value=secret, Type="SecureString")
    claims = {"iss": world.issuer.url, "aud": AUDIENCE, "sub": "ada", "role": "admin", "iat": now, "exp": now + 600}
    signed = Call("signed with the secret", "GET", COLLECTION, token=f"Bearer {jwt.encode(claims, secret, 'HS256')}")
    calls = [signed, Call("signed with the key", "GET", COLLECTION)]

    given = {"JwksUrl": "", "JwtSecretParameter": "/service-keys/jwt", "ConsoleClientId": ""}
    world.stack.deploy({**world.parameters, **given})
    world.stack.complete(world.fake_services_url)
    assert [world.deployed().send(call).status for call in calls] == [200, 401]


def test_the_keys_outlive_the_stack(world: World) -> None:
    """Delete the stack; keep the table and the KMS key, adopt them in a new stack, and read the key."""
    kept, table, kms_key = world.kept(), world.stack.output("TableName"), world.stack.output("EncryptionKeyArn")
    assert world.consumer.delete() == ("", "")
    assert world.stack.delete() == ("", "")
    assert world.emulator.client("dynamodb").describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"
    assert world.emulator.client("kms").describe_key(KeyId=kms_key)["KeyMetadata"]["KeyState"] == "Enabled"

    adopt(world, table, kms_key.rpartition("/")[2])
    assert set(world.stack.resources()) == set(KEPT)
    world.stack.deploy(world.parameters)
    world.stack.complete(world.fake_services_url)

    assert world.kept() == kept
    assert world.read("spotify")["clientSecret"] == REPLACED_KEY["clientSecret"]
    assert world.deployed().send(Call("list", "GET", f"{COLLECTION}?service=spotify")).status == 200
    test_the_example_consumer_reads_the_key(world)


def adopt(world: World, table: str, kms_key: str) -> None:
    """Import both resources as docs/operations.md says."""
    cloudformation = world.emulator.client("cloudformation")
    ran = subprocess.run(
        [sys.executable, "-m", "local", "retained"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    imported = [
        ("AWS::DynamoDB::Table", "ApiKeysTable", {"TableName": table}),
        ("AWS::KMS::Key", "EncryptionKey", {"KeyId": kms_key}),
    ]
    names = ("ResourceType", "LogicalResourceId", "ResourceIdentifier")
    change_set = {"StackName": world.stack.name, "ChangeSetName": "adopt"}
    cloudformation.create_change_set(
        **change_set,
        ChangeSetType="IMPORT",
        TemplateBody=ran.stdout,
        ResourcesToImport=[dict(zip(names, each, strict=True)) for each in imported],
    )
    waiting = {"Delay": 1, "MaxAttempts": 30}
    cloudformation.get_waiter("change_set_create_complete").wait(**change_set, WaiterConfig=waiting)
    cloudformation.execute_change_set(**change_set)
    cloudformation.get_waiter("stack_import_complete").wait(StackName=world.stack.name, WaiterConfig=waiting)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"JwtSecretParameter": "/made/up"}, "Give either JwksUrl or JwtSecretParameter, not both."),
        ({"AwsEndpointUrl": "https://example.com"}, "must be http and a loopback address"),
    ],
    ids=["two sources of keys", "another host"],
)
def test_wrong_parameters_are_refused(world: World, parameters: Mapping[str, object], reason: str) -> None:
    """Print the reason of the template, and create nothing."""
    output = Stack(world.emulator, "service-keys-wrong", BUILD).deploy(
        {**world.parameters, **parameters}, succeeds=False
    )

    assert reason in " ".join(output.split())


@pytest.fixture
def pool_stack(world: World, tmp_path: Path) -> Iterator[Stack]:
    """A second stack, without an issuer of its own; the pool outlives it."""
    # The emulator knows no users of a pool as resources.
    template = copy_without(BUILD, tmp_path / "template.json", "FirstAdministrator", "FirstAdministratorMembership")
    stack = Stack(world.emulator, "service-keys-pool", template)
    shared = {name: world.parameters[name] for name in SHARED}
    stack.deploy({**shared, "AdminEmail": "ada@example.com"})
    yield stack
    pool = stack.physical_id("UserPool")
    assert stack.delete() == ("", "")
    assert world.emulator.client("cognito-idp").describe_user_pool(UserPoolId=pool)


def test_a_stack_without_an_issuer_creates_a_user_pool(world: World, pool_stack: Stack) -> None:
    """Create pool, domain, client and group; connect the authorizer; keep the pool when the stack is deleted."""
    cognito, pool = world.emulator.client("cognito-idp"), pool_stack.physical_id("UserPool")
    created = cognito.describe_user_pool(UserPoolId=pool)["UserPool"]
    assert created["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"]
    assert created["MfaConfiguration"] == "ON"
    assert not created.get("UsernameAttributes")
    client_id = pool_stack.physical_id("UserPoolClient")
    client = cognito.describe_user_pool_client(UserPoolId=pool, ClientId=client_id)["UserPoolClient"]
    api = f"https://{pool_stack.physical_id('Api')}.execute-api."
    assert "ClientSecret" not in client
    assert client["AllowedOAuthFlows"] == ["code"]
    assert [url for url in client["CallbackURLs"] if url.startswith(api)]
    assert cognito.get_group(UserPoolId=pool, GroupName="admins")
    assert cognito.describe_user_pool_domain(Domain=pool_stack.physical_id("UserPoolDomain"))["DomainDescription"]

    variables = pool_stack.variables("Authorizer")
    assert variables["JWT_ISSUER"].endswith(f"/{pool}")
    assert variables["JWKS_URL"] == f"{variables['JWT_ISSUER']}/.well-known/jwks.json"
    assert (variables["JWT_AUDIENCE"], variables["ADMIN_CLAIM_RULE"]) == (client_id, "cognito:groups=admins")

    tokens = sign_in(cognito, pool, client_id)
    pool_stack.set_variable("Authorizer", "JWKS_URL", f"{world.emulator.url}/{pool}/.well-known/jwks.json")
    pool_stack.complete(world.fake_services_url)
    api_of_pool = Api(pool_stack.url, world.issuer, pool_stack.host)
    calls = {kind: Call(kind, "GET", COLLECTION, token=f"Bearer {token}") for kind, token in tokens.items()}
    assert {kind: api_of_pool.send(call).status for kind, call in calls.items()} == {
        "an administrator's access token": 200,
        "an administrator's ID token": 401,
        "another user's access token": 403,
    }
    kinds = sorted(type_ for type_, _ in pool_stack.resources().values() if type_.startswith("AWS::Cognito::"))
    report(f"without an issuer: {', '.join(kinds)} (the emulator knows no users as resources)")
    assert not [type_ for type_, _ in world.stack.resources().values() if type_.startswith("AWS::Cognito::")]


def sign_in(cognito: Any, pool: str, client_id: str) -> dict[str, str]:
    """Return tokens of the emulated pool, of an administrator and of another user.

    The client of the stack allows no password in a request; the emulator asks for no code of an authenticator app.
    """
    flows = ["ALLOW_ADMIN_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    cognito.update_user_pool_client(UserPoolId=pool, ClientId=client_id, ExplicitAuthFlows=flows)
    signed_in = {}
    for name in ("ada@example.com", "eve@example.com"):
        user, password = {"UserPoolId": pool, "Username": name}, "Made-up-password-1"
        attributes = [{"Name": "email", "Value": name}, {"Name": "email_verified", "Value": "true"}]
        cognito.admin_create_user(
            **user, TemporaryPassword=password, UserAttributes=attributes, MessageAction="SUPPRESS"
        )
        cognito.admin_set_user_password(**user, Password=password, Permanent=True)
        if name.startswith("ada"):
            cognito.admin_add_user_to_group(**user, GroupName="admins")
        client = {"UserPoolId": pool, "ClientId": client_id}
        parameters = {"USERNAME": name, "PASSWORD": password}
        answer = cognito.admin_initiate_auth(**client, AuthFlow="ADMIN_USER_PASSWORD_AUTH", AuthParameters=parameters)
        if "ChallengeName" in answer:
            challenge = {"ChallengeName": answer["ChallengeName"], "Session": answer["Session"]}
            answer = cognito.admin_respond_to_auth_challenge(
                **client, **challenge, ChallengeResponses={"USERNAME": name}
            )
        signed_in[name] = answer["AuthenticationResult"]
    ada, eve = signed_in.values()
    return {
        "an administrator's access token": ada["AccessToken"],
        "an administrator's ID token": ada["IdToken"],
        "another user's access token": eve["AccessToken"],
    }
