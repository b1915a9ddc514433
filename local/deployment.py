"""Check the parameters of a deployment before the upload, and generate the template that imports retained resources.

`sam deploy --guided` accepts an empty value for a parameter without a default; CloudFormation rejects it only after
the upload.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local.template import Template, TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMCONFIG = Path(__file__).parents[1] / "samconfig.toml"


def check(stage: str, path: Path = SAMCONFIG) -> None:
    """Check the parameters of a stage in the file.

    Raises:
        TemplateError: A parameter is missing, unknown or not allowed, or the file lacks the stage.
    """
    try:
        Template.load(parameters(stage, path))
    except TemplateError as exc:
        message = f"{exc}. Correct parameter_overrides under [{stage}.deploy.parameters] in samconfig.toml."
        raise TemplateError(message) from exc


def parameters(stage: str, path: Path = SAMCONFIG) -> dict[str, str]:
    """Return the parameters of a stage in the file, parsed as `sam deploy` parses them.

    Raises:
        TemplateError: The file is unreadable or lacks the stage.
    """
    from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
        given = settings[stage]["deploy"]["parameters"].get("parameter_overrides", "")
    except tomllib.TOMLDecodeError as exc:
        raise TemplateError(f"{path.name} is not valid TOML: {exc}") from exc
    except KeyError as exc:
        raise TemplateError(f"{path.name} has no stage {stage}") from exc
    parsed: dict[str, str] = {}
    for text in filter(None, given if isinstance(given, list) else [given]):
        parsed |= CfnParameterOverridesType().convert(text, None, None)
    return parsed


def retained_resources_template(cloudformation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the template of the retained resources with their conditions and parameters.

    Omits resources that a deployment can recreate, such as the key's alias, and outputs and transforms, which imports
    do not allow. Every DeletionPolicy is Retain: with RetainExceptOnCreate, the rollback of an import could delete the
    key.
    """

    def named(section: str, names: list[str]) -> dict[str, Any]:
        declared = cloudformation.get(section, {})
        return {name: declared[name] for name in names if name in declared}

    resources = {
        name: {**resource, "DeletionPolicy": "Retain"}
        for name, resource in cloudformation["Resources"].items()
        if resource.get("DeletionPolicy", "").startswith("Retain") and resource["Type"] != "AWS::Lambda::LayerVersion"
    }
    conditions = named("Conditions", re.findall(r'"Fn::If": \["(\w+)"', json.dumps(resources)))
    return {
        "AWSTemplateFormatVersion": cloudformation["AWSTemplateFormatVersion"],
        "Parameters": named("Parameters", re.findall(r'"Ref": "(\w+)"', json.dumps([resources, conditions]))),
        "Conditions": conditions,
        "Resources": resources,
    }
