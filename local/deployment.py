"""Check the parameters of a deployment before the upload, and generate the template that imports retained resources.

`sam deploy --guided` accepts an empty value for a parameter without a default; CloudFormation rejects it only after
the upload.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from local.template import Template, TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SAMCONFIG = Path(__file__).parents[1] / "samconfig.toml"
MAX_STACK_NAME_LENGTH: Final = 53
"""The authorizer is named `<stack>-authorizer`, and a function's name has at most 64 characters:
https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
"""
PARAMETERS: Final = "PARAMETERS"
"""Variable of `make deploy`, and environment variable, with parameters that samconfig.toml does not have."""
_CHECKED_HERE: Final = {
    "--parameter-overrides": f"It would replace the stage's parameters; give {PARAMETERS} instead.",
    "--config-env": "Give STAGE instead.",
}
_LEFT_OUT: Final = ("Condition", "DependsOn")


def check(stage: str, path: Path = SAMCONFIG, given: str = "", *, stack_name: str = "") -> None:
    """Check the parameters of a stage.

    Args:
        stage: The stage, such as ``prod``.
        path: The file with the stages.
        given: More parameters, as for `parameters`.
        stack_name: The name of the stack, if it is not the one in the file.

    Raises:
        TemplateError: A parameter is missing, unknown or not allowed, the stack's name is too long, or the file lacks
            the stage.
    """
    try:
        Template.load(parameters(stage, path, given))
    except TemplateError as exc:
        place = f"parameter_overrides under [{stage}.deploy.parameters] in {path.name}"
        raise TemplateError(f"{exc}. Give {PARAMETERS}='Name=value ...', or correct {place}.") from exc
    settings = _settings(path)[stage]
    name = (
        stack_name
        or settings["deploy"]["parameters"].get("stack_name")
        or settings.get("global", {}).get("parameters", {}).get("stack_name", "")
    )
    if len(name) > MAX_STACK_NAME_LENGTH:
        message = f"The stack name {name} has {len(name)} characters. Give stage {stage} a stack_name of at most "
        raise TemplateError(f"{message}{MAX_STACK_NAME_LENGTH} in {path.name}: its authorizer's name is longer.")


def parameters(stage: str, path: Path = SAMCONFIG, given: str = "") -> dict[str, str]:
    """Return the parameters of a deployment: those of a stage in the file, replaced and completed by the given ones.

    Args:
        stage: The stage, such as ``prod``.
        path: The file with the stages, whose parameters are parsed as `sam deploy` parses them.
        given: Words ``Name=value``, separated by white space and quoted as in a shell.

    Raises:
        TemplateError: The file is unreadable or lacks the stage, or a given word is not ``Name=value``.
    """
    try:
        of_stage = _settings(path)[stage]["deploy"]["parameters"].get("parameter_overrides", "")
    except KeyError as exc:
        raise TemplateError(f"{path.name} has no stage {stage}") from exc
    parsed: dict[str, str] = {}
    for text in filter(None, of_stage if isinstance(of_stage, list) else [of_stage]):
        parsed |= _parsed_by_sam(text)
    return parsed | _words(given)


def sam_command(
    stage: str, options: Sequence[str] = (), given: str = "", *, may_ask: bool = True, path: Path = SAMCONFIG
) -> list[str]:
    """Return the checked command line of `sam` that deploys a stage, without the program itself.

    Args:
        stage: The stage, such as ``prod``.
        options: Further options of `sam deploy`.
        given: More parameters, as for `parameters`. SAM itself would replace those of the stage with them.
        may_ask: False in a pipeline, where nothing can answer; the change set is then executed without a question.
        path: The file with the stages, unless the options name one.

    Raises:
        TemplateError: A check fails (see `check`), or an option would hide a parameter from it.
    """
    for option in _CHECKED_HERE:
        if any(each == option or each.startswith(f"{option}=") for each in options):
            raise TemplateError(f"DEPLOY_OPTIONS must not have {option}. {_CHECKED_HERE[option]}")
    path = Path(_option(options, "--config-file") or path)
    check(stage, path, given, stack_name=_option(options, "--stack-name"))
    unanswered = [] if may_ask or "--confirm-changeset" in options else ["--no-confirm-changeset"]
    overrides = [_for_sam(name, value) for name, value in parameters(stage, path, given).items()]
    # SAM looks for the file beside a template that the options name, and ignores the stage if there is none.
    stage_options = ["--config-env", stage, "--config-file", str(path.resolve())]
    # The parameters are last: SAM takes every word up to the next option as one.
    return ["deploy", *options, *stage_options, *unanswered, "--parameter-overrides", *overrides]


def architecture(stage: str, path: Path = SAMCONFIG, given: str = "") -> str:
    """Return the architecture of the functions that a deployment with these parameters creates."""
    return Template.load(parameters(stage, path, given)).parameters["Architecture"]


def _words(given: str) -> dict[str, str]:
    try:
        words = shlex.split(given)
    except ValueError as exc:
        message = f"{PARAMETERS} is malformed ({exc}). Quote values as in a shell, such as 'Name=value with spaces'"
        raise TemplateError(message) from exc
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not re.fullmatch("[A-Za-z0-9]+", name):
            shown = name if equals else word
            raise TemplateError(
                f"{PARAMETERS} has the word {shown!r}, which is not Name=value. Write no white space around =, and "
                "quote a value that has spaces or quotes, such as AdminClaimRule='groups=\"CN=Key Admins\"'"
            )
        if name in found:
            raise TemplateError(f"{PARAMETERS} gives {name} twice. Remove one of them")
        found[name] = value
    return found


def _for_sam(name: str, value: str) -> str:
    """Return a parameter in SAM's notation, which has no escape for some sequences of backslashes and quotes."""
    for quote in ('"', "'"):
        # SAM unescapes a space and both quotes, and keeps every other backslash.
        escaped = re.sub(rf"\\(?=[ '\"])|{quote}", r"\\\g<0>", value)
        written = f"{name}={quote}{escaped}{quote}"
        with suppress(TemplateError):
            if _parsed_by_sam(written) == {name: value}:
                return written
    raise TemplateError(
        f"SAM cannot pass the value of {name}. Give it without a backslash before a quote and at the end"
    )


def _parsed_by_sam(text: str) -> dict[str, str]:
    from click import BadParameter
    from samcli.cli.types import CfnParameterOverridesType  # type: ignore[import-untyped]

    try:
        parsed: dict[str, str] = CfnParameterOverridesType().convert(text, None, None)
    except BadParameter as exc:
        raise TemplateError('SAM cannot parse the parameters. Write them as Name="value", separated by spaces') from exc
    return parsed


def _option(options: Sequence[str], name: str) -> str:
    """Return the value of an option of a command line; empty if it is absent."""
    for index, option in enumerate(options):
        if option == name and index + 1 < len(options):
            return options[index + 1]
        if option.startswith(f"{name}="):
            return option.partition("=")[2]
    return ""


def _settings(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise TemplateError(f"{path.name} cannot be read ({exc.strerror})") from exc
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
