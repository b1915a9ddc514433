"""Templates of docs/consumers.md, as CloudFormation and as `sam local` read them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from local.template import Template
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "consumers.md").read_text()
LAYER = "{{resolve:ssm:/service-keys/layer-arn}}"
HEADER = 'AWSTemplateFormatVersion: "2010-09-09"\nTransform: AWS::Serverless-2016-10-31\n'
EXPORTS = {
    "service-keys-ReadSpotifyKeysPolicyArn": "arn:policy",
    "service-keys-TableName": "table",
}


def documented(first_line: str) -> str:
    """Return the YAML block that begins with this line."""
    (block,) = (block for block in PAGE.split("```yaml\n")[1:] if block.startswith(first_line))
    return block.partition("```")[0]


def write(folder: Path, text: str) -> Path:
    path = folder / "template.yaml"
    path.write_text(HEADER + text)
    return path


def test_the_documented_function_is_attached(tmp_path: Path) -> None:
    """Translate the first example: the layer, the policy and the table come from the stack."""
    text = documented("MyFunction:").replace(
        "    Runtime:", "    Handler: app.handler\n    CodeUri: function\n    Runtime:"
    )
    path = write(tmp_path, "Resources:\n" + textwrap.indent(text, "  "))

    template = Template.load({}, EXPORTS, path=path)

    function = template.functions()["MyFunction"]
    assert function.layers == (tmp_path / LAYER,)
    assert function.environment == {"SERVICE_KEYS_TABLE": "table"}
    assert function.timeout >= 10
    assert template.property("MyFunctionRole", "ManagedPolicyArns")[-1] == "arn:policy"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* is deprecated:DeprecationWarning")  # samcli's call of samtranslator
def test_the_documented_parameter_leaves_the_layer_out(tmp_path: Path) -> None:
    """`sam local` finds no layer with the parameter; a deployment has it."""
    from samcli.lib.providers.sam_function_provider import SamFunctionProvider  # type: ignore[import-untyped]
    from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider  # type: ignore[import-untyped]

    path = write(tmp_path, documented("Parameters:"))
    (tmp_path / "function").mkdir()

    deployed = Template.load({}, EXPORTS, path=path).functions()["MyFunction"]
    overrides = {"OnThisMachine": "true", "AWS::Region": "eu-west-1"}
    stacks, _ = SamLocalStackProvider.get_stacks(str(path), parameter_overrides=overrides)
    (local,) = SamFunctionProvider(stacks).get_all()

    assert deployed.layers == (tmp_path / LAYER,)
    assert local.layers == []
