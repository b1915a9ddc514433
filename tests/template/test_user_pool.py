"""The user pool that a stack without an identity provider creates, and the choice between the two."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

from local.deployment import retained_resources_template
from local.template import Template, TemplateError
from service_keys import __version__
from tests.support.processes import local_command
from tests.template.conftest import DEPLOYMENT

POOL = {"AdminEmail": "ada@example.com"}
ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_MadeUp"
CREATED = {"UserPool": "eu-west-1_MadeUp", "UserPool.ProviderURL": ISSUER, "UserPoolClient": "madeupclientid"} | {
    name: name for name in ("UserPoolAdmins", "FirstAdministrator", "UserPoolDomain")
}
RETAINED = {"UserPool", "UserPoolDomain", "UserPoolAdmins", "FirstAdministrator", "FirstAdministratorMembership"}
SETTINGS = pytest.mark.parametrize("parameters", [POOL, DEPLOYMENT], ids=["user pool", "own issuer"])


@pytest.fixture
def pool(template: Template) -> Template:
    return Template.load(POOL, {**template.references, **CREATED})


def pool_resources(template: Template) -> set[str]:
    resources = template.cloudformation["Resources"]
    kinds = {resource["Type"] for resource in resources.values() if resource["Type"].startswith("AWS::Cognito::")}
    return {name for kind in kinds for name, _ in template.resources(kind)}


def errors(cloudformation: object) -> list[str]:
    """Return the errors that cfn-lint finds in a translated template."""
    found = lint(json.dumps(cloudformation), config=ManualArgs(regions=["eu-west-1"]))
    return [f"{match.rule.id} {match.message}" for match in found if match.rule.id.startswith("E")]


def chosen(template: Template, part: Any) -> Any:
    """Return the translated template as it is under the parameters, with references but without conditions."""
    if isinstance(part, list):
        return [chosen(template, each) for each in part if each is not None]
    if not isinstance(part, dict):
        return part
    if isinstance(given := part.get("Fn::If"), list):
        return chosen(template, given[1] if template.resolve({"Condition": given[0]}) else given[2])
    left = {}
    for name, value in part.items():
        if isinstance(value, dict) and isinstance(condition := value.get("Condition"), str):
            if not template.resolve({"Condition": condition}):
                continue
            left[name] = chosen(template, {key: each for key, each in value.items() if key != "Condition"})
        else:
            left[name] = chosen(template, value)
    return left


@pytest.mark.slow
@SETTINGS
def test_translated_template_has_no_cycle(parameters: dict[str, str]) -> None:
    """cfn-lint sees cycles only in the translated template."""
    template = Template.load(parameters)

    assert errors(chosen(template, template.cloudformation)) == []


@pytest.mark.slow
def test_a_reference_to_the_authorizer_would_be_a_cycle() -> None:
    """The check of the test above finds the cycle that the spelled function name avoids."""
    cloudformation = copy.deepcopy(dict(Template.load(POOL).cloudformation))
    (scheme,) = cloudformation["Resources"]["Api"]["Properties"]["Body"]["components"]["securitySchemes"].values()
    uri = scheme["x-amazon-apigateway-authorizer"]["authorizerUri"]["Fn::Sub"]
    uri[1]["__FunctionArn__"] = {"Fn::GetAtt": ["Authorizer", "Arn"]}

    assert "E3004" in {error.split()[0] for error in errors(cloudformation)}


def test_own_issuer_creates_no_user_pool(template: Template) -> None:
    """None of the pool's resources, outputs and stage variables exist."""
    assert not pool_resources(template)
    outputs = template.cloudformation["Outputs"]
    assert {outputs[name]["Condition"] for name in ("SignInIssuer", "SignInClientId", "SignInDomainName")} == {
        "CreatesUserPool"
    }
    assert template.property(template.single_resource("AWS::ApiGateway::Stage"), "Variables") == {
        "version": __version__
    }


def test_authorizer_accepts_access_tokens_of_the_pool(pool: Template) -> None:
    """Issuer, audience, JWKS, rule and token type are the pool's."""
    environment = pool.functions()["Authorizer"].environment

    assert environment.items() >= {
        ("JWT_ISSUER", ISSUER),
        ("JWT_AUDIENCE", "madeupclientid"),
        ("JWT_AUDIENCE_CLAIM", "aud"),
        ("JWKS_URL", f"{ISSUER}/.well-known/jwks.json"),
        ("JWT_SECRET_PARAMETER", ""),
        ("ADMIN_CLAIM_RULE", "cognito:groups=admins"),
        ("REQUIRED_TOKEN_TYPE", "token_use=access"),
    }
    assert "ssm:" not in json.dumps(pool.properties("AuthorizerRole"))


def test_stage_has_the_consoles_sign_in_configuration(pool: Template) -> None:
    """The stage's variables hold public values, of characters that API Gateway allows."""
    variables = pool.property(pool.single_resource("AWS::ApiGateway::Stage"), "Variables")

    assert variables == {
        "version": __version__,
        "signInIssuer": ISSUER,
        "signInClientId": "madeupclientid",
        "signInScopes": "openid",
        "signInTokenOrigin": "https://UserPoolDomain.auth.eu-west-1.amazoncognito.com",
    }


