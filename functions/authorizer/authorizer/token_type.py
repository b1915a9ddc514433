"""Accepted token types (RFC 8725, section 3.11): access tokens, as plain bearer tokens.

Issuers sign other tokens with the same key: ID tokens, logout tokens, security events, refresh tokens, proofs of
possession. An ID token is for the application that signed the user in. It is rejected if it can be recognized, unless
the required type is that of ID tokens.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from authorizer.errors import ConfigurationError, Reason, TokenRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REQUIRED_TYPE_PATTERN = r"((typ|token_use|token_type)=)?[A-Za-z0-9][A-Za-z0-9!#$&^_.+/-]{0,126}"
"""The template's AllowedPattern for RequiredTokenType is this text between ``^(`` and ``)?$``."""

_ACCEPTED_MEDIA_TYPES = frozenset({"jwt", "at+jwt"})
# Names and values in lower case without punctuation: tokenUse is token_use, Refresh-Token is refresh_token.
_TYPE_CLAIMS = frozenset({"tokenuse", "tokentype", "typ"})
_ACCEPTED_CLAIM_VALUES = frozenset({"access", "accesstoken", "atjwt", "bearer", "jwt"})
_ID_TOKEN_VALUES = frozenset({"id", "idtoken"})
# Hashes of the code, token or state issued with an ID token (OpenID Connect Core, 3.1.3.6 and 3.3.2.11; FAPI 1.0, part
# 2). No access token of the documented providers has one. A nonce is not among them: Keycloak has it in access tokens
# too, with https://www.keycloak.org/docs-api/25.0.4/javadocs/org/keycloak/protocol/oidc/mappers/NonceBackwardsCompatibleMapper.html.
_ID_TOKEN_CLAIMS = ("at_hash", "c_hash", "s_hash")
_HINT_FOR_ID_TOKENS = (
    "This is an ID token, for the application that signed the administrator in. Send the access token instead; if the "
    "issuer has none for APIs, set RequiredTokenType to id_token."
)
# Issuers also use these claims for other purposes (a type of user, for example), so only these words are rejected.
_LOOSE_TYPE_CLAIMS = frozenset({"type", "use"})
_OTHER_TYPES = re.compile(r"refresh|offline|logout|secevent|dpop")
# "cnf" binds a token to a key, without which it proves nothing (RFC 7800). "events" marks a security event token
# (RFC 8417) such as a logout token, with or without a typ.
_CLAIMS_OF_OTHER_TYPES = ("cnf", "events")


class RequiredType(NamedTuple):
    """The type that a token must state.

    Attributes:
        place: The header or claim with the type, ``typ``, ``token_use`` or ``token_type``; empty for any of them or
            the claim ``type``.
        value: The type in lower case; in the header's ``typ``, ``application/`` is ignored too. ``id_token`` without a
            place also stands for ID tokens that do not name their type, but have a claim that marks them.
    """

    place: str
    value: str

    @classmethod
    def parse(cls, text: str) -> RequiredType | None:
        """Parse ``value`` or ``place=value``, such as ``at+jwt`` or ``token_use=access``; None for an empty text.

        Raises:
            ConfigurationError: The text is malformed, or names a type that is never accepted.
        """
        if not text:
            return None
        if not re.fullmatch(REQUIRED_TYPE_PATTERN, text):
            raise ConfigurationError(
                "REQUIRED_TOKEN_TYPE must be a type such as at+jwt, access or Bearer, or name its place too: "
                "typ=at+jwt, token_use=access, token_type=access; or id_token for ID tokens. Leave it empty to accept "
                "every token that is not recognized as an ID token"
            )
        place, _, value = text.rpartition("=")
        if _OTHER_TYPES.search(value.lower()):
            raise ConfigurationError(
                "REQUIRED_TOKEN_TYPE names a type of token that is never accepted. Name a type of access or ID token, "
                "such as at+jwt, access or Bearer"
            )
        return cls(place, value.lower().removeprefix("application/"))

    def is_stated(self, header: Mapping[str, object], claims: Mapping[str, object]) -> bool:
        """Return True if the header or the claims state this type."""
        if self.place in ("", "typ") and _media_type(header.get("typ")) == self.value:
            return True
        if not self.place and self.is_id_token and not claims.keys().isdisjoint((*_ID_TOKEN_CLAIMS, "nonce")):
            return True
        places = (self.place,) if self.place else ("typ", "token_use", "token_type", "type")
        return any(self.names(value) for place in places for value in _strings(claims.get(place)))

    @property
    def is_id_token(self) -> bool:
        """Return True if this is the type of ID tokens."""
        return _squeezed(self.value) in _ID_TOKEN_VALUES

    def names(self, stated: str) -> bool:
        """Return True if this is the type that a claim states."""
        return stated.lower() == self.value or (self.is_id_token and _squeezed(stated) in _ID_TOKEN_VALUES)


