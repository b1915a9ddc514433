"""Generate the parts of template.yaml with the version and the known services: ``make template``.

Each part stands between a line ``# >>> <part>: ...`` and a line ``# <<<``; everything else stays as it is.
`Fn::ForEach` cannot replace this, because SAM's translator does not expand it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service_keys import __version__
from service_keys.admin.services import SERVICES, VERIFIABLE_SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATE: Final = Path(__file__).parent.parent / "template.yaml"
_PART: Final = re.compile(r"^(?P<indent> *)# >>> (?P<name>[^:\n]+):.*\n(?P<body>(?:.*\n)*?) *# <<<$", re.MULTILINE)


def reader_policy(service: str) -> str:
    """Return the logical id of the managed policy for the readers of a service; ``all`` for every service."""
    return f"Read{''.join(word.title() for word in service.split('-'))}Keys"


def _version() -> str:
    return f'ServiceKeys: {{Release: {{Version: "{__version__}"}}}}\n'


def _verifiable() -> str:
    return f'"dynamodb:LeadingKeys": &verifiable {json.dumps([*VERIFIABLE_SERVICES])}\n'


def _policies() -> str:
    return "\n".join(
        f"""\
{reader_policy(service)}:
  Type: AWS::IAM::ManagedPolicy
  Properties:
    Description: Read the keys of {service}, and note that they were used
    PolicyDocument:
      Version: "2012-10-17"
      Statement:
        - Sid: QueryKeys
          Effect: Allow
          Action: dynamodb:Query
          Resource: !GetAtt ApiKeysTable.Arn
          Condition:
            StringEquals: {{"dynamodb:Select": SPECIFIC_ATTRIBUTES}}
            ForAllValues:StringEquals: {{"dynamodb:LeadingKeys": ["{service}"], "dynamodb:Attributes": *readable}}
            "Null": *both-are-there
        - Sid: UpdateLastUsed
          Effect: Allow
          Action: dynamodb:UpdateItem
          Resource: !GetAtt ApiKeysTable.Arn
          Condition:
            ForAllValues:StringEquals: {{"dynamodb:LeadingKeys": ["{service}"], "dynamodb:Attributes": *stamped}}
            StringEqualsIfExists: {{"dynamodb:ReturnValues": NONE}}
            "Null": *both-are-there
        - Sid: Decrypt
          Effect: Allow
          Action: kms:Decrypt
          Resource: !GetAtt EncryptionKey.Arn
          Condition:
            StringEquals: {{"kms:EncryptionContext:service": "{service}"}}
"""
        for service in SERVICES
    )


def _outputs() -> str:
    return "".join(
        f"""\
{policy}PolicyArn:
  Description: Managed policy that lets a function read the keys of {service}
  Value: !Ref {policy}
  Export: {{Name: !Sub "${{AWS::StackName}}-{policy}PolicyArn"}}
"""
        for service in SERVICES
        for policy in [reader_policy(service)]
    )


_PARTS: Final[dict[str, Callable[[], str]]] = {
    "version": _version,
    "verifiable services": _verifiable,
    "reader policies": _policies,
    "outputs of the reader policies": _outputs,
}


def generate(text: str) -> str:
    """Return the template with its generated parts replaced.

    Raises:
        ValueError: A part is missing, unknown or there twice.
    """
    found = [part["name"] for part in _PART.finditer(text)]
    if sorted(found) != sorted(_PARTS):
        raise ValueError(f"template.yaml has the generated parts {found}; it must have {list(_PARTS)}, each once.")

    def replace(part: re.Match[str]) -> str:
        lines = _PARTS[part["name"]]().splitlines(keepends=True)
        indented = "".join(part["indent"] + line if line.strip() else line for line in lines)
        start, end = part.start("body") - part.start(), part.end("body") - part.start()
        return part[0][:start] + indented + part[0][end:]

    return _PART.sub(replace, text)


if __name__ == "__main__":
    sys.stdout.write(generate(TEMPLATE.read_text()))
