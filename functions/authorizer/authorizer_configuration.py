"""The authorizer's environment, validated once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from admin_rule import AdminRule
from authorizer_errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class Configuration:
    """What the deployer decides.

    Attributes:
        issuer: the exact ``iss`` of accepted tokens (``JWT_ISSUER``).
        audience: what accepted tokens are meant for (``JWT_AUDIENCE``).
        jwks_url: where the issuer publishes its keys (``JWKS_URL``).
        admin_rule: who is an administrator (``ADMIN_CLAIM_RULE``).
    """

    issuer: str
    audience: str
    jwks_url: str
    admin_rule: AdminRule

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Configuration:
        """Validate the four variables; there is no default for any of them.

        Raises:
            ConfigurationError: one is missing or wrong.
        """
        return cls(
            issuer=_word(environment, "JWT_ISSUER", "the iss claim exactly as it stands in the tokens"),
            audience=_word(environment, "JWT_AUDIENCE", "the aud (or client_id) exactly as it stands in the tokens"),
            jwks_url=_key_set_url(_word(environment, "JWKS_URL", "the URL of the issuer's key set")),
            admin_rule=AdminRule.parse(environment.get("ADMIN_CLAIM_RULE", "")),
        )


def _word(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if value.split() != [value]:
        message = f"{name} must be {meaning}, without white space; it is missing, empty or has some"
        raise ConfigurationError(message)
    return value


def _key_set_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises where it is not a port
    except ValueError:
        raise ConfigurationError("JWKS_URL is not a URL: expected https://host/path") from None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK_HOSTS)):
        raise ConfigurationError(
            "JWKS_URL must begin with https:// (http:// is for 127.0.0.1, localhost and [::1] only)"
        )
    if "@" in parts.netloc:
        raise ConfigurationError("JWKS_URL must not hold credentials: a key set is public, and URLs end up in logs")
    return url
