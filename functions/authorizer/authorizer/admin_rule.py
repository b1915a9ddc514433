"""The admin rule: the claim and the values that make a token an administrator's."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from authorizer.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# A character of a name or of an unquoted value. Excluded: the rule's operators and characters that resemble them,
# control characters, white space, and U+2000 to U+206F (typographic spaces, quotes and dashes, invisible characters).
# A rule that contains one by accident would match no token.
_PLAIN = r"""[^"',;=!<>\x00-\x20\x7f-\xa0\u2000-\u206f\u3000\ufeff]"""
_NAME = rf"(?!/){_PLAIN}+"
_POINTER = rf"(?:/(?:(?![/~]){_PLAIN}|~[01])+)+"
_QUOTED = r'"(?:[^"\x00-\x1f\x7f]|"")+"'
_VALUE = rf"(?:{_QUOTED}|{_PLAIN}+(?:[ ']+{_PLAIN}+)*)"

RULE_PATTERN = rf"(?:{_NAME}|{_POINTER})={_VALUE}(?:,{_VALUE})*"
"""The complete grammar. The template's AllowedPattern for AdminClaimRule is this text between ``^`` and ``$``."""

# The only claims with several values in one string (RFC 8693, section 4.2; `scp` is the name that Microsoft and Okta
# use). Splitting other claims would let a display name such as "not an admin" match.
_SPACE_SEPARATED = (("scope",), ("scp",))
# A claim whose name ends in this word has an e-mail address: https://example.com/email, custom:email, but not
# verified_primary_email.
_EMAIL = re.compile(r"(?:.*[^a-z0-9_-])?(e-?mail(?:s|_?address(?:es)?)?)", re.IGNORECASE)


class Mismatch(Enum):
    """Reason why a valid token does not match the admin rule. The value is the hint in the log."""

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
    """A claim and the values that make a token an administrator's.

    A claim matches if it equals one of the values (case-sensitive), is an array with one of them, or, only for
    ``scope`` and ``scp``, is a space-separated string with one of them. The boolean ``true`` matches the value
    ``true``. Numbers, ``false``, ``null`` and objects never match.

    An e-mail address matches only if the sibling claim ``email_verified`` is ``true`` or the string ``"true"``: some
    identity providers accept unverified addresses, so any user could enter an administrator's.

    Attributes:
        claim: The claim as written in the rule.
        path: Member names that lead to the claim, outermost first.
        values: The accepted values; at least one, none empty.
    """

    claim: str
    path: tuple[str, ...]
    values: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> AdminRule:
        """Parse ``claim=value[,value]``.

        A claim that begins with ``/`` is a JSON pointer (RFC 6901), any other the name of a top-level claim. A value
        can be in double quotes, where ``""`` is a literal double quote and a backslash is literal. Quotes are required
        if it contains characters outside ``_PLAIN``, other than inner spaces and apostrophes.

        Raises:
            ConfigurationError: The text does not match ``RULE_PATTERN``; the message suggests a corrected form.
        """
        if not re.fullmatch(RULE_PATTERN, text):
            raise ConfigurationError(_invalid_reason(text))
        claim, _, listed = text.partition("=")
        values = (
            value[1:-1].replace('""', '"') if value.startswith('"') else value for value in re.findall(_VALUE, listed)
        )
        return cls(claim, claim_path(claim), frozenset(values))

    def mismatch(self, claims: Mapping[str, object]) -> Mismatch | None:
        """Return the reason why the claims of a verified token do not match, or None if they match."""
        try:
            value = resolve(claims, self.path)
        except LookupError:
            return Mismatch.CLAIM_MISSING
        if not self._holds_value(value):
            return Mismatch.VALUE_MISSING
        return None if self._is_verified(claims) else Mismatch.EMAIL_NOT_VERIFIED

    def _holds_value(self, value: object) -> bool:
        if value is True:
            return "true" in self.values
        if isinstance(value, str):
            value = value.split(" ") if self.path in _SPACE_SEPARATED else [value]
        return isinstance(value, list) and any(isinstance(value, str) and value in self.values for value in value)

    def _is_verified(self, claims: Mapping[str, object]) -> bool:
        """Return False if the path leads to an e-mail address that the issuer does not state as verified."""
        for depth, name in enumerate(self.path):
            address = _EMAIL.fullmatch(name)
            if address is None:
                continue
            # https://example.com/email_verified for https://example.com/email, and so on.
            flag = name[: address.start(1)] + "email_verified"
            try:
                verified = resolve(claims, (*self.path[:depth], flag))
            except LookupError:
                return False
            return verified is True or verified == "true"
        return True


def claim_path(claim: str) -> tuple[str, ...]:
    """Return the path of a claim, which is a JSON pointer (RFC 6901) or the name of a top-level claim."""
    return tuple(map(_unescaped, claim.split("/")[1:])) if claim.startswith("/") else (claim,)


def resolve(claims: Mapping[str, object], path: tuple[str, ...]) -> object:
    """Return the value at a path (RFC 6901, section 4); raise LookupError if there is none."""
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
    # In this order (RFC 6901, section 4): the reverse would turn ~01 into a slash.
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
