"""Verification of a JWT: signature, times, issuer, audience and type."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError
from jwt.utils import base64url_decode

from authorizer import token_type
from authorizer.errors import Reason, TokenRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from authorizer.token_type import RequiredType

START_LEEWAY_SECONDS = 60
"""Leeway for ``nbf`` and ``iat``, so that a fast clock of the issuer does not invalidate its new tokens."""
EXPIRY_LEEWAY_SECONDS = 10
"""Leeway for ``exp``. A slow clock only shortens a token's life, so a longer leeway would only help stolen tokens."""

_MAX_HEADER_LENGTH = 16 * 1024
_BEARER = re.compile(r"bearer +((?:[a-z0-9_-]+\.){2}[a-z0-9_-]+)", re.ASCII | re.IGNORECASE)
_MAX_SUBJECT_LENGTH = 255
# End of the year 9999. A larger exp is in milliseconds, or never expires.
_MAX_TIMESTAMP = 253_402_300_799

_REASONS: dict[type[jwt.PyJWTError], Reason] = {
    jwt.ExpiredSignatureError: Reason.EXPIRED,
    jwt.InvalidAlgorithmError: Reason.WRONG_ALGORITHM,
    jwt.InvalidIssuerError: Reason.WRONG_ISSUER,
    InvalidJTIError: Reason.BAD_CLAIM,
    jwt.InvalidKeyError: Reason.UNUSABLE_KEY,
    jwt.InvalidSignatureError: Reason.BAD_SIGNATURE,
    InvalidSubjectError: Reason.BAD_CLAIM,
    jwt.MissingRequiredClaimError: Reason.MISSING_CLAIM,
}
_CLAIMS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "exp",
    jwt.InvalidIssuerError: "iss",
    InvalidJTIError: "jti",
    InvalidSubjectError: "sub",
}
_HINTS = {
    Reason.UNKNOWN_KEY: "JwksUrl holds no key for this token. Compare it with the jwks_uri of the issuer's metadata.",
    Reason.WRONG_ALGORITHM: "With JwksUrl, tokens are signed by RS, PS, ES or EdDSA algorithms; with "
    "JwtSecretParameter, by HS256 alone.",
    Reason.WRONG_ISSUER: "The token's iss is not JwtIssuer. They must be equal, a slash at the end included.",
}
_NO_AUDIENCE = (
    "The token names no audience. Have the issuer add aud; if its tokens name only the party they were issued to, set "
    "JwtAudienceClaim to azp."
)
_OTHER_AUDIENCE = "The token is meant for another audience than JwtAudience."


class KeySource(Protocol):
    """Source of verification keys: ``JwksKeys`` or ``SharedSecret``, chosen by the configuration."""

    @property
    def algorithms(self) -> Sequence[str]:
        """The accepted signature algorithms."""

    def keys_for(self, header: Mapping[str, Any], /) -> Iterator[jwt.PyJWK | bytes]:
        """Yield the candidate keys for a token with this header, likeliest first."""


