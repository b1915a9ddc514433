"""The API in the template: routes, authorizer, errors, CORS, limits, logs."""

import json
from typing import Any

import pytest

from local.template import Template, TemplateError
from service_keys.api import ERRORS, INTERNAL
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
}


def test_every_route_leads_to_its_function(template: Template) -> None:
    routes = {(route.method, route.path): route.function for route in template.routes() if route.function}

    assert routes == ROUTES


def test_every_route_but_preflight_has_the_authorizer(template: Template) -> None:
    for route in template.routes():
        assert (route.authorizer is None) == (route.method == "OPTIONS"), route
        assert (route.function is None) == (route.method == "OPTIONS"), route
        if route.authorizer:
            assert (route.authorizer.function, route.authorizer.header) == ("Authorizer", "Authorization")


def test_the_authorizers_word_is_never_cached(template: Template) -> None:
    (scheme,) = template.api()["components"]["securitySchemes"].values()

    assert scheme["x-amazon-apigateway-authorizer"]["authorizerResultTtlInSeconds"] == 0


def gateway_responses(template: Template) -> dict[str, dict[str, Any]]:
    responses: dict[str, dict[str, Any]] = template.api()["x-amazon-apigateway-gateway-responses"]
    return responses


# https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("UNAUTHORIZED", 401, "AUTHENTICATION_REQUIRED"),
        ("EXPIRED_TOKEN", 401, "AUTHENTICATION_REQUIRED"),
        ("INVALID_SIGNATURE", 404, "ROUTE_NOT_FOUND"),
        ("ACCESS_DENIED", 403, "FORBIDDEN"),
        ("MISSING_AUTHENTICATION_TOKEN", 404, "ROUTE_NOT_FOUND"),
        ("RESOURCE_NOT_FOUND", 404, "ROUTE_NOT_FOUND"),
        ("REQUEST_TOO_LARGE", 413, "PAYLOAD_TOO_LARGE"),
        ("UNSUPPORTED_MEDIA_TYPE", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("THROTTLED", 429, "RATE_LIMIT_EXCEEDED"),
        ("QUOTA_EXCEEDED", 429, "RATE_LIMIT_EXCEEDED"),
        ("INTEGRATION_TIMEOUT", 503, "SERVICE_UNAVAILABLE"),
        ("INTEGRATION_FAILURE", 503, "SERVICE_UNAVAILABLE"),
        ("AUTHORIZER_FAILURE", 503, "SERVICE_UNAVAILABLE"),
        ("AUTHORIZER_CONFIGURATION_ERROR", 503, "SERVICE_UNAVAILABLE"),
        ("DEFAULT_4XX", None, "VALIDATION_ERROR"),
        ("DEFAULT_5XX", None, "INTERNAL_SERVER_ERROR"),
    ],
)
def test_api_gateways_own_errors_carry_our_body(template: Template, kind: str, status: int | None, code: str) -> None:
    response = gateway_responses(template)[kind]

    assert response.get("statusCode") == (None if status is None else str(status))
    body = json.loads(response["responseTemplates"]["application/json"])
    assert body.keys() == {"success", "error", "requestId"}
    assert body["success"] is False
    assert body["error"].keys() == {"code", "message"}
    assert body["error"]["code"] == code
    assert body["requestId"] == "$context.requestId"
    ours = {ours: status for status, ours in (*ERRORS.values(), INTERNAL)}
    assert status is None or ours.get(code, status) == status


def test_every_gateway_response_can_be_read_by_the_admin_interface_and_is_never_stored(template: Template) -> None:
    for kind, response in gateway_responses(template).items():
        headers = {
            name.removeprefix("gatewayresponse.header."): v for name, v in response["responseParameters"].items()
        }
        assert headers["Access-Control-Allow-Origin"] == "'https://admin.example.com'", kind
        assert headers["Cache-Control"] == "'no-store'", kind
        status = response.get("statusCode")
        assert ("WWW-Authenticate" in headers) == (status == "401"), kind
        assert ("Retry-After" in headers) == (status in {"429", "503"}), kind


