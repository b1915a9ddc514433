"""The authorizer's result for API Gateway: a policy for the whole stage, and the principal."""

from __future__ import annotations

from typing import Any


def policy(effect: str, subject: str, method_arn: str, *, name: str | None) -> dict[str, Any]:
    """Return the result that allows or denies the stage of a method.

    Args:
        effect: ``Allow`` or ``Deny``.
        subject: The ``sub`` of the token.
        method_arn: The ARN of the requested method.
        name: The principal's readable name, if the token has one.
    """
    # Cover the whole stage: the client chooses the path, which can contain policy variables and wildcards.
    # API Gateway does not cache the policy, so it applies to this request only.
    api, stage, *_ = method_arn.split("/")
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": f"{api}/{stage}/*"}
    # API Gateway accepts no null.
    context = {"sub": subject} | ({"name": name} if name else {})
    return {
        "principalId": subject,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": context,
    }