class TokenVerifier:
    """Verify tokens of one issuer for one audience. Thread-safe."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: KeySource,
        audience_claim: str = "aud",
        required_type: RequiredType | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Set the requirements for tokens.

        Args:
            issuer: The exact ``iss``.
            audience: The ``aud`` or one of its values; without ``aud``, the ``client_id`` or ``azp``.
            keys: The source of algorithms and verification keys.
            audience_claim: ``azp`` if tokens without ``aud`` name their audience there; otherwise ``client_id`` does.
            required_type: The type that tokens must state, or None for every type that ``token_type`` accepts.
            clock: Returns seconds since the epoch, for ``nbf`` and ``iat``; PyJWT reads the time for ``exp`` itself.
        """
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._audience_claim = audience_claim
        self._required_type = required_type
        self._clock = clock
        self._jwt = _StrictJWT()

    def verify(self, authorization: object) -> dict[str, Any]:
        """Return the claims of the token in an Authorization header (``Bearer <token>``).

        They include ``sub``, a printable string of limited length.

        Raises:
            TokenRefusedError: The header does not contain exactly one valid token.
            KeyUnavailableError: The verification key could not be fetched.
        """
        token = _bearer_token(authorization)
        try:
            header = jwt.get_unverified_header(token)
            _strict_object(base64url_decode(token.partition(".")[0]))
            if "crit" in header:  # RFC 7515, section 4.1.11: reject unsupported extensions; none is supported
                raise TokenRefusedError(Reason.CRITICAL_EXTENSION)
            # Before the key lookup: a token that can never be valid must not cause a fetch.
            if header.get("alg") not in self._keys.algorithms:
                raise TokenRefusedError(Reason.WRONG_ALGORITHM)
            token_type.check_header(header, self._required_type)
            claims = self._decode(token, header)
        except jwt.PyJWTError as error:
            raise _refusal(error) from error
        _check_values(claims)
        self._check_times(claims)
        token_type.check_claims(header, claims, self._required_type)
        self._check_audience(claims)
        return claims

    def _decode(self, token: str, header: dict[str, Any]) -> dict[str, Any]:
        failure: jwt.PyJWTError | None = None
        for key in self._keys.keys_for(header):
            try:
                return self._decode_by(key, token)
            except (jwt.InvalidSignatureError, jwt.InvalidKeyError) as error:
                failure = failure or error
        raise failure or jwt.InvalidSignatureError

    def _decode_by(self, key: jwt.PyJWK | bytes, token: str) -> dict[str, Any]:
        return self._jwt.decode(
            token,
            key,
            algorithms=self._keys.algorithms,
            issuer=self._issuer,
            leeway=EXPIRY_LEEWAY_SECONDS,
            options={
                "require": ["exp", "iss", "sub"],
                "verify_aud": False,  # see _check_audience: PyJWT supports neither client_id nor azp
                "verify_iat": False,  # see _check_times, with another leeway
                "verify_nbf": False,
                "enforce_minimum_key_length": True,
            },
        )

    def _check_times(self, claims: dict[str, Any]) -> None:
        for name in ("nbf", "iat"):
            if claims.get(name, 0) > self._clock() + START_LEEWAY_SECONDS:
                raise TokenRefusedError(Reason.NOT_YET_VALID, claim=name)

    def _check_audience(self, claims: dict[str, Any]) -> None:
        # Cognito's access tokens have client_id instead of aud; Clerk's have azp only, which the deployer must enable.
        # A wrong aud never falls back to either.
        fallback = "client_id" if self._audience_claim == "aud" else self._audience_claim
        claim = "aud" if "aud" in claims else fallback
        if claim not in claims:
            raise TokenRefusedError(Reason.WRONG_AUDIENCE, claim="aud", hint=_NO_AUDIENCE)
        named = claims[claim]
        if self._audience not in (named if claim == "aud" and isinstance(named, list) else [named]):
            raise TokenRefusedError(Reason.WRONG_AUDIENCE, claim=claim, hint=_OTHER_AUDIENCE)


class _StrictJWT(jwt.PyJWT):
    """Reject ambiguous claims, which JSON parsers read differently."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        return _strict_object(decoded["payload"])


def _strict_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object that every parser reads alike.

    It must be UTF-8 without a byte order mark, duplicate members, NaN, infinity or lone surrogates.

    Raises:
        jwt.DecodeError: The data is not such an object.
    """
    try:
        # Decode first: json.loads accepts bytes in UTF-16 and UTF-32 too, and surrogates in UTF-8.
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise jwt.DecodeError("The JSON is malformed") from None
    if not isinstance(value, dict):
        raise jwt.DecodeError("The JSON is not an object")
    return value


def _without_duplicates(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise jwt.DecodeError("A member stands there twice")
    return unique


def _refusal(error: jwt.PyJWTError) -> TokenRefusedError:
    reason = _REASONS.get(type(error), Reason.MALFORMED)
    claim = error.claim if isinstance(error, jwt.MissingRequiredClaimError) else _CLAIMS.get(type(error), "")
    return TokenRefusedError(reason, claim=claim, hint=_HINTS.get(reason, ""))


def _bearer_token(authorization: object) -> str:
    if not isinstance(authorization, str):
        raise TokenRefusedError(Reason.MALFORMED)
    if len(authorization) > _MAX_HEADER_LENGTH:
        raise TokenRefusedError(Reason.TOO_LONG)
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise TokenRefusedError(Reason.MALFORMED)
    return match[1]


def _check_values(claims: dict[str, Any]) -> None:
    # PyJWT converts times with int(), which accepts "1" and true too. A fraction is valid (RFC 7519, section 2).
    for name in ("exp", "nbf", "iat"):
        moment = claims.get(name, 0)
        if isinstance(moment, bool) or not isinstance(moment, int | float) or not 0 <= moment <= _MAX_TIMESTAMP:
            raise TokenRefusedError(Reason.BAD_CLAIM, claim=name)
    subject = claims["sub"]
    if not (0 < len(subject) <= _MAX_SUBJECT_LENGTH and subject.isprintable() and not subject.isspace()):
        raise TokenRefusedError(Reason.BAD_CLAIM, claim="sub")
