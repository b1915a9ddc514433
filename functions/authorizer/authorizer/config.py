"""The authorizer's environment, validated once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from authorizer.admin_rule import AdminRule, claim_path
from authorizer.errors import ConfigurationError
from authorizer.token_type import RequiredType

if TYPE_CHECKING:
    from collections.abc import Mapping

_AUDIENCE_CLAIMS = ("aud", "azp")
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_NAME_CLAIM = r"[A-Za-z0-9_:./~-]+"
NAME_CLAIMS_PATTERN = rf"({_NAME_CLAIM}(,{_NAME_CLAIM})*)?"
"""The template's AllowedPattern for NameClaims is this text between ``^`` and ``$``."""
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html
# Without version and label, which would pin the secret and prevent its rotation.
_PARAMETER_NAME = r"/?[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*"


class Configuration(NamedTuple):
    """The authorizer's settings. Exactly one of ``jwks_url`` and ``secret_parameter`` is set.

    Attributes:
        issuer: The exact ``iss`` of accepted tokens (``JWT_ISSUER``).
        audience: The audience of accepted tokens (``JWT_AUDIENCE``).
        audience_claim: The claim with the audience, ``aud`` or ``azp`` (``JWT_AUDIENCE_CLAIM``).
        required_type: The type that a token must state, or None (``REQUIRED_TOKEN_TYPE``).
        jwks_url: The URL of the issuer's JWKS (``JWKS_URL``), or None.
        secret_parameter: The SSM parameter with the secret shared with the issuer (``JWT_SECRET_PARAMETER``), or None.
        admin_rule: The rule that a token must match (``ADMIN_CLAIM_RULE``).
        name_claims: The paths of the claims with an administrator's readable name, in order of preference
            (``NAME_CLAIMS``).
        stack: The stack's name, a dimension of every metric (``POWERTOOLS_SERVICE_NAME``).
        metrics_namespace: The namespace of the metrics (``POWERTOOLS_METRICS_NAMESPACE``); empty disables them.
    """

    issuer: str
    audience: str
    audience_claim: str
    required_type: RequiredType | None
    jwks_url: str | None
    secret_parameter: str | None
    admin_rule: AdminRule
    name_claims: tuple[tuple[str, ...], ...]
    stack: str
    metrics_namespace: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Configuration:
        """Validate the environment variables. An empty variable counts as missing; the admin rule has no default.

        Raises:
            ConfigurationError: A variable is missing or invalid.
        """
        jwks_url, secret_parameter = environment.get("JWKS_URL"), environment.get("JWT_SECRET_PARAMETER")
        if jwks_url and secret_parameter:
            raise ConfigurationError(
                "JWKS_URL and JWT_SECRET_PARAMETER are both set: give one of them, for tokens are verified in one way"
            )
        if not jwks_url and not secret_parameter:
            raise ConfigurationError(
                "JWKS_URL or JWT_SECRET_PARAMETER must be set: the URL of the issuer's key set, or the SSM parameter "
                "of a secret that is shared with the issuer"
            )
        return cls(
            issuer=_required(environment, "JWT_ISSUER", "the iss claim exactly as it stands in the tokens"),
            audience=_required(
                environment, "JWT_AUDIENCE", "the aud (or client_id) exactly as it stands in the tokens"
            ),
            audience_claim=_audience_claim(environment.get("JWT_AUDIENCE_CLAIM") or "aud"),
            required_type=RequiredType.parse(environment.get("REQUIRED_TOKEN_TYPE", "")),
            jwks_url=_jwks_url(_required(environment, "JWKS_URL", "the URL of the issuer's key set"))
            if jwks_url
            else None,
            secret_parameter=_parameter_name(secret_parameter) if secret_parameter else None,
            admin_rule=AdminRule.parse(environment.get("ADMIN_CLAIM_RULE", "")),
            name_claims=_name_claims(environment.get("NAME_CLAIMS", "")),
            stack=_required(environment, "POWERTOOLS_SERVICE_NAME", "the name of the stack"),
            metrics_namespace=environment.get("POWERTOOLS_METRICS_NAMESPACE", ""),
        )


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "")
    if value.split() != [value]:
        message = f"{name} must be {meaning}, without white space; it is missing, empty or has some"
        raise ConfigurationError(message)
    return value


def _audience_claim(name: str) -> str:
    if name not in _AUDIENCE_CLAIMS:
        raise ConfigurationError(
            "JWT_AUDIENCE_CLAIM must be aud, or azp for an issuer whose tokens have no aud; empty means aud"
        )
    return name


def _name_claims(text: str) -> tuple[tuple[str, ...], ...]:
    if not re.fullmatch(NAME_CLAIMS_PATTERN, text):
        raise ConfigurationError(
            "NAME_CLAIMS must be names of claims, separated by commas without white space, such as email,name; or empty"
        )
    return tuple(map(claim_path, filter(None, text.split(","))))


def _jwks_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        raise ConfigurationError("JWKS_URL is not a URL: expected https://host/path") from None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK_HOSTS)):
        raise ConfigurationError(
            "JWKS_URL must begin with https:// (http:// is for 127.0.0.1, localhost and [::1] only)"
        )
    if "@" in parts.netloc:
        raise ConfigurationError("JWKS_URL must not hold credentials: a key set is public, and URLs end up in logs")
    return url


def _parameter_name(name: str) -> str:
    if not re.fullmatch(_PARAMETER_NAME, name):
        raise ConfigurationError(
            "JWT_SECRET_PARAMETER must be the name of an SSM parameter, such as /service-keys/jwt-secret, and neither "
            "the secret itself nor an ARN"
        )
    return name
