"""Check the parameters of a deployment before the upload.

`sam deploy --guided` accepts an empty value for a parameter without a default; CloudFormation rejects it only after
the upload.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from local.template import Template, TemplateError

SAMCONFIG = Path(__file__).parents[1] / "samconfig.toml"


def check(stage: str, path: Path = SAMCONFIG) -> None:
    """Check the parameters of a stage in the file.

    Raises:
        TemplateError: A parameter is missing, unknown or not allowed, or the file lacks the stage.
    """
    Template.load(parameters(stage, path))


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
        message = f"{path.name} is not valid TOML: {exc}"
        raise TemplateError(message) from exc
    except KeyError as exc:
        message = f"{path.name} has no stage {stage}"
        raise TemplateError(message) from exc
    overrides = given if isinstance(given, list) else [given]
    return {
        name: value
        for text in overrides
        if text
        for name, value in CfnParameterOverridesType().convert(text, None, None).items()
    }
