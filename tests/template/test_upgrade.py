"""Updates of a deployed stack: `sam deploy` of this version on the stack of each released one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from local.template import Template
from tests.support.deployed_stack import DEPLOYED, kept_parts
from tests.support.fixtures import load

if TYPE_CHECKING:
    from pathlib import Path

# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference: "Update requires: Replacement".
REPLACING = {
    "AWS::Cognito::UserPool": ["AliasAttributes", "UsernameAttributes", "UsernameConfiguration"],
    "AWS::Cognito::UserPoolDomain": ["Domain", "UserPoolId"],
    "AWS::Cognito::UserPoolGroup": ["GroupName", "UserPoolId"],
    "AWS::Cognito::UserPoolUser": ["UserAttributes", "UserPoolId", "Username"],
    "AWS::Cognito::UserPoolUserToGroupAttachment": ["GroupName", "UserPoolId", "Username"],
    "AWS::DynamoDB::Table": ["KeySchema", "LocalSecondaryIndexes", "TableName"],
    "AWS::SSM::Parameter": ["Name", "Type"],
}
Parts = dict[str, Any]


@pytest.fixture(scope="module")
def now() -> Parts:
    return kept_parts(Template.load({"AdminEmail": "ada@example.com"}).cloudformation)


@pytest.fixture(params=DEPLOYED.paths(), ids=lambda path: path.stem)
def before(request: pytest.FixtureRequest) -> Parts:
    path: Path = request.param
    return load(path)


def test_an_update_replaces_no_retained_resource(before: Parts, now: Parts) -> None:
    """Logical ids, types and the properties whose change replaces the resource are the same."""
    for logical_id, resource in before["resources"].items():
        kind, properties = resource["Type"], resource["Properties"]
        current = now["resources"][logical_id]
        assert current["Type"] == kind
        for name in REPLACING.get(kind, []):
            assert current["Properties"].get(name) == properties.get(name), f"{logical_id}.{name}"


def test_an_update_keeps_the_indexes(before: Parts, now: Parts) -> None:
    """CloudFormation cannot change the projection of an index, and adds or deletes one in an update."""

    def indexes(parts: Parts) -> dict[str, Any]:
        declared = parts["resources"]["ApiKeysTable"]["Properties"]["GlobalSecondaryIndexes"]
        return {index["IndexName"]: index for index in declared}

    assert indexes(now).items() >= indexes(before).items()


def test_an_update_asks_for_no_parameter(before: Parts, now: Parts) -> None:
    """Each parameter is still known with its values, and each has a default."""
    for name, values in before["parameters"].items():
        assert set(now["parameters"][name]) >= set(values), name
    declared = Template.load({"AdminEmail": "ada@example.com"}).cloudformation["Parameters"]
    assert [name for name, each in declared.items() if "Default" not in each] == []


def test_an_update_keeps_exports_and_outputs(before: Parts, now: Parts) -> None:
    """Consumers import the exports: CloudFormation would refuse the update."""
    assert now["exports"].items() >= before["exports"].items()
    assert set(now["outputs"]) >= set(before["outputs"])


def test_earlier_layers_keep_their_permissions(before: Parts, now: Parts) -> None:
    """Consumers keep their version of the layer: no reader policy loses an action or an attribute."""
    for policy, actions in before["readers"].items():
        for action, attributes in actions.items():
            assert set(now["readers"][policy][action]) >= set(attributes), policy


def test_fixtures_of_stacks_are_unchanged() -> None:
    """A fixture describes the stack of a released version; a change of it would hide a replacement."""
    assert DEPLOYED.changed() == []
    assert DEPLOYED.paths()[0].name == "1.0.0.json"
