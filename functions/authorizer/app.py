"""Decides, for API Gateway, whether a request's token is an administrator's."""

from __future__ import annotations

import logging
import os
from typing import Any

from authorizer_configuration import Configuration
from authorizer_errors import KeySetUnavailableError, TokenRefusedError, UnauthorizedError
from issuer_keys import IssuerKeys
from token_verifier import TokenVerifier

logger = logging.getLogger("authorizer")

configuration = Configuration.from_environment(os.environ)
verifier = TokenVerifier(
    issuer=configuration.issuer, audience=configuration.audience, keys=IssuerKeys(configuration.jwks_url)
)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer a TOKEN authorizer's event with a policy for the stage that it asks about.

    Raises:
        UnauthorizedError: no valid token; the client gets 401.
        KeySetUnavailableError: the token could not be checked; the client gets 503.
    """
    try:
        claims = verifier.verify(event.get("authorizationToken"))
    except TokenRefusedError as refusal:
        logger.info("Token refused", extra={"reason": refusal.reason})
        raise UnauthorizedError from None
    except KeySetUnavailableError:
        logger.exception(
            "The issuer's keys could not be fetched, so no token can be checked. See that JWKS_URL is right, that it "
            "answers, and that this function can reach it.",
            extra={"reason": "key_set_unavailable"},
        )
        raise
    if configuration.admin_rule.admits(claims):
        return _policy("Allow", claims["sub"], event["methodArn"])
    logger.info("Token refused", extra={"reason": "not_administrator", "sub": claims["sub"]})
    return _policy("Deny", claims["sub"], event["methodArn"])


def _policy(effect: str, subject: str, method_arn: str) -> dict[str, Any]:
    # For the whole stage: the path is the client's, and could hold what a policy takes for a variable or a wildcard.
    # It is asked for again with every request, so it decides this one alone.
    api, stage, *_ = method_arn.split("/")
    statement = {"Effect": effect, "Action": "execute-api:Invoke", "Resource": f"{api}/{stage}/*"}
    return {
        "principalId": subject,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"sub": subject},
    }