@pytest.mark.parametrize(
    ("given", "variables"),
    [
        ({}, {}),
        (
            {"ConsoleClientId": "made-up-client"},
            {
                "signInIssuer": DEPLOYMENT["JwtIssuer"],
                "signInClientId": "made-up-client",
                "signInScopes": "openid",
            },
        ),
        (
            {
                "ConsoleClientId": "made-up-client",
                "ConsoleScopes": "openid api://service-keys/admin,email",
                "ConsoleTokenOrigin": "https://token.example.com",
            },
            {
                "signInIssuer": DEPLOYMENT["JwtIssuer"],
                "signInClientId": "made-up-client",
                "signInScopes": "openid,api://service-keys/admin,email",
                "signInTokenOrigin": "https://token.example.com",
            },
        ),
    ],
    ids=["a pasted token", "client", "client with scopes and token origin"],
)
def test_stage_variables_of_an_own_issuer(template: Template, given: dict[str, str], variables: dict[str, str]) -> None:
    """The console signs in with an own issuer only if it has a client; no value has a space."""
    own = template.with_parameters(given)

    assert own.stage_variables() == {"version": __version__} | variables


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "AdminEmail and JwtIssuer are both empty"),
        (POOL | {"JwtAudience": "service-keys"}, "sets JwtAudience"),
        (POOL | {"JwksUrl": "https://issuer.example.com/jwks.json"}, "JwksUrl"),
        (POOL | {"JwtSecretParameter": "/jwt-secret"}, "JwtSecretParameter"),
        (POOL | {"JwtSecretKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0123"}, "JwtSecretKmsKeyArn"),
        (POOL | {"AdminClaimRule": "role=admin"}, "AdminClaimRule"),
        (POOL | {"RequiredTokenType": "token_use=id"}, "admits by access tokens only"),
        (POOL | {"JwtAudienceClaim": "azp"}, "Remove JwtAudienceClaim"),
        (POOL | {"ConsoleClientId": "made-up-client"}, "Remove ConsoleClientId"),
        (POOL | {"ConsoleScopes": "openid email"}, "Remove ConsoleClientId"),
        (POOL | {"ConsoleTokenOrigin": "https://token.example.com"}, "Remove ConsoleClientId"),
        (DEPLOYMENT | {"JwtAudience": ""}, "JwtAudience is empty"),
        (DEPLOYMENT | {"ConsoleScopes": "openid email"}, "belong to ConsoleClientId, which is empty"),
        (DEPLOYMENT | {"ConsoleTokenOrigin": "https://token.example.com"}, "belong to ConsoleClientId"),
        (
            DEPLOYMENT | {"JwksUrl": "", "JwtSecretParameter": "/jwt-secret", "ConsoleClientId": "made-up-client"},
            "Remove ConsoleClientId",
        ),
        (DEPLOYMENT | {"AdminClaimRule": ""}, "AdminClaimRule is empty"),
        (DEPLOYMENT | {"JwksUrl": ""}, "Give JwksUrl"),
        (DEPLOYMENT | POOL, "are for the user pool"),
        (DEPLOYMENT | {"SignInDomain": "keys"}, "are for the user pool"),
        (DEPLOYMENT | {"ConsoleUrl": "https://keys.example.com"}, "are for the user pool"),
    ],
)
def test_mixture_of_pool_and_own_issuer_rejected(given: dict[str, str], words: str) -> None:
    """A rule of the template names the parameter and the remedy."""
    with pytest.raises(TemplateError, match=f"^Rule (?=.*(Give|give|Remove|Leave)).*{words}"):
        Template.load(given)


@pytest.mark.parametrize("token_type", ["", "token_use=access"])
def test_address_of_an_administrator_is_enough(token_type: str) -> None:
    """The simplest deployment has one parameter; the pool's own token type may be named."""
    Template.load(POOL | {"RequiredTokenType": token_type})


def test_no_user_signs_up_or_in_without_two_factors(pool: Template) -> None:
    """Administrators are invited; an authenticator app is required, and no code goes by SMS or e-mail."""
    properties = pool.properties("UserPool")

    assert properties["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"] is True
    assert (properties["MfaConfiguration"], properties["EnabledMfas"]) == ("ON", ["SOFTWARE_TOKEN_MFA"])
    assert properties["AccountRecoverySetting"] == {"RecoveryMechanisms": [{"Name": "verified_email", "Priority": 1}]}
    assert not {"SmsConfiguration", "UsernameAttributes", "AliasAttributes", "LambdaConfig"} & properties.keys()
    assert properties["UsernameConfiguration"] == {"CaseSensitive": False}
    password = properties["Policies"]["PasswordPolicy"]
    assert password.pop("MinimumLength") >= 14
    assert password.pop("TemporaryPasswordValidityDays") == 7
    assert password == {f"Require{kind}": True for kind in ("Lowercase", "Uppercase", "Numbers", "Symbols")}


