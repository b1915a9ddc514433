"""Whether a token is genuine, current, and meant for this API."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from authorizer_errors import TokenRefusedError

if TYPE_CHECKING:
    from issuer_keys import IssuerKeys

LEEWAY_SECONDS = 10

_LONGEST_HEADER = 16 * 1024
_BEARER = re.compile(r"bearer +((?:[a-z0-9_-]+\.){2}[a-z0-9_-]+)", re.ASCII | re.IGNORECASE)
_LONGEST_SUBJECT = 255
# End of the year 9999. An exp beyond it never ends, or counts milliseconds.
_LATEST_TIME = 253_402_300_799

_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not_yet_valid",
    jwt.InvalidAlgorithmError: "wrong_algorithm",
    jwt.InvalidIssuedAtError: "bad_claim",
    jwt.InvalidIssuerError: "wrong_issuer",
    InvalidJTIError: "bad_claim",
    jwt.InvalidKeyError: "unusable_key",
    jwt.InvalidSignatureError: "bad_signature",
    InvalidSubjectError: "bad_claim",
    jwt.MissingRequiredClaimError: "missing_claim",
}


class TokenVerifier:
    """Verifies tokens of one issuer for one audience. Threads may share it."""

    def __init__(self, *, issuer: str, audience: str, keys: IssuerKeys) -> None:
        """Take what tokens must match.

        Args:
            issuer: their exact ``iss``.
            audience: their ``aud``, or one of its values.
            keys: says which algorithms and which key a token may be signed with.
        """
        self._issuer = issuer
        self._audience = audience
        self._keys = keys
        self._jwt = _DuplicateFreeJWT()

    def verify(self, authorization: object) -> dict[str, Any]:
        """Return the claims of the token in an Authorization header (``Bearer <token>``).

        ``sub`` is among them, a string fit for display and storage. The times allow for clocks that differ by
        ``LEEWAY_SECONDS``.

        Raises:
            TokenRefusedError: there is not exactly one valid token.
            KeySetUnavailableError: the key could not be fetched, so the token could not be checked.
        """
        token = _bearer_token(authorization)
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:  # RFC 7515, section 4.1.11: refuse what is not understood, and we understand none
                raise TokenRefusedError("critical_extension")
            claims = self._jwt.decode(
                token,
                self._keys.key_for(header),
                algorithms=self._keys.algorithms,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={
                    "require": ["exp", "iss", "sub"],
                    "verify_aud": False,  # below: PyJWT knows no client_id
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.PyJWTError as error:
            raise TokenRefusedError(_REASONS.get(type(error), "malformed")) from error
        _check_types(claims)
        self._check_audience(claims)
        return claims

    def _check_audience(self, claims: dict[str, Any]) -> None:
        # Cognito's access tokens have no aud, but the client they were issued to. A wrong aud never falls back to it.
        named = claims["aud"] if "aud" in claims else [claims.get("client_id")]
        if self._audience not in (named if isinstance(named, list) else [named]):
            raise TokenRefusedError("wrong_audience")


class _DuplicateFreeJWT(jwt.PyJWT):
    """Refuses a claim that stands there twice: parsers differ in which of the two counts."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        try:
            claims = json.loads(decoded["payload"], object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise jwt.DecodeError("The claims are not JSON") from error
        if not isinstance(claims, dict):
            raise jwt.DecodeError("The claims are not a JSON object")
        return claims


def _without_duplicates(members: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(members)
    if len(unique) != len(members):
        raise jwt.DecodeError("A member stands there twice")
    return unique


def _bearer_token(authorization: object) -> str:
    if not isinstance(authorization, str):
        raise TokenRefusedError("malformed")
    if len(authorization) > _LONGEST_HEADER:
        raise TokenRefusedError("too_long")
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise TokenRefusedError("malformed")
    return match[1]


def _check_types(claims: dict[str, Any]) -> None:
    # PyJWT reads times by int(), which takes "1" and true as well. A fraction is valid (RFC 7519, section 2).
    for name in ("exp", "nbf", "iat"):
        time = claims.get(name, 0)
        if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time <= _LATEST_TIME:
            raise TokenRefusedError("bad_claim")
    subject = claims["sub"]
    if not (0 < len(subject) <= _LONGEST_SUBJECT and subject.isprintable() and not subject.isspace()):
        raise TokenRefusedError("bad_claim")
