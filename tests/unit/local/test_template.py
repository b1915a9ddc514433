from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.template import EXAMPLE_PARAMETERS, Authorizer, Template, TemplateError

if TYPE_CHECKING:
    from pathlib import Path

REFERENCES = {"Things": "things-local", "Secret": "key-id", "Secret.Arn": "arn:aws:kms:key"}


@pytest.fixture
def template(template_path: Path) -> Template:
    return Template.load(EXAMPLE_PARAMETERS, REFERENCES, path=template_path)


def test_function_definition(template: Template, template_path: Path) -> None:
    """Intrinsic functions and parameters resolve as in CloudFormation; folders are beside the template."""
    function = template.with_parameters({"AwsEndpointUrl": "http://127.0.0.1:5000"}).functions()["Echo"]

    assert function.environment == {
        "TABLE": "things-local",
        "KEY": "arn:aws:kms:key",
        "SIZE": "3",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:5000",
        "SHADE": "warm",
        "TONE": "crimson",
        "JOINED": "b:${Literal} things-local eu-west-1",
    }
    assert function.code == template_path.parent / "functions" / "echo"
    assert function.layers == (template_path.parent / "layers" / "shared",)
    assert (function.handler, function.timeout, function.memory) == ("app.handler", 7, 128)


def test_conditions_select_resources_and_values(template: Template, template_path: Path) -> None:
    """A false condition removes a resource."""
    blue = Template.load({**EXAMPLE_PARAMETERS, "Colour": "blue"}, REFERENCES, path=template_path).functions()

    assert (blue["Echo"].environment["NOTHING"], blue["Echo"].environment["SHADE"]) == ("something", "cold")
    assert "Painter" in blue
    assert "Painter" not in template.functions()


def test_table_has_createtable_parameters(template: Template) -> None:
    """Properties that CreateTable lacks are removed or translated."""
    table = template.table()

    assert table.create == {
        "TableName": "things-local",
        "BillingMode": "PAY_PER_REQUEST",
        "SSESpecification": {"Enabled": False},
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    }
    assert table.time_to_live == {"AttributeName": "gone", "Enabled": True}


def test_routes_name_their_function_and_their_authorizer(template: Template) -> None:
    """API Gateway itself handles a preflight."""
    routes = {(route.method, route.path): (route.function, route.authorizer) for route in template.routes()}

    assert routes["POST", "/things"] == ("Echo", Authorizer("Gatekeeper", "Authorization", None))
    assert routes["GET", "/open"] == ("Echo", None)
    assert routes["OPTIONS", "/things/{id}"] == (None, None)


def test_unknown_function_name_rejected(template_path: Path, tmp_path: Path) -> None:
    """The API's definition may spell a function's name, which then has to be that of a function."""
    path = tmp_path / "template.yaml"
    text = template_path.read_text(encoding="utf-8")
    path.write_text(text.replace("FunctionName: !Sub ${AWS::StackName}-gatekeeper", "FunctionName: other"))

    with pytest.raises(TemplateError, match="calls the function service-keys-gatekeeper, which the template does not"):
        Template.load(EXAMPLE_PARAMETERS, REFERENCES, path=path).routes()


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"AllowedOrigin": "http://localhost/app"}, r"AllowedOrigin: must be an origin \(got 'http://localhost/app'\)"),
        ({"AllowedOrigin": None}, "needs a value for the parameter AllowedOrigin"),
        ({"Colour": "green"}, "Colour: must be one of red, blue"),
        ({"Size": 10}, "Size: must be between 1 and 9"),
        ({"Size": "many"}, "Size: must be a number"),
        ({"Label": "large"}, "Label: must have at most 4 characters"),
        ({"Weight": 1}, "has no parameter Weight"),
        ({"Size": 9}, "Rule RedThingsAreSmall: give a red thing a size below 9"),
    ],
)
def test_invalid_parameter_rejected(template_path: Path, parameters: dict[str, object], complaint: str) -> None:
    """The error names the parameter or rule and its constraint."""
    with pytest.raises(TemplateError, match=complaint):
        Template.load({**EXAMPLE_PARAMETERS, **parameters}, path=template_path)


def test_rule_applies_only_under_its_condition(template_path: Path) -> None:
    """A rule with a false condition asserts nothing."""
    template = Template.load({**EXAMPLE_PARAMETERS, "Colour": "blue", "Size": 9}, path=template_path)

    assert template.parameters["Size"] == "9"
    with pytest.raises(TemplateError, match="RedThingsAreSmall"):
        template.with_parameters({"Colour": "red"})


@pytest.mark.parametrize("keys", [["Colours", "red"], ["Shades", "red", "price"], ["Shades", "red", "name", "x"]])
def test_missing_mapping_is_reported(template: Template, keys: list[str]) -> None:
    """The error has the whole path of the entry."""
    with pytest.raises(TemplateError, match="no entry {}".format(r"\.".join(keys))):
        template.resolve({"Fn::FindInMap": keys})


def test_missing_reference_is_reported(template_path: Path) -> None:
    """The error names the resource."""
    with pytest.raises(TemplateError, match="Nothing was given for Things"):
        Template.load(EXAMPLE_PARAMETERS, path=template_path).functions()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Resources: [", "is not a SAM template"),
        ("Resources: {F: {Type: AWS::Serverless::Function, Properties: {}}}", "is not a SAM template"),
        ("Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: f, Handler: a.b}}}", "Runtime"),
    ],
)
def test_invalid_template_rejected(tmp_path: Path, text: str, complaint: str) -> None:
    """The error has SAM's reason."""
    path = tmp_path / "template.yaml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(TemplateError, match=complaint):
        Template.load(path=path)


def test_a_changed_template_is_read_again(tmp_path: Path) -> None:
    """Translations are cached by the file's time of modification."""
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
    """SAM's translator gets no session of the developer."""
    monkeypatch.setenv("AWS_PROFILE", "there-is-no-such-profile")
    copy = tmp_path / "template.yaml"
    copy.write_text(template_path.read_text(encoding="utf-8"), encoding="utf-8")

    assert Template.load(EXAMPLE_PARAMETERS, path=copy).stage() == "live"
