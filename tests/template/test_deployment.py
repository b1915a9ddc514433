"""A dry deployment: moto's CloudFormation, and moto's service APIs for resource types that it lacks."""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from moto import mock_aws
from moto.apigateway.models import RestAPI, apigateway_backends

from local.aws import CREDENTIALS
from local.deployment import retained_resources_template
from local.template import REGION, Template
from tests.template.conftest import DEPLOYMENT

ROOT = Path(__file__).parents[2]
STACK = "service-keys"
EVERYTHING = {
    "AlarmEmail": "ops@example.com",
    "ReservedConcurrency": "20",
    "Tracing": "Active",
    "AccessLogging": "true",
}
NOTHING = dict.fromkeys(("Alarms", "Console", "CustomMetrics", "Dashboard", "DeletionProtection"), "false")
SIGN_IN = {
    "ConsoleClientId": "made-up-client",
    "ConsoleScopes": "openid api://service-keys/admin",
    "ConsoleTokenOrigin": "https://token.example.com",
}
SHARED_SECRET = {
    "JwksUrl": "",
    "JwtSecretParameter": "/service-keys/jwt-secret",
    "JwtSecretKmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/01234567-0123-0123-0123-0123456789ab",
}
ALARM = "AWS::CloudWatch::Alarm"
UNKNOWN_TO_MOTO = {"AWS::ApiGateway::Stage", ALARM, "AWS::Logs::MetricFilter", "AWS::SNS::Subscription"}


def client(service: str) -> Any:
    return botocore.session.Session().create_client(service, region_name=REGION)


@pytest.fixture(autouse=True)
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    created = RestAPI.create_from_cloudformation_json.__func__  # type: ignore[attr-defined]

    def create_with_body(cls: Any, /, name: str, resource: Any, account: str, region: str, **rest: Any) -> Any:
        """Import the API's OpenAPI document as well, which moto's CloudFormation omits."""
        api = created(cls, name, resource, account, region, **rest)
        body = json.loads(json.dumps(resource["Properties"]["Body"]))
        for operation in (operation for path in body["paths"].values() for operation in path.values()):
            # moto requires a backend for preflight operations, which have none.
            operation["x-amazon-apigateway-integration"].setdefault("uri", "")
            operation["x-amazon-apigateway-integration"].setdefault("httpMethod", "POST")
        backend = apigateway_backends[account][region]
        return backend.put_rest_api(api.id, body, fail_on_warnings=False, mode="overwrite")

    monkeypatch.setattr(RestAPI, "create_from_cloudformation_json", classmethod(create_with_body))
    with mock_aws():
        yield


def packaged(template: Template) -> str:
    """Upload the code of every function and layer to its S3 key in the translated template."""
    text = json.dumps(listed(template, template.cloudformation))
    s3 = client("s3")
    s3.create_bucket(Bucket="local", CreateBucketConfiguration={"LocationConstraint": REGION})
    for folder in set(re.findall(r'"S3Key": "([^"]+)"', text)):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as zipped:
            for file in (ROOT / folder).rglob("*.py"):
                zipped.write(file, file.relative_to(ROOT / folder))
        s3.put_object(Bucket="local", Key=folder, Body=archive.getvalue())
    return text


def listed(template: Template, value: Any) -> Any:
    """Remove list elements that resolve to AWS::NoValue, which moto keeps."""
    if isinstance(value, dict):
        return {name: listed(template, part) for name, part in value.items()}
    if isinstance(value, list):
        return [listed(template, part) for part in value if not left_out(template, part)]
    return value


def left_out(template: Template, part: Any) -> bool:
    match part:
        case {"Fn::If": [condition, _, {"Ref": "AWS::NoValue"}]}:
            return not template.resolve({"Condition": condition})
    return False


