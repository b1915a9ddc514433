"""What outlives the stack, as a template of its own, which CloudFormation imports into a new stack."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


_RETAINED = ("Retain", "RetainExceptOnCreate")


def retained_resources_template(cloudformation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template of the resources that are retained, with the conditions and parameters that they need.

    Those of its resources that it could make again, such as the key's alias, are left out; so are outputs, and
    transforms, which an import may not have. All have the DeletionPolicy Retain: RetainExceptOnCreate could take an
    imported key along when the import is rolled back.
    """
    resources = {
        name: {**resource, "DeletionPolicy": "Retain"}
        for name, resource in cloudformation["Resources"].items()
        if resource.get("DeletionPolicy") in _RETAINED and resource["Type"] != "AWS::Lambda::LayerVersion"
    }
    conditions = _named(cloudformation.get("Conditions", {}), re.findall(r'"Fn::If": \["(\w+)"', json.dumps(resources)))
    used = re.findall(r'"Ref": "(\w+)"', json.dumps([resources, conditions]))
    return {
        "AWSTemplateFormatVersion": cloudformation["AWSTemplateFormatVersion"],
        "Parameters": _named(cloudformation.get("Parameters", {}), used),
        "Conditions": conditions,
        "Resources": resources,
    }


def _named(declared: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: declared[name] for name in names if name in declared}
