"""The whole stack with an issuer that signs with a shared secret: template, SSM and authorizer."""

import time
from collections.abc import Iterator

import jwt
import pytest
import requests

from local.aws import sandboxed_environment
from local.functions import load_functions
from local.gateway import Gateway, Request
from local.issuer import AUDIENCE
from local.stack import LocalStack, local_stack
from tests.functional.conftest import COLLECTION, policies_of
from tests.support.fault_proxy import FaultProxy

JWT_SECRET = "made-up-secret-shared-with-the-issuer"
PARAMETER = "/made-up/jwt-secret"
ISSUER = "made-up-issuer"


@pytest.fixture(scope="module")
def secret_stack() -> Iterator[LocalStack]:
    given = {"JwtIssuer": ISSUER, "JwksUrl": "", "JwtSecretParameter": PARAMETER}
    with local_stack(given, jwt_secret=JWT_SECRET) as stack:
        yield stack


def signed(secret: str, algorithm: str = "HS256", **changes: object) -> str:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "role": "admin", "exp": int(time.time()) + 600, **changes}
    return jwt.encode(claims, secret, algorithm)


def listing(stack: LocalStack, token: str) -> tuple[int, str | None]:
    response = requests.get(stack.url + COLLECTION, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return response.status_code, response.json().get("error", {}).get("code")


def test_a_token_signed_with_the_shared_secret_is_accepted(secret_stack: LocalStack) -> None:
    """Return 200 for an administrator, and 403 for an ordinary user."""
    assert listing(secret_stack, signed(JWT_SECRET)) == (200, None)
    assert listing(secret_stack, signed(JWT_SECRET, role="user")) == (403, "FORBIDDEN")


def test_a_token_signed_with_another_key_is_rejected(
    secret_stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """Return 401 for another secret, another algorithm and a key of a JWKS."""
    refused = (401, "AUTHENTICATION_REQUIRED")

    assert listing(secret_stack, signed("made-up-secret-of-another-issuer!")) == refused
    assert listing(secret_stack, signed(JWT_SECRET * 2, "HS512")) == refused
    assert listing(secret_stack, secret_stack.issuer.token()) == refused
    assert capsys.readouterr().out == "", "a local run writes no metrics"


def test_the_console_asks_for_a_token(secret_stack: LocalStack) -> None:
    """With a shared secret there is no sign-in page, and the console connects to the API only."""
    response = requests.get(f"{secret_stack.console_url}/config.json", timeout=30)

    assert (response.json()["signIn"], response.json()["issuer"]) == ("token", None)
    assert "connect-src 'self';" in response.headers["Content-Security-Policy"]


def test_the_authorizer_may_read_the_parameter_and_nothing_else(secret_stack: LocalStack) -> None:
    """Use the one grant of the authorizer, and no other."""
    headers = [("Authorization", f"Bearer {signed(JWT_SECRET)}")]
    with FaultProxy() as proxy:
        proxy.upstreams = {"SSM": secret_stack.endpoint_url}
        proxy.policies = policies_of(secret_stack)
        template = secret_stack.template.with_parameters({"AwsEndpointUrl": proxy.url})
        with load_functions([template.functions()["Authorizer"]], sandboxed_environment({})) as fresh:
            gateway = Gateway(template, {**secret_stack.functions, **fresh})
            response = gateway.handle(Request("GET", COLLECTION, headers=headers))

    assert response.status == 200
    assert proxy.denials == []
    (grant,) = proxy.policies.of_principal("Authorizer")
    assert (grant.action, grant.conditions) == ("ssm:GetParameter", ())
    assert {access.resource for access in proxy.used[grant]} == set(grant.resources)
