"""Lambda authorizer of the admin API: allow requests with an administrator's token, deny all others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from authorizer import cold_start  # noqa: F401 - before all other imports of PyJWT
from authorizer.config import Configuration
from authorizer.errors import ConfigurationError, KeyUnavailableError, TokenRefusedError, UnauthorizedError
from authorizer.principal_name import principal_name
from authorizer.telemetry import Telemetry
from authorizer.token_verifier import TokenVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from authorizer.token_verifier import KeySource


def _key_source(configuration: Configuration) -> KeySource:
    if configuration.jwks_url is not None:
        from authorizer.jwks import JwksKeys

        return JwksKeys(configuration.jwks_url)
    from authorizer.shared_secret import SharedSecret

    assert configuration.secret_parameter is not None  # noqa: S101 - for the type checker: one of the two is set
    secret = SharedSecret(configuration.secret_parameter)
    try:
        secret.prefetch()
    except ConfigurationError as error:
        # Log it too: an operator can break the parameter after the deployment, when only the log reports it.
        telemetry.verifier_unavailable(error)
        raise
    return secret


configuration = Configuration.from_environment(os.environ)
telemetry = Telemetry(configuration.stack, namespace=configuration.metrics_namespace)
verifier = TokenVerifier(
    issuer=configuration.issuer,
    audience=configuration.audience,
    audience_claim=configuration.audience_claim,
    required_type=configuration.required_type,
    keys=_key_source(configuration),
)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Return the policy for a TOKEN authorizer event: allow or deny its stage.

    Raises:
        UnauthorizedError: The token is not valid; the client gets 401.
        KeyUnavailableError: The key to verify the token is unavailable; the client gets 503.
    """
    try:
        claims = verifier.verify(event.get("authorizationToken"))
    except TokenRefusedError as refusal:
        telemetry.token_rejected(refusal)
        raise UnauthorizedError from None
    except KeyUnavailableError as error:
        telemetry.verifier_unavailable(error)
        raise
    mismatch = configuration.admin_rule.mismatch(claims)
    if mismatch is None:
        return _policy("Allow", claims, event["methodArn"])
    telemetry.access_denied(claims["sub"], claim=configuration.admin_rule.claim, hint=mismatch.value)
    return _policy("Deny", claims, event["methodArn"])


def _policy(effect: str, claims: Mapping[str, Any], method_arn: str) -> dict[str, Any]:
    # Cover the whole stage: the client chooses the path, which can contain policy variables and wildcards.
    # API Gateway does not cache the policy, so it applies to this request only.
    api, stage, *_ = method_arn.split("/")
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": f"{api}/{stage}/*"}
    context = {"sub": claims["sub"], "name": principal_name(claims, configuration.name_claims)}
    return {
        "principalId": claims["sub"],
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        # API Gateway accepts no null.
        "context": {name: value for name, value in context.items() if value},
    }
