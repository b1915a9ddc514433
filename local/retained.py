"""Generate the template that imports the retained resources into a new stack."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


_RETAINED = ("Retain", "RetainExceptOnCreate")


def retained_resources_template(cloudformation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template of the retained resources with their conditions and parameters.

    Omits resources that a deployment can recreate, such as the key's alias, and outputs and transforms, which imports
    do not allow. Every DeletionPolicy is Retain: with RetainExceptOnCreate, the rollback of an import could delete the
    key.
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