def check_header(header: Mapping[str, object], required: RequiredType | None) -> None:
    """Reject a token whose header states another type or a nested token.

    Raises:
        TokenRefusedError: ``wrong_type``.
    """
    if "cty" in header:
        raise TokenRefusedError(Reason.WRONG_TYPE, hint="The header has a cty: another token or object is inside.")
    if "typ" not in header:
        return
    stated = _media_type(header["typ"])
    demanded = required.value if required and required.place in ("", "typ") else None
    if stated is None or (stated not in _ACCEPTED_MEDIA_TYPES and stated != demanded):
        raise TokenRefusedError(Reason.WRONG_TYPE, hint="The header's typ is neither JWT nor at+jwt.")


def check_claims(header: Mapping[str, object], claims: Mapping[str, object], required: RequiredType | None) -> None:
    """Reject a token whose claims state another type, or a token without the required type.

    Raises:
        TokenRefusedError: ``wrong_type``.
    """
    for name in _CLAIMS_OF_OTHER_TYPES:
        if name in claims:
            raise TokenRefusedError(
                Reason.WRONG_TYPE, claim=name, hint="A token with this claim is not a plain bearer token."
            )
    if not (required and required.is_id_token):
        _check_is_no_id_token(claims)
    for name, value in claims.items():
        if _is_of_another_type(_letters(name), value, required):
            raise TokenRefusedError(
                Reason.WRONG_TYPE,
                hint="A claim such as token_use, token_type or typ does not name an access token. RequiredTokenType "
                "can name a type of the issuer's own.",
            )
    if required and not required.is_stated(header, claims):
        raise TokenRefusedError(Reason.WRONG_TYPE, hint="The token does not state the type in RequiredTokenType.")


def _check_is_no_id_token(claims: Mapping[str, object]) -> None:
    for name in _ID_TOKEN_CLAIMS:
        if name in claims:
            raise TokenRefusedError(Reason.WRONG_TYPE, claim=name, hint=_HINT_FOR_ID_TOKENS)
    for name, value in claims.items():
        if _letters(name) in _TYPE_CLAIMS | _LOOSE_TYPE_CLAIMS and any(
            _squeezed(stated) in _ID_TOKEN_VALUES for stated in _strings(value)
        ):
            raise TokenRefusedError(Reason.WRONG_TYPE, hint=_HINT_FOR_ID_TOKENS)


def _is_of_another_type(name: str, value: object, required: RequiredType | None) -> bool:
    if name in _LOOSE_TYPE_CLAIMS:
        return any(_OTHER_TYPES.search(_squeezed(stated)) for stated in _strings(value))
    if name not in _TYPE_CLAIMS or value is None:
        return False
    stated = list(_strings(value))
    accepted = all(
        _squeezed(each) in _ACCEPTED_CLAIM_VALUES or (required is not None and required.names(each)) for each in stated
    )
    return not (stated and accepted)


def _media_type(value: object) -> str | None:
    return value.lower().removeprefix("application/") if isinstance(value, str) else None


def _strings(value: object) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            yield each


def _squeezed(stated: str) -> str:
    # RFC 8693 identifies types by URN: urn:ietf:params:oauth:token-type:access_token.
    return _letters(stated.rpartition(":")[2])


def _letters(text: str) -> str:
    return re.sub("[^a-z0-9]", "", text.lower())
