"""The parts of a released version's stack that an update to a later version must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.template import Template
from tests.support.fixtures import Fixtures
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPLOYED: Final = Fixtures(ROOT / "tests" / "template" / "deployed_stacks")
KEPT_TYPES: Final = {"AWS::ApiGateway::RestApi", "AWS::SSM::Parameter"}
"""Types whose replacement would change an address that clients or consumers know."""


def of_this_template() -> dict[str, Any]:
    """Return the kept parts of template.yaml."""
    return kept_parts(Template.load({"AdminEmail": "ada@example.com"}).cloudformation)


def kept_parts(cloudformation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kept parts of a translated template."""
    resources = {
        logical_id: {"Type": resource["Type"], "Properties": resource["Properties"]}
        for logical_id, resource in cloudformation["Resources"].items()
        if is_kept(resource)
    }
    # The API's document changes with every route.
    resources["Api"]["Properties"] = {}
    return {
        "parameters": {
            name: sorted(map(str, each.get("AllowedValues", []))) for name, each in _parameters(cloudformation)
        },
        "exports": {
            name: output["Export"]["Name"] for name, output in cloudformation["Outputs"].items() if "Export" in output
        },
        "outputs": sorted(cloudformation["Outputs"]),
        "resources": resources,
        "readers": {
            logical_id: readable(resource)
            for logical_id, resource in cloudformation["Resources"].items()
            if resource["Type"] == "AWS::IAM::ManagedPolicy"
        },
    }


def is_kept(resource: Mapping[str, Any]) -> bool:
    """Return True for a resource that an update must not replace."""
    kind = resource["Type"]
    is_retained = resource.get("DeletionPolicy", "").startswith("Retain") and kind != "AWS::Lambda::LayerVersion"
    return is_retained or kind in KEPT_TYPES


def readable(policy: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the attributes that each action of a reader policy covers."""
    return {
        statement["Action"]: sorted(
            statement.get("Condition", {}).get("ForAllValues:StringEquals", {}).get("dynamodb:Attributes", [])
        )
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    }


def _parameters(cloudformation: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return list(cloudformation["Parameters"].items())
