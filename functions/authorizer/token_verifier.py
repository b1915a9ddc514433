"""Whether a token is genuine, current, and meant for this API."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from authorizer_errors import Reason, TokenRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEEWAY_SECONDS = 10

_LONGEST_HEADER = 16 * 1024
_BEARER = re.compile(r"bearer +((?:[a-z0-9_-]+\.){2}[a-z0-9_-]+)", re.ASCII | re.IGNORECASE)
_LONGEST_SUBJECT = 255
# End of the year 9999. An exp beyond it never ends, or counts milliseconds.
_LATEST_TIME = 253_402_300_799

_REASONS: dict[type[jwt.PyJWTError], Reason] = {
    jwt.ExpiredSignatureError: Reason.EXPIRED,
    jwt.ImmatureSignatureError: Reason.NOT_YET_VALID,
    jwt.InvalidAlgorithmError: Reason.WRONG_ALGORITHM,
    jwt.InvalidIssuedAtError: Reason.BAD_CLAIM,
    jwt.InvalidIssuerError: Reason.WRONG_ISSUER,
    InvalidJTIError: Reason.BAD_CLAIM,
    jwt.InvalidKeyError: Reason.UNUSABLE_KEY,
    jwt.InvalidSignatureError: Reason.BAD_SIGNATURE,
    InvalidSubjectError: Reason.BAD_CLAIM,
    jwt.MissingRequiredClaimError: Reason.MISSING_CLAIM,
}


class Keys(Protocol):
    """What verifies tokens: ``IssuerKeys`` or ``SharedSecret``. Which of them is for the configuration to say."""

    @property
    def algorithms(self) -> Sequence[str]:
        """Those that a token may be signed with."""

    def key_for(self, header: Mapping[str, Any], /) -> jwt.PyJWK | bytes:
        """Return the key for a token with this header."""

    def successor_of(self, key: jwt.PyJWK | bytes, /) -> jwt.PyJWK | bytes | None:
        """Return the key to try where this one does not verify a signature; None if there is none."""


class TokenVerifier:
    """Verifies tokens of one issuer for one audience. Threads may share it."""

    def __init__(self, *, issuer: str, audience: str, keys: Keys) -> None:
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
            KeyUnavailableError: the key could not be fetched, so the token could not be checked.
        """
        token = _bearer_token(authorization)
        try:
            header = jwt.get_unverified_header(token)
            if "crit" in header:  # RFC 7515, section 4.1.11: refuse what is not understood, and we understand none
                raise TokenRefusedError(Reason.CRITICAL_EXTENSION)
            # Before a key is looked up: what can never be valid causes no fetch.
            if header.get("alg") not in self._keys.algorithms:
                raise TokenRefusedError(Reason.WRONG_ALGORITHM)
            claims = self._decode(token, self._keys.key_for(header))
        except jwt.PyJWTError as error:
            raise TokenRefusedError(_REASONS.get(type(error), Reason.MALFORMED)) from error
        _check_types(claims)
        self._check_audience(claims)
        return claims

    def _decode(self, token: str, key: jwt.PyJWK | bytes) -> dict[str, Any]:
        try:
            return self._decode_by(key, token)
        except jwt.InvalidSignatureError:
            successor = self._keys.successor_of(key)
            if successor is None:
                raise
        return self._decode_by(successor, token)

    def _decode_by(self, key: jwt.PyJWK | bytes, token: str) -> dict[str, Any]:
        return self._jwt.decode(
            token,
            key,
            algorithms=self._keys.algorithms,
            issuer=self._issuer,
            leeway=LEEWAY_SECONDS,
            options={
                "require": ["exp", "iss", "sub"],
                "verify_aud": False,  # in _check_audience: PyJWT knows no client_id
                "enforce_minimum_key_length": True,
            },
        )

    def _check_audience(self, claims: dict[str, Any]) -> None:
        # Cognito's access tokens have no aud, but the client they were issued to. A wrong aud never falls back to it.
        named = claims["aud"] if "aud" in claims else [claims.get("client_id")]
        if self._audience not in (named if isinstance(named, list) else [named]):
            raise TokenRefusedError(Reason.WRONG_AUDIENCE)


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
        raise TokenRefusedError(Reason.MALFORMED)
    if len(authorization) > _LONGEST_HEADER:
        raise TokenRefusedError(Reason.TOO_LONG)
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise TokenRefusedError(Reason.MALFORMED)
    return match[1]


def _check_types(claims: dict[str, Any]) -> None:
    # PyJWT reads times by int(), which takes "1" and true as well. A fraction is valid (RFC 7519, section 2).
    for name in ("exp", "nbf", "iat"):
        time = claims.get(name, 0)
        if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time <= _LATEST_TIME:
            raise TokenRefusedError(Reason.BAD_CLAIM)
    subject = claims["sub"]
    if not (0 < len(subject) <= _LONGEST_SUBJECT and subject.isprintable() and not subject.isspace()):
        raise TokenRefusedError(Reason.BAD_CLAIM)
