"""The role of the example workflow, and the workflow: sufficient, and without a way to more."""

from __future__ import annotations

import fnmatch
import json
import re
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.template import ACCOUNT_ID, REGION, Template
from tests.support.handler_permissions import DELETES_DATA, NEEDED, OF_SAM
from tests.support.processes import ROOT
from tests.template.conftest import DEPLOYMENT

EXAMPLES = ROOT / "docs" / "examples"
CI = ROOT / ".github" / "workflows" / "ci.yaml"
STACK = "service-keys"
BOUNDARY = f"arn:aws:iam::{ACCOUNT_ID}:policy/deployer/service-keys-deployer-Boundary-0123456789AB"
ROLE = f"arn:aws:iam::{ACCOUNT_ID}:role/deployer/service-keys-deployer-Deployer-0123456789AB"
CALLED_BY_CLOUDFORMATION = {"aws:CalledVia": "cloudformation.amazonaws.com"}
EVERYTHING = {
    "AccessLogging": "true",
    "AlarmEmail": "ops@example.com",
    "PermissionsBoundary": BOUNDARY,
    "ReservedConcurrency": "20",
    "Tracing": "Active",
}


@pytest.fixture(scope="module")
def deployer() -> Template:
    references = {
        "GitHub": f"arn:aws:iam::{ACCOUNT_ID}:oidc-provider/token.actions.githubusercontent.com",
        "Artifacts": "artifacts",
        "Artifacts.Arn": "arn:aws:s3:::artifacts",
        "Boundary": BOUNDARY,
        "DeployStack": "arn:policy",
        "ManageData": "arn:policy",
        "Deployer.Arn": ROLE,
    }
    return Template.load({"Repository": "made-up/service-keys"}, references, path=EXAMPLES / "deployer.yaml")


@pytest.fixture(scope="module")
def stacks(template: Template) -> list[Template]:
    """The stack with an issuer of its own, and with a user pool; with everything that costs or is optional."""
    ways = (DEPLOYMENT, {"AdminEmail": "ada@example.com"})
    return [Template.load({**given, **EVERYTHING}, template.references) for given in ways]


def statements(template: Template, *policies: str) -> list[dict[str, Any]]:
    found = [
        statement for policy in policies for statement in template.properties(policy)["PolicyDocument"]["Statement"]
    ]
    return [{**each, "Action": listed(each["Action"]), "Resource": listed(each["Resource"])} for each in found]


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def granted(deployer: Template) -> list[dict[str, Any]]:
    return [each for each in statements(deployer, "DeployStack", "ManageData") if each["Effect"] == "Allow"]


def allowing(granted: list[dict[str, Any]], action: str, arn: str) -> list[dict[str, Any]]:
    """Return the statements that allow an action on an ARN, with their conditions to be met."""
    return [
        each
        for each in granted
        if action in each["Action"] and any(fnmatch.fnmatchcase(arn, pattern) for pattern in each["Resource"])
    ]