@pytest.mark.parametrize(
    "options",
    [{}, *(pytest.param(each, marks=pytest.mark.slow) for each in (EVERYTHING, NOTHING, SHARED_SECRET, SIGN_IN))],
    ids=["as it is", "everything on", "everything off", "shared secret", "sign-in"],
)
def test_cloudformation_creates_the_stack(options: dict[str, str]) -> None:
    """The packaged template deploys with each set of options."""
    parameters = DEPLOYMENT | options
    template = Template.load(parameters)
    cloudformation = client("cloudformation")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cloudformation.create_stack(
            StackName=STACK,
            TemplateBody=packaged(template),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            Capabilities=["CAPABILITY_IAM"],
        )

    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    unknown = {match[1] for w in caught if (match := re.match(r"Tried to parse (\S+) but", str(w.message)))}
    assert unknown == {kind for kind in UNKNOWN_TO_MOTO if any(template.resources(kind))}
    assert len(client("lambda").list_functions()["Functions"]) == len(list(template.resources("AWS::Lambda::Function")))
    (api,) = client("apigateway").get_rest_apis()["items"]
    paths = client("apigateway").get_resources(restApiId=api["id"])["items"]
    operations = {f"/api/v1/admin/api-keys/{{id}}/{name}" for name in ("verify", "rollback", "restore", "history")}
    assert {path["path"] for path in paths} >= {"/api/v1/admin/api-keys", "/api/v1/admin/services", *operations}
    console = {path["path"] for path in paths if path["path"].startswith("/console") and "resourceMethods" in path}
    assert console == (set() if options.get("Console") == "false" else {"/console", "/console/{proxy+}"})


def test_console_condition_covers_all_its_parts(template: Template) -> None:
    """Without the console there is no function, role, log group, path or output, and the dashboard is valid JSON."""
    for console, exists in (("true", True), ("false", False)):
        given = template.with_parameters({"Console": console})
        names = ("WebConsole", "WebConsoleRole", "WebConsoleLog")
        present = [name for name, resource in given.cloudformation["Resources"].items() if "WebConsole" in name]
        assert set(names) <= set(present)
        for name in present:
            condition = given.cloudformation["Resources"][name]["Condition"]
            assert given.resolve({"Condition": condition}) == exists, name
        assert any(path.startswith("/console") for path in given.api()["paths"]) == exists
        output = given.cloudformation["Outputs"]["ConsoleUrl"]
        assert given.resolve({"Condition": output["Condition"]}) == exists
        assert given.resolve(output["Value"]) == "https://api.execute-api.eu-west-1.amazonaws.com/live/console"
        board = json.loads(given.property("OperationsDashboard", "DashboardBody"))
        assert ("WebConsole" in json.dumps(board)) == exists


def test_retained_resources_can_be_imported(template: Template) -> None:
    """The import template has the retained table and KMS key only."""
    minimal = retained_resources_template(template.cloudformation)

    assert set(minimal["Resources"]) == {"ApiKeysTable", "EncryptionKey"}
    # A rolled back import must not delete the key of existing ciphertexts.
    assert {resource["DeletionPolicy"] for resource in minimal["Resources"].values()} == {"Retain"}
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources.html
    assert not {"Transform", "Outputs"} & minimal.keys()
    assert all("Default" in parameter for parameter in minimal["Parameters"].values())
    cloudformation = client("cloudformation")
    cloudformation.create_stack(StackName=STACK, TemplateBody=json.dumps(minimal))
    (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"


def test_cloudwatch_accepts_the_alarms(template: Template) -> None:
    """PutMetricAlarm accepts the properties of every alarm."""
    cloudwatch, names = client("cloudwatch"), [name for name, _ in template.resources(ALARM)]

    for name in names:
        cloudwatch.put_metric_alarm(AlarmName=name, **template.properties(name))

    assert {alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]} == set(names)


def test_cloudwatch_accepts_the_metric_filter(template: Template) -> None:
    """PutMetricFilter accepts the properties of the filter."""
    logs = client("logs")
    given = template.properties("AuthorizerErrors")
    logs.create_log_group(logGroupName=given["LogGroupName"])
    (transformation,) = given["MetricTransformations"]

    logs.put_metric_filter(
        filterName="AuthorizerErrors",
        logGroupName=given["LogGroupName"],
        filterPattern=given["FilterPattern"],
        metricTransformations=[{name[0].lower() + name[1:]: value for name, value in transformation.items()}],
    )

    assert len(logs.describe_metric_filters()["metricFilters"]) == 1


def test_tracing_permissions_follow_the_parameter(template: Template) -> None:
    """X-Ray permissions exist only with Tracing=Active, and never for the console, whose role has none but logs."""
    for tracing, traced in (("Disabled", False), ("Active", True)):
        given = Template.load(DEPLOYMENT | {"Tracing": tracing}, template.references)
        assert given.property("WebConsole", "TracingConfig") is None
        assert "xray" not in json.dumps(given.property("WebConsoleRole", "Policies"))
        for name in given.functions().keys() - {"WebConsole"}:
            assert (given.property(name, "TracingConfig") is not None) == traced
            assert ("xray:Put" in json.dumps(given.property(f"{name}Role", "Policies"))) == traced
        assert given.property(given.single_resource("AWS::ApiGateway::Stage"), "TracingEnabled") == traced
