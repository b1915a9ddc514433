"""The API of a stack with a user pool: moto's Cognito creates the pool, signs the tokens and serves the JWKS."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
import requests

from local.aws import CREDENTIALS, sandboxed_environment
from local.functions import load_functions
from local.gateway import Gateway, Request
from local.template import REGION, Template
from tests.functional.conftest import COLLECTION, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.gateway import Response
    from local.stack import LocalStack

ADMINISTRATOR, OTHER = "ada@example.com", "grace@example.com"
PASSWORD = "Made-up-passw0rd"


@dataclass(frozen=True)
class Pool:
    """A user pool that moto created from the template's properties."""

    cognito: Any
    pool_id: str
    client_id: str

    @classmethod
    def create(cls, cognito: Any, template: Template) -> Pool:
        """Create the pool with its client, the group, the first administrator and another user."""
        properties = template.properties("UserPool")
        given = {name: properties[name] for name in properties if name not in ("UserPoolName", "EnabledMfas")}
        pool_id = cognito.create_user_pool(PoolName=properties["UserPoolName"], **given)["UserPool"]["Id"]
        pool = cls(cognito, pool_id, "")
        cognito.create_group(**template.properties("UserPoolAdmins") | {"UserPoolId": pool_id})
        pool.create_user(**template.properties("FirstAdministrator"))
        membership = template.properties("FirstAdministratorMembership")
        cognito.admin_add_user_to_group(**membership | {"UserPoolId": pool_id, "GroupName": "admins"})
        pool.create_user(Username=OTHER)
        return replace(pool, client_id=pool.create_client(template))

    def create_client(self, template: Template) -> str:
        properties = template.properties("UserPoolClient") | {"UserPoolId": self.pool_id}
        client_id: str = self.cognito.create_user_pool_client(**properties)["UserPoolClient"]["ClientId"]
        return client_id

    def create_user(self, **properties: Any) -> None:
        self.cognito.admin_create_user(**properties | {"UserPoolId": self.pool_id})
        password = {"Username": properties["Username"], "Password": PASSWORD, "Permanent": True}
        self.cognito.admin_set_user_password(UserPoolId=self.pool_id, **password)

    def tokens(self, username: str, client_id: str = "") -> dict[str, str]:
        """Return the user's tokens: `AccessToken`, `IdToken`, `RefreshToken`."""
        result = self.cognito.admin_initiate_auth(
            UserPoolId=self.pool_id,
            ClientId=client_id or self.client_id,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": username, "PASSWORD": PASSWORD},
        )
        tokens: dict[str, str] = result["AuthenticationResult"]
        return tokens


@pytest.fixture(scope="module")
def template(stack: LocalStack) -> Template:
    names = {name: name for name in ("UserPool", "UserPoolAdmins", "Api")}
    references = names | {"FirstAdministrator": ADMINISTRATOR}
    given = Template.load({"AdminEmail": ADMINISTRATOR}, {**stack.template.references, **references})
    return given.with_parameters({"AwsEndpointUrl": stack.endpoint_url})


@pytest.fixture(scope="module")
def cognito(stack: LocalStack) -> Any:
    session = botocore.session.Session()
    session.set_credentials(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
    return session.create_client("cognito-idp", region_name=REGION, endpoint_url=stack.endpoint_url)


@pytest.fixture(scope="module")
def pool(cognito: Any, template: Template) -> Pool:
    return Pool.create(cognito, template)


@pytest.fixture(scope="module")
def gateway(stack: LocalStack, template: Template, pool: Pool) -> Iterator[Gateway]:
    """Return the API whose authorizer has the pool's environment, with moto's JWKS."""
    issuer = f"https://cognito-idp.{REGION}.amazonaws.com/{pool.pool_id}"
    created = template.with_references({"UserPool.ProviderURL": issuer, "UserPoolClient": pool.client_id})
    authorizer = created.functions()["Authorizer"]
    assert authorizer.environment["JWKS_URL"] == f"{issuer}/.well-known/jwks.json"
    jwks_url = f"{stack.endpoint_url}/{pool.pool_id}/.well-known/jwks.json"
    assert requests.get(jwks_url, timeout=30).json()["keys"]
    served = replace(authorizer, environment=authorizer.environment | {"JWKS_URL": jwks_url})
    with load_functions([served], sandboxed_environment({})) as fresh:
        yield Gateway(stack.template, {**stack.functions, **fresh})


def send(gateway: Gateway, token: str, method: str = "GET", body: object = None) -> Response:
    headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
    sent = b"" if body is None else json.dumps(body).encode()
    return gateway.handle(Request(method, COLLECTION, headers=headers, body=sent))


def test_access_token_of_the_first_administrator_is_accepted(gateway: Gateway, pool: Pool) -> None:
    """The administrator appears by e-mail address, because that is the user name."""
    response = send(gateway, pool.tokens(ADMINISTRATOR)["AccessToken"], "POST", {"name": "By Ada", "key": SECRET})

    assert response.status == 201, response.body
    assert json.loads(response.body)["data"]["createdByName"] == ADMINISTRATOR


def test_user_outside_the_group_is_denied(gateway: Gateway, pool: Pool) -> None:
    """A user of the pool is not an administrator, until added to the group and signed in again."""
    before = pool.tokens(OTHER)["AccessToken"]
    assert send(gateway, before).status == 403

    pool.cognito.admin_add_user_to_group(UserPoolId=pool.pool_id, Username=OTHER, GroupName="admins")

    assert send(gateway, before).status == 403
    assert send(gateway, pool.tokens(OTHER)["AccessToken"]).status == 200
    pool.cognito.admin_remove_user_from_group(UserPoolId=pool.pool_id, Username=OTHER, GroupName="admins")


@pytest.mark.parametrize("kind", ["IdToken", "RefreshToken"])
def test_other_token_of_the_administrator_rejected(gateway: Gateway, pool: Pool, kind: str) -> None:
    """Only the access token is for the API."""
    assert send(gateway, pool.tokens(ADMINISTRATOR)[kind]).status == 401


def test_token_of_another_client_rejected(gateway: Gateway, pool: Pool, template: Template) -> None:
    """A client that a deployer adds to the pool for another application does not reach the API."""
    other = pool.create_client(template)

    assert send(gateway, pool.tokens(ADMINISTRATOR, other)["AccessToken"]).status == 401


def test_token_of_another_pool_rejected(gateway: Gateway, template: Template, cognito: Any) -> None:
    """The administrator of another stack in the region is none here; in moto, both pools have the same signing key."""
    other = Pool.create(cognito, template)

    assert send(gateway, other.tokens(ADMINISTRATOR)["AccessToken"]).status == 401