def test_every_resource_type_can_be_deployed(granted: list[dict[str, Any]], stacks: list[Template]) -> None:
    """The role has the actions of the handlers of each type in the template, and no further ones."""
    types = {resource["Type"] for stack in stacks for resource in stack.cloudformation["Resources"].values()}
    assert types == NEEDED.keys(), "add the actions of the type's handlers to tests/support/handler_permissions.py"

    actions = {action for each in granted for action in each["Action"]}
    assert actions == OF_SAM.union(*NEEDED.values())
    assert not actions & set().union(*DELETES_DATA.values())
    assert DELETES_DATA.keys() <= {
        resource["Type"]
        for stack in stacks
        for resource in stack.cloudformation["Resources"].values()
        if resource.get("DeletionPolicy", "").startswith("Retain")
    }


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("iam:CreateRole", f"arn:aws:iam::{ACCOUNT_ID}:role/{STACK}-CreateApiKeyRole-0123456789AB"),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT_ID}:role/{STACK}-AuthorizerRole-0123456789AB"),
        ("iam:CreatePolicyVersion", f"arn:aws:iam::{ACCOUNT_ID}:policy/{STACK}-ReadAllKeys-0123456789AB"),
        ("lambda:CreateFunction", f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{STACK}-authorizer"),
        ("lambda:AddPermission", f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{STACK}-ListApiKeys-0123456789AB"),
        ("lambda:GetLayerVersion", f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:layer:{STACK}-admin:1"),
        ("lambda:PublishLayerVersion", f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:layer:{STACK}-service-keys"),
        ("dynamodb:CreateTable", f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{STACK}-ApiKeysTable-0123456789AB"),
        ("kms:CreateAlias", f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:alias/{STACK}"),
        ("kms:CreateAlias", f"arn:aws:kms:{REGION}:{ACCOUNT_ID}:key/made-up"),
        ("logs:CreateLogGroup", f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/aws/lambda/{STACK}-authorizer"),
        ("logs:PutMetricFilter", f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/aws/lambda/{STACK}-authorizer:*"),
        ("logs:PutRetentionPolicy", f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/aws/apigateway/{STACK}"),
        ("cloudwatch:PutMetricAlarm", f"arn:aws:cloudwatch:{REGION}:{ACCOUNT_ID}:alarm:{STACK}-Api5xxAlarm-0123"),
        ("cloudwatch:PutDashboard", f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{STACK}-{REGION}"),
        ("sns:Subscribe", f"arn:aws:sns:{REGION}:{ACCOUNT_ID}:{STACK}-AlarmTopic-0123456789AB"),
        ("ssm:PutParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/{STACK}/layer-arn"),
        ("cloudformation:CreateChangeSet", f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/{STACK}/0123"),
        ("cloudformation:CreateChangeSet", f"arn:aws:cloudformation:{REGION}:aws:transform/Serverless-2016-10-31"),
        ("apigateway:PATCH", f"arn:aws:apigateway:{REGION}::/restapis/made-up/stages/live"),
    ],
)
def test_names_of_the_stack_are_covered(granted: list[dict[str, Any]], action: str, arn: str) -> None:
    """CloudFormation begins a name with the stack's, unless the template gives one."""
    assert allowing(granted, action, arn)


def test_given_names_begin_with_the_stack(stacks: list[Template]) -> None:
    """The statements name resources by this prefix."""
    named = {"FunctionName", "LayerName", "DashboardName", "AliasName", "LogGroupName", "Name", "RoleName"}
    kinds = ("AWS::Lambda::", "AWS::CloudWatch::", "AWS::KMS::", "AWS::Logs::LogGroup", "AWS::SSM::", "AWS::IAM::")
    prefixes = ("", "alias/", "/", "/aws/lambda/", "/aws/apigateway/")
    for stack in stacks:
        for logical_id, resource in stack.cloudformation["Resources"].items():
            for name in named & resource.get("Properties", {}).keys():
                if resource["Type"].startswith(kinds) and resource["Type"] != "AWS::Lambda::Permission":
                    value = stack.resolve(resource["Properties"][name])
                    assert value.startswith(tuple(prefix + STACK for prefix in prefixes)), logical_id


def test_calls_reach_resources_through_cloudformation_only(granted: list[dict[str, Any]]) -> None:
    """The credentials alone change nothing but change sets and uploads."""
    for each in granted:
        services = {action.partition(":")[0] for action in each["Action"]}
        condition = each.get("Condition", {}).get("ForAnyValue:StringEquals")
        assert (condition == CALLED_BY_CLOUDFORMATION) is not bool(services & {"cloudformation", "s3"}), each["Sid"]
        assert "*" not in "".join(each["Action"])


def test_roles_stay_within_the_boundary(
    granted: list[dict[str, Any]], stacks: list[Template], template: Template
) -> None:
    """A role is created and changed with the boundary only, and passed to Lambda only."""
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/{STACK}-CreateApiKeyRole-0123456789AB"
    for action in ("iam:CreateRole", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:PutRolePermissionsBoundary"):
        for each in allowing(granted, action, role):
            assert each["Condition"]["StringEquals"] == {"iam:PermissionsBoundary": BOUNDARY}
    (passing,) = allowing(granted, "iam:PassRole", role)
    assert passing["Condition"]["StringEquals"] == {"iam:PassedToService": "lambda.amazonaws.com"}
    actions = {action for each in granted for action in each["Action"]}
    assert not actions & {"iam:AttachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:SetDefaultPolicyVersion"}
    for stack in stacks:
        for logical_id, properties in stack.resources("AWS::IAM::Role"):
            assert stack.property(logical_id, "PermissionsBoundary") == BOUNDARY, logical_id
            assert "ManagedPolicyArns" not in properties, logical_id
    roles = [logical_id for logical_id, _ in template.resources("AWS::IAM::Role")]
    assert {template.property(logical_id, "PermissionsBoundary") for logical_id in roles} == {None}


def test_the_role_cannot_change_itself(granted: list[dict[str, Any]], deployer: Template) -> None:
    """No statement reaches the role, its policies, the boundary, or another stack; imports are refused."""
    for each in granted:
        for pattern in each["Resource"]:
            if ":iam:" in pattern:
                assert not fnmatch.fnmatchcase(ROLE, pattern)
                assert not fnmatch.fnmatchcase(BOUNDARY, pattern)
    own = f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/service-keys-deployer/0123"
    assert not allowing(granted, "cloudformation:CreateChangeSet", own)
    paths = {deployer.property(name, "Path") for name in ("Deployer", "DeployStack", "ManageData", "Boundary")}
    assert paths == {"/deployer/"}
    (denied,) = [each for each in statements(deployer, "DeployStack") if each["Effect"] == "Deny"]
    assert denied["Condition"] == {"ForAnyValue:StringLike": {"cloudformation:ImportResourceTypes": "*"}}


def test_the_boundary_covers_every_role(deployer: Template, stacks: list[Template]) -> None:
    """Each grant of the stack's roles is within the boundary."""
    boundary = statements(deployer, "Boundary")
    within = {action for each in boundary for action in each["Action"]}
    for stack in stacks:
        for role, _ in stack.resources("AWS::IAM::Role"):
            for policy in stack.property(role, "Policies"):
                for statement in policy["PolicyDocument"]["Statement"]:
                    assert set(listed(statement["Action"])) <= within, role
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT_ID}:table/{STACK}-ApiKeysTable-0123456789AB"
    assert allowing(boundary, "dynamodb:Query", f"{table}/index/all-by-created")
    assert allowing(
        boundary, "logs:PutLogEvents", f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:/aws/lambda/{STACK}-a:*"
    )
    assert allowing(boundary, "ssm:GetParameter", f"arn:aws:ssm:{REGION}:{ACCOUNT_ID}:parameter/{STACK}/jwt-secret")
    assert not {action for action in within if action.startswith(("iam:", "sts:", "s3:", "lambda:"))}


def test_policies_have_a_size_that_iam_accepts(deployer: Template) -> None:
    """6,144 characters without white space; a role of the longest stack's name included."""
    for stack in (STACK, 53 * "s"):
        given = deployer.with_parameters({"ServiceKeysStack": stack})
        for policy in ("DeployStack", "ManageData", "Boundary"):
            text = json.dumps(given.properties(policy)["PolicyDocument"], separators=(",", ":"))
            assert len(text) <= 6144, policy


@pytest.mark.parametrize("repository", ["made-up/service-keys", "made-up@12/service-keys@34"])
def test_the_workflow_of_one_environment_is_trusted(deployer: Template, repository: str) -> None:
    """Audience and subject are compared exactly; a wildcard in a parameter is refused."""
    given = deployer.with_parameters({"Repository": repository})

    (statement,) = given.property("Deployer", "AssumeRolePolicyDocument")["Statement"]
    assert statement["Condition"] == {
        "StringEquals": {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": f"repo:{repository}:environment:prod",
        }
    }
    declared = given.cloudformation["Parameters"]
    for wrong in ("*/service-keys", "made-up/*", "made-up/service-keys:*", "service-keys", "a/b/c", ""):
        assert not re.fullmatch(declared["Repository"]["AllowedPattern"], wrong)
    assert not re.fullmatch(declared["Environment"]["AllowedPattern"], "*")


def test_the_workflow_deploys_with_the_least() -> None:
    """Permissions, pinned actions, credentials after the build, and no expression inside a script."""
    text = (EXAMPLES / "deploy.yaml").read_text(encoding="utf-8")
    workflow = yaml_parse(text)
    job = workflow["jobs"]["deploy"]

    assert (workflow["permissions"], job["permissions"]) == ({}, {"contents": "read", "id-token": "write"})
    assert job["environment"] == "prod"
    assert workflow["concurrency"]["cancel-in-progress"] is False
    steps = job["steps"]
    used = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each) for each in used)
    in_ci = set(re.findall(r"uses: (\S+)", CI.read_text(encoding="utf-8")))
    assert [each for each in used if each not in in_ci] == [
        "aws-actions/configure-aws-credentials@e6de054238d6b7531b4efff3b6587d9aade6a06c"
    ]
    order = [step.get("run", step.get("uses", "")).split("@")[0][:40] for step in steps]
    assert order.index("make build") < order.index("aws-actions/configure-aws-credentials")
    scripts = [step["run"] for step in steps if "run" in step]
    assert not [script for script in scripts if "${{" in script]
    assert [script for script in scripts if script.startswith("make deploy STAGE=prod ")]
    assert "AWS_SECRET_ACCESS_KEY" not in text
