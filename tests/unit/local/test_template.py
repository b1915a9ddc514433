from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.template import Template, TemplateError

if TYPE_CHECKING:
    from pathlib import Path

    from local.template import Function

GIVEN = {
    "JwtIssuer": "http://127.0.0.1:8000/",
    "JwtAudience": "service-keys",
    "JwksUrl": "http://127.0.0.1:8000/jwks.json",
    "AdminClaimRule": "role=admin",
    "AllowedOrigin": "http://localhost:3000",
}
REFERENCES = {"Things": "things-local", "Secret": "key-id", "Secret.Arn": "arn:aws:kms:key"}


def _echo(path: Path, **parameters: object) -> Function:
    return Template.load({**GIVEN, **parameters}, REFERENCES, path=path).functions()["Echo"]


def test_function_variables_are_resolved(template_path: Path) -> None:
    """Intrinsic functions and parameters resolve as in CloudFormation."""
    function = _echo(template_path, AwsEndpointUrl="http://127.0.0.1:5000")

    assert function.environment == {
        "TABLE": "things-local",
        "KEY": "arn:aws:kms:key",
        "SIZE": "3",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "SHADE": "warm",
        "JOINED": "b:${Literal} things-local eu-west-1",
    }


def test_conditions_select_resources_and_values(template_path: Path) -> None:
    """A false condition removes a resource."""
    blue = Template.load({**GIVEN, "Colour": "blue"}, REFERENCES, path=template_path)
    red = Template.load(GIVEN, REFERENCES, path=template_path)

    assert blue.functions()["Echo"].environment["NOTHING"] == "something"
    assert blue.functions()["Echo"].environment["SHADE"] == "cold"
    assert "Painter" in blue.functions()
    assert "Painter" not in red.functions()


def test_function_folders_are_relative_to_the_template(template_path: Path) -> None:
    """Code and layers are paths beside the template."""
    function = _echo(template_path)

    assert function.code == template_path.parent / "functions" / "echo"
    assert function.layers == (template_path.parent / "layers" / "shared",)
    assert (function.handler, function.timeout, function.memory) == ("app.handler", 7, 128)


def test_table_has_createtable_parameters(template_path: Path) -> None:
    """Properties that CreateTable lacks are removed or translated."""
    table = Template.load(GIVEN, REFERENCES, path=template_path).table()

    assert table.create == {
        "TableName": "things-local",
        "BillingMode": "PAY_PER_REQUEST",
        "SSESpecification": {"Enabled": False},
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    assert table.time_to_live == {"AttributeName": "gone", "Enabled": True}


def test_routes_name_their_function_and_their_authorizer(template_path: Path) -> None:
    routes = {
        (route.method, route.path): (route.function, route.authorizer and route.authorizer.function)
        for route in Template.load(GIVEN, REFERENCES, path=template_path).routes()
    }

    assert routes["POST", "/things"] == ("Echo", "Gatekeeper")
    assert routes["GET", "/open"] == ("Echo", None)
    assert routes["OPTIONS", "/things/{id}"] == (None, None)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"AllowedOrigin": "http://localhost/app"}, r"AllowedOrigin: must be an origin \(got 'http://localhost/app'\)"),
        ({"AllowedOrigin": None}, "needs a value for the parameter AllowedOrigin"),
        ({"Colour": "green"}, "Colour: must be one of red, blue"),
        ({"Size": 10}, "Size: must be between 1 and 9"),
        ({"Size": "many"}, "Size: must be a number"),
        ({"Weight": 1}, "has no parameter Weight"),
        ({"Size": 9}, "Rule RedThingsAreSmall: give a red thing a size below 9"),
    ],
)
def test_invalid_parameter_rejected(template_path: Path, parameters: dict[str, object], complaint: str) -> None:
    """The error names the parameter or rule and its constraint."""
    with pytest.raises(TemplateError, match=complaint):
        Template.load({**GIVEN, **parameters}, path=template_path)


def test_rule_applies_only_under_its_condition(template_path: Path) -> None:
    """A rule with a false condition asserts nothing."""
    template = Template.load({**GIVEN, "Colour": "blue", "Size": 9}, path=template_path)

    assert template.parameters["Size"] == "9"
    with pytest.raises(TemplateError, match="RedThingsAreSmall"):
        template.with_parameters({"Colour": "red"})


def test_missing_reference_is_reported(template_path: Path) -> None:
    """The error names the resource."""
    template = Template.load(GIVEN, path=template_path)

    with pytest.raises(TemplateError, match="Nothing was given for Things"):
        template.functions()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Resources: [", "is not a SAM template"),
        ("Resources: {F: {Type: AWS::Serverless::Function, Properties: {}}}", "is not a SAM template"),
        (
            "Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: f, Handler: a.b}}}",
            "Runtime",
        ),
    ],
)
def test_invalid_template_rejected(tmp_path: Path, text: str, complaint: str) -> None:
    """The error has SAM's reason."""
    path = tmp_path / "template.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(TemplateError, match=complaint):
        Template.load(path=path)


def test_a_changed_template_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    text = "Resources: {T: {Type: AWS::DynamoDB::Table, Properties: {BillingMode: %s}}}"
    path.write_text(text % "PROVISIONED", encoding="utf-8")
    before = Template.load(path=path, references={"T": "t"}).table()

    path.write_text(text % "PAY_PER_REQUEST", encoding="utf-8")

    assert before.create["BillingMode"] == "PROVISIONED"
    assert Template.load(path=path, references={"T": "t"}).table().create["BillingMode"] == "PAY_PER_REQUEST"


def test_the_developers_own_aws_configuration_is_not_read(
    template_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")
    copy = tmp_path / "template.yaml"
    copy.write_text(template_path.read_text(encoding="utf-8"), encoding="utf-8")

    assert Template.load(GIVEN, path=copy).stage() == "live"


def test_project_template_loads() -> None:
    """The only authorizer is the project's, and every function has a code folder."""
    template = Template.load(
        GIVEN, {"ApiKeysTable": "service-keys", "EncryptionKey": "key-id", "EncryptionKey.Arn": "arn:aws:kms:key"}
    )

    assert {route.authorizer.function for route in template.routes() if route.authorizer} == {"Authorizer"}
    assert all(function.code.is_dir() for function in template.functions().values())
