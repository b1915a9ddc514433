"""The rule that tells an administrator's claims from any other user's."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from authorizer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# A character of a name, or of a value without quotes. Left out: characters with a meaning in a rule, or that look like
# an operator; control characters, white space, and U+2000 to U+206F, the block of the spaces, quotes and dashes that
# word processors insert and of invisible characters. A rule that holds one by accident would match no token.
_PLAIN = r"""[^"',;=!<>\x00-\x20\x7f-\xa0\u2000-\u206f\u3000\ufeff]"""
_NAME = rf"(?!/){_PLAIN}+"
_POINTER = rf"(?:/(?:(?![/~]){_PLAIN}|~[01])+)+"
_QUOTED = r'"(?:[^"\x00-\x1f\x7f]|"")+"'
_VALUE = rf"(?:{_QUOTED}|{_PLAIN}+(?:[ ']+{_PLAIN}+)*)"

RULE_PATTERN = rf"(?:{_NAME}|{_POINTER})={_VALUE}(?:,{_VALUE})*"
"""The whole grammar. The template's AllowedPattern for AdminClaimRule is this text between ``^`` and ``$``."""

# The only claims that the standards define as one string of several values (RFC 8693, section 4.2; `scp` is the name
# that Microsoft and Okta use). Splitting others would let a display name such as "not an admin" match.
_SPACE_SEPARATED = (("scope",), ("scp",))
# The last word of a claim's name: email, https://example.com/email, custom:email; not verified_primary_email.
_EMAIL = re.compile(r"(?:.*[^a-z0-9_-])?(e-?mail(?:s|_?address(?:es)?)?)", re.IGNORECASE)


class Mismatch(Enum):
    """The reasons why a valid token is not an administrator's; each value is the hint that the log shows."""

    CLAIM_MISSING = (
        "The token does not have the claim that AdminClaimRule names. Have the issuer add it, or correct the name; "
        "a nested claim is written as a path, such as /realm_access/roles."
    )
    VALUE_MISSING = (
        "The token has the claim that AdminClaimRule names, without any of the rule's values. Values are compared "
        "exactly; a claim that is a JSON object is reached by a path, such as /realm_access/roles."
    )
    EMAIL_NOT_VERIFIED = (
        "The token's e-mail address is one of AdminClaimRule's, but email_verified beside it is not true. Have the "
        "user verify the address, or have the issuer add email_verified."
    )


class AdminRule(NamedTuple):
    """One claim, and the values of it that make the token's holder an administrator.

    A claim matches if it is one of the values (exact, case-sensitive), an array with one of them, or, for ``scope``
    and ``scp`` alone, a space-separated string with one of them. The boolean ``true`` matches the value ``true``.
    Numbers, ``false``, ``null`` and objects never match.

    An e-mail address counts only if ``email_verified`` beside it is ``true`` or the text ``"true"``: at a provider that
    lets users set an address without proving that it is theirs, any user could otherwise take an administrator's.

    Attributes:
        claim: the claim as the rule names it.
        path: names of the members that lead to it, from the outermost object on.
        values: at least one, none empty.
    """

    claim: str
    path: tuple[str, ...]
    values: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> AdminRule:
        """Read ``claim=value[,value]``.

        A claim that begins with ``/`` is a JSON pointer (RFC 6901); any other is the name of a top-level claim. A value
        may stand between double quotes, in which ``""`` means one double quote and a backslash means itself. It must,
        if it holds a character other than those of ``_PLAIN``, and spaces or apostrophes between these.

        Raises:
            ConfigurationError: the text does not match ``RULE_PATTERN``; the message shows a quoted form of it.
        """
        if not re.fullmatch(RULE_PATTERN, text):
            raise ConfigurationError(_invalid_reason(text))
        claim, _, listed = text.partition("=")
        values = (
            value[1:-1].replace('""', '"') if value.startswith('"') else value for value in re.findall(_VALUE, listed)
        )
        path = tuple(map(_unescaped, claim.split("/")[1:])) if claim.startswith("/") else (claim,)
        return cls(claim, path, frozenset(values))

    def mismatch(self, claims: Mapping[str, object]) -> Mismatch | None:
        """Return the reason why these claims, of a verified token, are not an administrator's; None if they are."""
        try:
            held = _resolve(claims, self.path)
        except LookupError:
            return Mismatch.CLAIM_MISSING
        if not self._holds_value(held):
            return Mismatch.VALUE_MISSING
        return None if self._is_verified(claims) else Mismatch.EMAIL_NOT_VERIFIED

    def _holds_value(self, held: object) -> bool:
        if held is True:
            return "true" in self.values
        if isinstance(held, str):
            held = held.split(" ") if self.path in _SPACE_SEPARATED else [held]
        return isinstance(held, list) and any(isinstance(value, str) and value in self.values for value in held)

    def _is_verified(self, claims: Mapping[str, object]) -> bool:
        """Tell whether the path leads to no e-mail address, or to one whose issuer says that it is verified."""
        for depth, name in enumerate(self.path):
            address = _EMAIL.fullmatch(name)
            if address is None:
                continue
            # https://example.com/email_verified for https://example.com/email, and so on.
            flag = name[: address.start(1)] + "email_verified"
            try:
                verified = _resolve(claims, (*self.path[:depth], flag))
            except LookupError:
                return False
            return verified is True or verified == "true"
        return True


def _resolve(claims: Mapping[str, object], path: tuple[str, ...]) -> object:
    """Return the value at a path as RFC 6901, section 4, defines it; raise LookupError if there is none."""
    value: object = claims
    for name in path:
        if isinstance(value, dict):
            value = value[name]
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", name):
            value = value[int(name)]
        else:
            raise LookupError(name)
    return value


def _unescaped(token: str) -> str:
    # In this order (RFC 6901, section 4), or ~01 would become a slash.
    return token.replace("~1", "/").replace("~0", "~")


def _invalid_reason(text: str) -> str:
    form = (
        "ADMIN_CLAIM_RULE must read claim=value or claim=value,value without white space around the parts, for example "
        "role=admin, cognito:groups=admins or /realm_access/roles=admin."
    )
    claim, _, listed = (part.strip() for part in text.partition("="))
    tidy = f"{claim}={','.join(value.strip() for value in listed.split(','))}"
    if re.fullmatch(RULE_PATTERN, tidy):
        return f"{form} Remove the white space: {tidy}"
    value = listed.strip("\"'\u201c\u201d").replace('"', '""')
    quoted = f'{claim}="{value}"'
    if re.fullmatch(RULE_PATTERN, quoted):
        return (
            f"{form} A value with a comma, semicolon, equals sign, quote, !, < or > in it is ambiguous unless it "
            f"stands between double quotes. If this is one value, write {quoted}; if there are several, quote each"
        )
    return form