def test_client_is_public_with_code_flow_only(pool: Template) -> None:
    """No secret, no password in an API call, no scope for the administrator's own account, no other place to return."""
    client = pool.properties("UserPoolClient")

    assert client["GenerateSecret"] is False
    assert (client["AllowedOAuthFlows"], client["AllowedOAuthScopes"]) == (["code"], ["openid"])
    assert client["ExplicitAuthFlows"] == ["ALLOW_REFRESH_TOKEN_AUTH"]
    assert (client["EnableTokenRevocation"], client["PreventUserExistenceErrors"]) == (True, "ENABLED")
    assert client["TokenValidityUnits"] == {"AccessToken": "minutes", "IdToken": "minutes", "RefreshToken": "hours"}
    assert (client["AccessTokenValidity"], client["RefreshTokenValidity"]) == (30, 8)
    console = "https://api.execute-api.eu-west-1.amazonaws.com/live/console/index.html"
    local = "http://localhost:8765/callback"
    assert client["CallbackURLs"] == client["LogoutURLs"] == [console, local]
    own = pool.with_parameters({"ConsoleUrl": "https://keys.example.com/console"}).properties("UserPoolClient")
    assert own["CallbackURLs"] == [console, "https://keys.example.com/console/index.html", local]


def test_first_administrator_is_invited_by_email(pool: Template) -> None:
    """The user name is the address, which is verified; the user is in the group of the admin rule."""
    user, membership = pool.properties("FirstAdministrator"), pool.properties("FirstAdministratorMembership")

    assert (user["Username"], user["DesiredDeliveryMediums"]) == ("ada@example.com", ["EMAIL"])
    attributes = {each["Name"]: each["Value"] for each in user["UserAttributes"]}
    assert attributes == {"email": "ada@example.com", "email_verified": "true"}
    assert (membership["Username"], membership["GroupName"]) == ("FirstAdministrator", "UserPoolAdmins")
    assert pool.property("UserPoolAdmins", "GroupName") == "admins"
    message = pool.properties("UserPool")["AdminCreateUserConfig"]["InviteMessageTemplate"]
    # https://docs.aws.amazon.com/cognito-user-identity-pools/latest/APIReference/API_MessageTemplateType.html
    assert all(part in message["EmailMessage"] for part in ("{username}", "{####}", "make sign-in STACK=service-keys"))
    assert len(message["EmailSubject"]) <= 140


@pytest.mark.parametrize(
    ("given", "domain"), [({}, "service-keys-local"), ({"SignInDomain": "keys-of-example"}, "keys-of-example")]
)
def test_sign_in_domain(pool: Template, given: dict[str, str], domain: str) -> None:
    """The default ends with the UUID in the stack's id, so that it is unique in the region."""
    assert pool.with_parameters(given).property("UserPoolDomain", "Domain") == domain


@pytest.mark.parametrize(("protection", "state"), [("true", "ACTIVE"), ("false", "INACTIVE")])
def test_users_outlive_the_stack(pool: Template, protection: str, state: str) -> None:
    """The pool, its domain, group and user are retained; the parameter protects the pool like the table."""
    resources = pool.cloudformation["Resources"]

    assert pool_resources(pool) == {*RETAINED, "UserPoolClient"}
    for name in RETAINED:
        assert resources[name]["DeletionPolicy"].startswith("Retain"), name
        assert resources[name]["UpdateReplacePolicy"] == "Retain", name
    # A rollback cannot delete a protected pool.
    assert resources["UserPool"]["DeletionPolicy"] == "Retain"
    assert pool.with_parameters({"DeletionProtection": protection}).property("UserPool", "DeletionProtection") == state


@pytest.mark.slow
def test_retained_user_pool_can_be_imported(template: Template) -> None:
    """The import template has the retained resources, and refers to nothing else."""
    minimal = retained_resources_template(template.cloudformation, user_pool=True)

    assert set(minimal["Resources"]) == {*RETAINED, "ApiKeysTable", "EncryptionKey"}
    assert {resource["DeletionPolicy"] for resource in minimal["Resources"].values()} == {"Retain"}
    assert set(minimal["Parameters"]) == {"AdminEmail", "SignInDomain", "DeletionProtection"}
    assert errors(minimal) == []
    assert RETAINED.isdisjoint(retained_resources_template(template.cloudformation)["Resources"])
    assert json.loads(local_command("retained", "--user-pool").stdout) == minimal


def test_api_may_call_its_authorizer(pool: Template) -> None:
    """The permission waits for the function, and is for the authorizers of this API only."""
    permissions = [pool.cloudformation["Resources"][name] for name, _ in pool.resources("AWS::Lambda::Permission")]
    (given,) = [one["Properties"] for one in permissions if one["Properties"]["FunctionName"] == {"Ref": "Authorizer"}]

    assert pool.resolve(given) == {
        "Action": "lambda:InvokeFunction",
        "FunctionName": "service-keys-authorizer",
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": "arn:aws:execute-api:eu-west-1:123456789012:api/authorizers/*",
    }
    assert not [one for one in permissions if "-authorizer" in json.dumps(one["Properties"]["FunctionName"])]
