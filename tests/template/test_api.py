"""The API in the template: routes, authorizer, errors, CORS, limits, logs."""

import json
import re
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest

from local import template as translation
from local.template import Template, TemplateError
from service_keys import __version__
from service_keys.admin.endpoint import INTERNAL_ERROR, STATUS_BY_ERROR
from tests.template.conftest import DEPLOYMENT

COLLECTION = "/api/v1/admin/api-keys"
ROUTES = {
    ("POST", COLLECTION): "CreateApiKey",
    ("GET", COLLECTION): "ListApiKeys",
    ("GET", f"{COLLECTION}/{{id}}"): "GetApiKey",
    ("PUT", f"{COLLECTION}/{{id}}"): "UpdateApiKey",
    ("PATCH", f"{COLLECTION}/{{id}}"): "UpdateApiKey",
    ("DELETE", f"{COLLECTION}/{{id}}"): "DeleteApiKey",
    ("POST", f"{COLLECTION}/{{id}}/verify"): "VerifyApiKey",
    ("POST", f"{COLLECTION}/{{id}}/rollback"): "RollbackApiKey",
    ("POST", f"{COLLECTION}/{{id}}/restore"): "RestoreApiKey",
    ("GET", f"{COLLECTION}/{{id}}/history"): "GetApiKeyHistory",
    ("GET", "/api/v1/admin/services"): "ListServices",
    ("GET", "/console"): "WebConsole",
    ("GET", "/console/{proxy+}"): "WebConsole",
}
# Without the authorizer: public files.
CONSOLE = {("GET", "/console"), ("GET", "/console/{proxy+}")}


def test_every_route_leads_to_its_function(template: Template) -> None:
    """No other route has a function."""
    routes = {(route.method, route.path): route.function for route in template.routes() if route.function}

    assert routes == ROUTES


def test_every_route_but_preflight_and_console_has_the_authorizer(template: Template) -> None:
    for route in template.routes():
        assert (route.authorizer is None) == (route.method == "OPTIONS" or (route.method, route.path) in CONSOLE), route
        assert (route.function is None) == (route.method == "OPTIONS"), route
        if route.authorizer:
            assert (route.authorizer.function, route.authorizer.header) == ("Authorizer", "Authorization")


def test_authorizer_result_is_never_cached(template: Template) -> None:
    """The TTL of the authorizer's results is 0."""
    (scheme,) = template.api()["components"]["securitySchemes"].values()

    assert scheme["x-amazon-apigateway-authorizer"]["authorizerResultTtlInSeconds"] == 0


def gateway_responses(template: Template) -> Any:
    return template.api()["x-amazon-apigateway-gateway-responses"]


# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("UNAUTHORIZED", 401, "AUTHENTICATION_REQUIRED"),
        ("EXPIRED_TOKEN", 401, "AUTHENTICATION_REQUIRED"),
        ("INVALID_SIGNATURE", 404, "ROUTE_NOT_FOUND"),
        ("ACCESS_DENIED", 403, "FORBIDDEN"),
        ("WAF_FILTERED", 403, "FORBIDDEN"),
        ("MISSING_AUTHENTICATION_TOKEN", 404, "ROUTE_NOT_FOUND"),
        ("RESOURCE_NOT_FOUND", 404, "ROUTE_NOT_FOUND"),
        ("REQUEST_TOO_LARGE", 413, "PAYLOAD_TOO_LARGE"),
        ("UNSUPPORTED_MEDIA_TYPE", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("THROTTLED", 429, "RATE_LIMIT_EXCEEDED"),
        ("QUOTA_EXCEEDED", 429, "RATE_LIMIT_EXCEEDED"),
        # None keeps API Gateway's 504: CloudWatch counts a response with a changed status as 4XXError.
        ("INTEGRATION_TIMEOUT", None, "SERVICE_UNAVAILABLE"),
        ("INTEGRATION_FAILURE", None, "SERVICE_UNAVAILABLE"),
        ("AUTHORIZER_FAILURE", 503, "SERVICE_UNAVAILABLE"),
        ("AUTHORIZER_CONFIGURATION_ERROR", 503, "SERVICE_UNAVAILABLE"),
        ("DEFAULT_4XX", None, "VALIDATION_ERROR"),
        ("DEFAULT_5XX", None, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_gateway_errors_have_the_api_error_body(template: Template, kind: str, status: int | None, code: str) -> None:
    """Errors of API Gateway have the body and the status of the API's own errors."""
    response = gateway_responses(template)[kind]

    assert response.get("statusCode") == (None if status is None else str(status))
    body = json.loads(response["responseTemplates"]["application/json"])
    error = {"code": code, "message": body["error"]["message"]}
    assert body == {"success": False, "error": error, "requestId": "$context.requestId"}
    ours = {ours: status for status, ours in (*STATUS_BY_ERROR.values(), INTERNAL_ERROR)}
    assert status is None or ours.get(code, status) == status


def test_gateway_response_headers(template: Template) -> None:
    """CORS, no-store and the version always; WWW-Authenticate for 401; Retry-After for 429, 503, 504."""
    for kind, response in gateway_responses(template).items():
        headers = {name.rpartition(".")[2]: value for name, value in response["responseParameters"].items()}
        assert headers["Access-Control-Allow-Origin"] == "'https://admin.example.com'", kind
        assert headers["Cache-Control"] == "'no-store'", kind
        assert headers["X-Service-Keys-Version"] == f"'{__version__}'", kind
        assert "X-Service-Keys-Version" in headers["Access-Control-Expose-Headers"], kind
        status = response.get("statusCode")
        assert ("WWW-Authenticate" in headers) == (status == "401"), kind
        assert ("Retry-After" in headers) == (status in {"429", "503"} or kind.startswith("INTEGRATION_")), kind


def test_the_version_is_that_of_the_package(template: Template) -> None:
    """Show it in the stack's output, the layers' descriptions and the stage's variable for the console."""
    outputs = template.cloudformation["Outputs"]
    layers = dict(template.resources("AWS::Lambda::LayerVersion"))

    assert template.resolve(outputs["Version"]["Value"]) == __version__
    assert template.stage_variables()["version"] == __version__
    assert len(layers) == 2
    for layer in layers:
        assert f"Service Keys {__version__}" in template.property(layer, "Description")


def test_the_api_is_throttled_and_logs_no_headers_or_bodies(template: Template) -> None:
    for logging in ("false", "true"):
        given = Template.load(DEPLOYMENT | {"AccessLogging": logging}, template.references)
        stage = given.single_resource("AWS::ApiGateway::Stage")
        (settings,) = given.property(stage, "MethodSettings")
        assert "MetricsEnabled" not in settings, "billed for each method, and no alarm or widget shows it"
        assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
        assert settings["ThrottlingRateLimit"]
        assert settings["ThrottlingBurstLimit"]
        assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("OFF", False)
        access = given.property(stage, "AccessLogSetting")
        assert bool(access) == (logging == "true")
        if access:
            line = json.loads(access["Format"])
            assert line["requestId"] == "$context.requestId"
            # A client can set requestId, but not extendedRequestId.
            assert line["extendedRequestId"] == "$context.extendedRequestId"
            assert not {"header", "body", "claims"} & set(access["Format"].lower().replace(".", " ").split())


REJECTED = {
    "AdminClaimRule": ["role", "role=", "=admin", "role=admin,"],
    "JwksUrl": [
        *("http://issuer.example.com/jwks.json", "http://127.0.0.1.example.com/jwks.json"),
        *("https://issuer.example.com/jwks.json https://other.example.com/jwks.json",),
    ],
    "JwtSecretParameter": [
        *("/", "//jwt-secret", "/jwt-secret/", "/service-keys//jwt-secret", "/jwt-secret:3", "/jwt*"),
        *("arn:aws:ssm:eu-west-1:123456789012:parameter/jwt-secret",),
    ],
    "JwtSecretKmsKeyArn": [
        *("alias/aws/ssm", "arn:aws:kms:eu-west-1:123456789012:alias/mine", "arn:aws:kms:eu-west-1:123456789012:key/*"),
    ],
    "JwtIssuer": ["https://issuer.example.com/ "],
    "JwtAudience": [" "],
    "AdminEmail": ["ada", "ada@example", "Ada <ada@example.com>", f"{'a' * 120}@example.com"],
    "ConsoleUrl": [
        *("http://keys.example.com/console", "https://keys.example.com/", "https://keys.example.com/console/"),
        *("https://keys.example.com/console?x", "https://Keys.example.com", "keys.example.com/console"),
    ],
    "ConsoleClientId": ["made up", "made-up;", "made'up", "{}", "ä"],
    "ConsoleScopes": ["", "openid  email", "openid,", ",openid", "openid;email", "openid\nemail"],
    "ConsoleTokenOrigin": [
        *("http://id.example.com", "https://id.example.com/", "https://id.example.com/token", "https://*.example.com"),
        *("https://Id.example.com", "https://id.example.com https://evil.example.com", "https://id.example.com;"),
    ],
    "SignInDomain": ["Keys", "my-aws-keys", "cognito", "-keys", "keys-", "a.b", "a" * 64],
    "AllowedOrigin": [
        *("*", "null", "https://*.example.com", "https://admin.example.com/"),
        *("https://a.example.com, https://b.example.com", "https://a.example.com https://b.example.com"),
        *("https://Admin.example.com", "HTTPS://admin.example.com", "https://admin.example.com:443"),
        *("http://admin.example.com:80", "https://[::1]:443", "https://admin.example.com:"),
        *("https://admin.example.com:08443", "https://admin.example.com:0", "https://admin.example.com:65536"),
        *("https://admin.example.com:123456", "https://admin.example.com.", "https://.example.com"),
        *("https://admin..example.com", "https://-admin.example.com", "https://bücher.example"),
        *("https://ada@admin.example.com", "https://admin.example.com?x", "https://admin.example.com#x"),
        *("https://admin.example.com\\", "https://admin%2eexample.com", "https://127.1", "https://0127.0.0.1"),
        *("https://256.0.0.1", "https://127.0.0.0x1", "https://[::0001]", "ftp://admin.example.com", "file://"),
        *("admin.example.com", "//admin.example.com", "https://", " ", "https://admin.example.com\n"),
        *("https://'.example.com",),
    ],
    "AwsEndpointUrl": [
        *("https://dynamodb.eu-west-1.amazonaws.com", "http://evil.example.com:5000"),
        *("http://127.0.0.1.evil.example.com", "http://localhost.evil.example.com:5000"),
        *("http://127.0.0.1@evil.example.com", "http://127.0.0.1:5000@evil.example.com", "http://127.0.0.1:x"),
        *("http://127.0.0.1:", "http://169.254.169.254", "http://10.0.0.1:5000", "http://0.0.0.0:5000"),
        *("127.0.0.1:5000", "http://127.0.0.1:5000 http://evil.example.com"),
    ],
    "Architecture": ["sparc"],
}
ACCEPTED = {
    "Console": ["true", "false"],
    "RequiredTokenType": ["", "token_use=id"],
    "AllowedOrigin": [
        *("", "https://admin.example.com", "https://admin.example.com:8443", "https://admin.example.com:80"),
        *("https://admin.example.com:65535", "http://admin.example.com:443", "http://localhost:3000"),
        *("http://127.0.0.1:8000", "http://[::1]:5173", "https://xn--bcher-kva.example", "https://my-app.xn--p1ai"),
        *("https://d111111abcdef8.cloudfront.net", "https://1password.example.com", "https://a_b.example.com"),
        *("https://intranet",),
    ],
    "AwsEndpointUrl": ["", "http://127.0.0.1:5000", "http://localhost:5000", "http://[::1]:5000/"],
}
"""Values of parameters; origins as browsers send them, endpoints on the loopback."""


def rows(values: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(parameter, value) for parameter, of_parameter in values.items() for value in of_parameter]


@pytest.mark.parametrize(("parameter", "value"), rows(REJECTED))
def test_invalid_parameter_rejected(parameter: str, value: str) -> None:
    """The error names the parameter."""
    with pytest.raises(TemplateError, match=f"Parameter {parameter}:"):
        Template.load(DEPLOYMENT | {parameter: value})


@pytest.mark.parametrize(("parameter", "value"), rows(ACCEPTED))
def test_valid_parameter_accepted(parameter: str, value: str) -> None:
    """The value is used as given."""
    assert Template.load(DEPLOYMENT | {parameter: value}).parameters[parameter] == value


def test_empty_origin_removes_cors_headers(template: Template) -> None:
    """Preflight, gateway responses and functions have no CORS headers without AllowedOrigin."""
    closed = template.with_parameters({"AllowedOrigin": ""})

    assert "access-control-" in json.dumps(template.api()).lower()
    preflights = [route for route in closed.routes() if route.method == "OPTIONS"]
    assert preflights
    for route in preflights:
        assert route.operation["x-amazon-apigateway-integration"]["responses"]["default"]["responseParameters"] == {}
    for kind, response in gateway_responses(closed).items():
        assert not re.search("access-control-", json.dumps(response), re.IGNORECASE), kind
        assert response["responseParameters"]["gatewayresponse.header.Cache-Control"] == "'no-store'"
    others = {"Authorizer", "WebConsole"}
    admin = {name: function for name, function in closed.functions().items() if name not in others}
    assert {function.environment["ALLOWED_ORIGIN"] for function in admin.values()} == {""}


def translated_at(monkeypatch: pytest.MonkeyPatch, seconds: int) -> dict[str, Any]:
    """Return the resources that SAM generates from the template at this time."""
    monkeypatch.setattr("samtranslator.model.apigateway.time", SimpleNamespace(time=lambda: seconds))
    source = translation._source(translation.TEMPLATE, 0)
    translated: Any = translation._translate.__wrapped__(translation.TEMPLATE, source, frozenset())
    resources: dict[str, Any] = json.loads(json.dumps(translated["Resources"]))
    return resources


def test_every_deployment_reaches_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each deployment creates a new snapshot for the stage, and changes no other resource."""
    first, second = (translated_at(monkeypatch, seconds) for seconds in (1_000, 2_000))

    before, after = ({name for name in one if name.startswith("ApiDeployment")} for one in (first, second))
    assert len(before) == len(after) == 1
    assert not before & after
    (stage,) = (name for name, one in first.items() if one["Type"] == "AWS::ApiGateway::Stage")
    assert first[stage]["Properties"].pop("DeploymentId") == {"Ref": before.pop()}
    assert second[stage]["Properties"].pop("DeploymentId") == {"Ref": after.pop()}
    assert {name: one for name, one in first.items() if not name.startswith("ApiDeployment")} == {
        name: one for name, one in second.items() if not name.startswith("ApiDeployment")
    }


def test_api_requires_tls_1_2(template: Template) -> None:
    """The policy is a known one with TLS 1.2 or later; such a policy needs an access mode."""
    known: Any = botocore.session.Session().get_service_model("apigateway")
    api = template.single_resource("AWS::ApiGateway::RestApi")
    policy, mode = template.property(api, "SecurityPolicy"), template.property(api, "EndpointAccessMode")

    assert policy in known.shape_for("SecurityPolicy").enum
    assert re.match(r"(SecurityPolicy_TLS13_1_[23]_|TLS_1_2$)", policy)
    assert not policy.endswith("EDGE"), "the API is regional"
    assert mode in known.shape_for("EndpointAccessMode").enum


SECRET = {"JwtSecretParameter": "/service-keys/jwt-secret"}
OWN_KEY = {"JwtSecretKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/0123"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"JwksUrl": ""}, "JwksUrl .* or JwtSecretParameter .* Both are empty"),
        (SECRET, "either JwksUrl or JwtSecretParameter, not both"),
        (OWN_KEY, "JwtSecretKmsKeyArn is the key of JwtSecretParameter, which is empty"),
    ],
)
def test_exactly_one_verification_mode(given: dict[str, str], words: str) -> None:
    """Either the JWKS URL or the secret's parameter is set."""
    with pytest.raises(TemplateError, match=words):
        Template.load(DEPLOYMENT | given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (DEPLOYMENT["JwksUrl"], "")),
        ({"JwksUrl": "", **SECRET}, ("", SECRET["JwtSecretParameter"])),
        ({"JwksUrl": "", **SECRET, **OWN_KEY}, ("", SECRET["JwtSecretParameter"])),
    ],
)
def test_authorizer_gets_its_verification_mode(
    template: Template, given: dict[str, str], expected: tuple[str, str]
) -> None:
    """The environment has the JWKS URL or the secret's parameter; the other one is empty."""
    environment = template.with_parameters(given).functions()["Authorizer"].environment

    assert (environment["JWKS_URL"], environment["JWT_SECRET_PARAMETER"]) == expected


def test_every_parameter_has_description_and_constraint(template: Template) -> None:
    """String parameters have a pattern or allowed values."""
    for name, declaration in template.cloudformation["Parameters"].items():
        assert declaration.get("Description"), name
        if declaration["Type"] == "String":
            assert declaration.get("AllowedPattern") or declaration.get("AllowedValues"), name
