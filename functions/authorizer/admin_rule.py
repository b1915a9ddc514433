"""Which verified tokens are an administrator's."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from authorizer_errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The only claims that the standards define as one string of several values (RFC 8693, section 4.2; `scp` is the name
# that Microsoft and Okta use). Splitting others would let a display name such as "not an admin" match.
_SPACE_SEPARATED = frozenset({"scope", "scp"})


class AdminRule(NamedTuple):
    """One claim, and the values of it that make the token's holder an administrator.

    A claim matches when it is one of the values (exact, case-sensitive), an array with one of them, or, for ``scope``
    and ``scp`` alone, a space-separated string with one of them. Booleans, numbers and objects never match; a claim
    nested in another one is out of reach.

    The claim ``email`` counts only where ``email_verified`` is ``true`` or absent: at a provider that lets users set an
    address without proving it is theirs, anyone could otherwise take an administrator's. Where the claim is absent,
    it is the issuer that must vouch for its addresses.

    Attributes:
        claim: name of a top-level claim.
        values: at least one, none empty.
    """

    claim: str
    values: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> AdminRule:
        """Read ``claim=value[,value]``: the claim's name ends at the first ``=``, white space around parts is dropped.

        Raises:
            ConfigurationError: the text is not of that form.
        """
        claim, _, listed = text.partition("=")
        claim = claim.strip()
        values = [value.strip() for value in listed.split(",")]
        if not claim or not all(values):
            raise ConfigurationError(
                "ADMIN_CLAIM_RULE must read claim=value or claim=value,value, for example role=admin "
                "or cognito:groups=admins"
            )
        return cls(claim, frozenset(values))

    def admits(self, claims: Mapping[str, object]) -> bool:
        """Tell whether these claims, of a verified token, are an administrator's."""
        if self.claim == "email" and claims.get("email_verified", True) is not True:
            return False
        held = claims.get(self.claim)
        if isinstance(held, str):
            held = held.split(" ") if self.claim in _SPACE_SEPARATED else [held]
        return isinstance(held, list) and any(isinstance(value, str) and value in self.values for value in held)
