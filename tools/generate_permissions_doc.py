"""Generate docs/permissions.md: ``python -m tools.generate_permissions_doc``, or ``make docs``."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

from local.template import Template
from tests.support.iam import Policies
from tests.template.conftest import DEPLOYMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.iam import Grant

_NAMES: Final = {"ApiKeysTable.Arn": "table", "EncryptionKey.Arn": "key"}
_OWN_KEY: Final = "arn:aws:kms:eu-west-1:123456789012:key/own"
_RESOURCES: Final = {
    "arn:aws:ssm:eu-west-1:123456789012:parameter/NAME": "the parameter",
    _OWN_KEY: "the parameter's KMS key",
    "table": "the table",
    "table/index/all-by-created": "its index `all-by-created`",
    "key": "the KMS key",
}
_OPERATORS: Final = {
    "StringEquals": "is",
    "StringEqualsIfExists": "is, if the request has one,",
    "StringLike": "is like",
    "ForAllValues:StringEquals": "are all among",
    "ForAllValues:StringNotLike": "are none like",
}
_HEAD: Final = """\
<!-- Made by `make docs` from template.yaml. Change that, then make it again. -->
# Permissions

The grants of each function's role and of each policy for readers. All are `Allow`. Beside that, each role lets Lambda
write to the function's own log group (`logs:CreateLogStream`, `logs:PutLogEvents`) and, with `Tracing`, send traces
(not WebConsole's). A transaction needs the action of each of its elements.

Every statement about the table also requires, by `Null`, that the request has `dynamodb:LeadingKeys` and
`dynamodb:Attributes`: without that, IAM's `ForAllValues` allows a request in which they are missing.

`dynamodb:Attributes` covers the attributes that a request reads, writes or evaluates in a condition. **IAM does not
distinguish them: a role that may evaluate an attribute may write it.** So VerifyApiKey may write `keyUpdatedAt`, which
the condition of its write evaluates, and UpdateApiKey `version`. `dynamodb:PutItem` replaces a whole item and
`dynamodb:DeleteItem` removes one, with all its attributes. No policy can require a condition, so the rules that the
code keeps by conditions (a name belongs to one key, a version grows) hold only for our code.

UpdateApiKey, RollbackApiKey, DeleteApiKey and RestoreApiKey move ciphertexts inside an item and cannot read them.
**IAM cannot deny a copy**: other code in such a role could copy a ciphertext to an attribute that it may both write and
read. None of these roles can decrypt it (`test_a_copied_ciphertext_stays_encrypted`). History entries are written by
PutItem only; a role that writes them could replace an entry, so the audit lines in the logs remain the evidence.

The functional tests enforce these policies: the stand-in for AWS refuses every call that its caller's policy does not
allow ([tests/support/iam.py](../tests/support/iam.py) evaluates them), so no grant is missing.
[test_least_privilege.py](../tests/functional/test_least_privilege.py) shows that none is spare: it takes every path
that calls AWS, and compares actions, resources, partitions and attributes. It tries, with each role, to write every
attribute in every partition; the attributes that a role can write are those that it writes or that its conditions
evaluate (`test_a_role_can_write_the_attributes_it_writes_and_no_other`). It also tries every call that could return a
ciphertext (`test_who_can_read_an_attribute_by_any_call`). IAM itself takes no part in these tests: they follow its
documentation. It does not say whether `dynamodb:ReturnValues` covers `ReturnValuesOnConditionCheckFailure`: the tests
judge both alike, and only idempotency records, which hold no secret, are returned in this way.
"""


def document() -> str:
    """Return the Markdown text."""
    template = Template.load(DEPLOYMENT, _NAMES)
    policies = Policies.of(template)
    parts = [_HEAD]
    secret = {"JwksUrl": "", "JwtSecretParameter": "/NAME", "JwtSecretKmsKeyArn": _OWN_KEY}
    shared = Policies.of(Template.load(DEPLOYMENT | secret, _NAMES))
    for name, _ in sorted(template.resources("AWS::Lambda::Function")):
        parts += _section(name, template.property(name, "Description"), policies.of_principal(name))
        if name == "Authorizer":
            words = "With `JwtSecretParameter`; `kms:Decrypt` with `JwtSecretKmsKeyArn` alone, and SSM makes that call"
            parts += _section(f"{name}, by a shared secret", words, shared.of_principal(name), level=3)
    parts.append("## For readers\n\nManaged policies, which other functions attach.\n")
    for name, _ in template.resources("AWS::IAM::ManagedPolicy"):
        parts += _section(name, template.property(name, "Description"), policies.of_principal(name), level=3)
    return "\n".join(parts)


def _section(name: str, description: str, grants: list[Grant], *, level: int = 2) -> Iterator[str]:
    yield f"{'#' * level} {name}\n\n{description}.\n"
    if not grants:
        yield "Nothing.\n"
        return
    yield "| for | action | on | if |\n| --- | --- | --- | --- |"
    for sid, statement in groupby(grants, key=lambda grant: grant.sid):
        several = list(statement)
        actions = ", ".join(f"`{grant.action}`" for grant in several)
        resources = ", ".join(_RESOURCES[resource] for resource in several[0].resources)
        yield f"| {sid} | {actions} | {resources} | {_conditions(several[0])} |"
    yield ""


def _conditions(grant: Grant) -> str:
    conditions = []
    for operator, key, values in grant.conditions:
        if operator == "Null":  # all statements about the table share it; the head of the page states it
            continue
        several = " one of" if operator == "StringEquals" and len(values) > 1 else ""
        listed = ", ".join(f"`{value}`" for value in values)
        conditions.append(f"`{key}` {_OPERATORS[operator]}{several} {listed}")
    return "<br>".join(conditions)


if __name__ == "__main__":
    sys.stdout.write(document())
