"""Check the parameters of a deployment before the upload, and generate the template that imports retained resources.

`sam deploy --guided` accepts an empty value for a parameter without a default; CloudFormation rejects it only after
the upload.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.template import Template, TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping

SAMCONFIG = Path(__file__).parents[1] / "samconfig.toml"
MAX_STACK_NAME_LENGTH: Final = 53
"""The authorizer is named `<stack>-authorizer`, and a function's name has at most 64 characters:
https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""
_LEFT_OUT: Final = ("Condition", "DependsOn")


def check(stage: str, path: Path = SAMCONFIG) -> None:
    """Check the parameters of a stage in the file.

    Raises:
        TemplateError: A parameter is missing, unknown or not allowed, the stack's name is too long, or the file lacks
            the stage.
    """
    try:
        Template.load(parameters(stage, path))
    except TemplateError as exc:
        message = f"{exc}. Correct parameter_overrides under [{stage}.deploy.parameters] in samconfig.toml."
        raise TemplateError(message) from exc
    settings = _settings(path)[stage]
    name = settings["deploy"]["parameters"].get("stack_name") or settings.get("global", {}).get("parameters", {}).get(
        "stack_name", ""
    )
    if len(name) > MAX_STACK_NAME_LENGTH:
        message = f"The stack name {name} has {len(name)} characters. Give stage {stage} a stack_name of at most "
        raise TemplateError(f"{message}{MAX_STACK_NAME_LENGTH} in {path.name}: its authorizer's name is longer.")


def parameters(stage: str, path: Path = SAMCONFIG) -> dict[str, str]:
    """Return the parameters of a stage in the file, parsed as `sam deploy` parses them.

    Raises:
        TemplateError: The file is unreadable or lacks the stage.
    """
    from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

    try:
        given = _settings(path)[stage]["deploy"]["parameters"].get("parameter_overrides", "")
    except KeyError as exc:
        raise TemplateError(f"{path.name} has no stage {stage}") from exc
    parsed: dict[str, str] = {}
    for text in filter(None, given if isinstance(given, list) else [given]):
        parsed |= CfnParameterOverridesType().convert(text, None, None)
    return parsed


def _settings(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as exc:
        raise TemplateError(f"{path.name} is not valid TOML: {exc}") from exc


def retained_resources_template(cloudformation: Mapping[str, Any], *, user_pool: bool = False) -> dict[str, Any]:
    """Return the template of the retained resources with their conditions and parameters.

    Omits resources that a deployment can recreate, such as the key's alias, and outputs and transforms, which imports
    do not allow. Every DeletionPolicy is Retain: with RetainExceptOnCreate, the rollback of an import could delete the
    key.

    Args:
        cloudformation: The translated template.
        user_pool: True to include the user pool, its domain and group, and the first administrator. They are part of
            the import then, so they have no condition.
    """

    def named(section: str, names: list[str]) -> dict[str, Any]:
        declared = cloudformation.get(section, {})
        return {name: declared[name] for name in names if name in declared}

    def is_retained(resource: Mapping[str, Any]) -> bool:
        kind = resource["Type"]
        return (
            resource.get("DeletionPolicy", "").startswith("Retain")
            and kind != "AWS::Lambda::LayerVersion"
            and (user_pool or not kind.startswith("AWS::Cognito::"))
        )

    # A resource that this one only has to wait for, such as the sign-in client, is not part of the import.
    resources = {
        name: {**{key: value for key, value in resource.items() if key not in _LEFT_OUT}, "DeletionPolicy": "Retain"}
        for name, resource in cloudformation["Resources"].items()
        if is_retained(resource)
    }
    conditions = named("Conditions", re.findall(r'"Fn::If": \["(\w+)"', json.dumps(resources)))
    return {
        "AWSTemplateFormatVersion": cloudformation["AWSTemplateFormatVersion"],
        "Parameters": named("Parameters", re.findall(r'"Ref": "(\w+)"', json.dumps([resources, conditions]))),
        "Conditions": conditions,
        "Resources": resources,
    }
