"""Lambda authorizer of the admin API: allow requests with an administrator's token, deny all others."""

from __future__ import annotations

import os
from typing import Any

from authorizer import cold_start  # noqa: F401 - before all other imports of PyJWT
from authorizer.config import Configuration
from authorizer.errors import KeyUnavailableError, TokenRefusedError, UnauthorizedError
from authorizer.key_source import key_source
from authorizer.policy import policy
from authorizer.principal_name import principal_name
from authorizer.telemetry import Telemetry
from authorizer.token_verifier import TokenVerifier

configuration = Configuration.from_environment(os.environ)
telemetry = Telemetry(configuration.stack, namespace=configuration.metrics_namespace)
verifier = TokenVerifier(
    issuer=configuration.issuer,
    audience=configuration.audience,
    audience_claim=configuration.audience_claim,
    required_type=configuration.required_type,
    keys=key_source(configuration, telemetry),
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
    name = principal_name(claims, configuration.name_claims)
    mismatch = configuration.admin_rule.mismatch(claims)
    if mismatch is None:
        return policy("Allow", claims["sub"], event["methodArn"], name=name)
    telemetry.access_denied(claims["sub"], claim=configuration.admin_rule.claim, hint=mismatch.value)
    return policy("Deny", claims["sub"], event["methodArn"], name=name)