def test_the_api_is_throttled_and_logs_no_headers_or_bodies(template: Template) -> None:
    for logging in ("false", "true"):
        given = Template.load(DEPLOYMENT | {"AccessLogging": logging}, template.references)
        stage = given.only("AWS::ApiGateway::Stage")
        (settings,) = given.property(stage, "MethodSettings")
        assert (settings["ResourcePath"], settings["HttpMethod"]) == ("/*", "*")
        assert settings["ThrottlingRateLimit"]
        assert settings["ThrottlingBurstLimit"]
        assert (settings["LoggingLevel"], settings["DataTraceEnabled"]) == ("OFF", False)
        access = given.property(stage, "AccessLogSetting")
        assert bool(access) == (logging == "true")
        if access:
            line = json.loads(access["Format"])
            assert line["requestId"] == "$context.requestId"
            # The sender of a request can choose the one, and not the other.
            assert line["extendedRequestId"] == "$context.extendedRequestId"
            assert not {"header", "body", "claims"} & set(access["Format"].lower().replace(".", " ").split())


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("AdminClaimRule", ""),
        ("AdminClaimRule", "role"),
        ("AdminClaimRule", "role="),
        ("AdminClaimRule", "=admin"),
        ("AdminClaimRule", "role=admin,"),
        ("JwksUrl", "http://issuer.example.com/jwks.json"),
        ("JwksUrl", "http://127.0.0.1.example.com/jwks.json"),
        ("JwksUrl", "https://issuer.example.com/jwks.json https://other.example.com/jwks.json"),
        ("JwtSecretParameter", "/"),
        ("JwtSecretParameter", "//jwt-secret"),
        ("JwtSecretParameter", "/jwt-secret/"),
        ("JwtSecretParameter", "/service-keys//jwt-secret"),
        ("JwtSecretParameter", "/jwt-secret:3"),
        ("JwtSecretParameter", "/jwt*"),
        ("JwtSecretParameter", "arn:aws:ssm:eu-west-1:123456789012:parameter/jwt-secret"),
        ("JwtSecretKmsKeyArn", "alias/aws/ssm"),
        ("JwtSecretKmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:alias/mine"),
        ("JwtSecretKmsKeyArn", "arn:aws:kms:eu-west-1:123456789012:key/*"),
        ("JwtIssuer", ""),
        ("JwtAudience", " "),
        ("AllowedOrigin", "*"),
        ("AllowedOrigin", "https://*.example.com"),
        ("AllowedOrigin", "https://admin.example.com/"),
        ("AllowedOrigin", "https://a.example.com, https://b.example.com"),
        ("Architecture", "sparc"),
    ],
)
def test_a_parameter_that_cannot_be_right_is_refused(parameter: str, value: str) -> None:
    with pytest.raises(TemplateError, match=f"Parameter {parameter}:"):
        Template.load(DEPLOYMENT | {parameter: value})


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
def test_tokens_are_verified_in_exactly_one_way(given: dict[str, str], words: str) -> None:
    with pytest.raises(TemplateError, match=words):
        Template.load(DEPLOYMENT | given)


@pytest.mark.parametrize(
    ("given", "url", "parameter"),
    [
        ({}, DEPLOYMENT["JwksUrl"], ""),
        ({"JwksUrl": "", **SECRET}, "", SECRET["JwtSecretParameter"]),
        ({"JwksUrl": "", **SECRET, **OWN_KEY}, "", SECRET["JwtSecretParameter"]),
    ],
)
def test_the_authorizer_is_told_which_way(template: Template, given: dict[str, str], url: str, parameter: str) -> None:
    environment = template.with_parameters(given).functions()["Authorizer"].environment

    assert (environment["JWKS_URL"], environment["JWT_SECRET_PARAMETER"]) == (url, parameter)


@pytest.mark.parametrize("parameter", DEPLOYMENT)
def test_who_may_administer_and_from_where_has_no_default(parameter: str) -> None:
    with pytest.raises(TemplateError, match=parameter):
        Template.load({name: value for name, value in DEPLOYMENT.items() if name != parameter})


def test_every_parameter_says_what_it_is(template: Template) -> None:
    for name, declaration in template.cloudformation["Parameters"].items():
        assert declaration.get("Description"), name
        if declaration["Type"] == "String" and name != "AwsEndpointUrl":
            assert declaration.get("AllowedPattern") or declaration.get("AllowedValues"), name
