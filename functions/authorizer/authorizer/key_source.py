"""Selection of the source of the keys that verify tokens: the issuer's JWKS, or a shared secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authorizer.errors import ConfigurationError

if TYPE_CHECKING:
    from authorizer.config import Configuration
    from authorizer.telemetry import Telemetry
    from authorizer.token_verifier import KeySource


def key_source(configuration: Configuration, telemetry: Telemetry) -> KeySource:
    """Return the configured source. Imports only that one, because each import slows down the cold start.

    Raises:
        ConfigurationError: The shared secret is missing or invalid; also logged.
    """
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
