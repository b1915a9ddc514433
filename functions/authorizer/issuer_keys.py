"""The issuer's public keys, fetched from its JWKS URL."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from jwt import PyJWK, PyJWKSet, PyJWKSetError

from authorizer_errors import KeyUnavailableError, Reason, TokenRefusedError, bounded
from bounded_download import download
from key_cache import KeyCache

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LARGEST_KEY_SET_BYTES = 256 * 1024


class IssuerKeys:
    """The keys by which the issuer's tokens are verified, looked up by key id. Threads may share them.

    A key without ``alg`` verifies what PyJWT takes for its type: RS256, ES256/384/512 by its curve, or EdDSA.

    Attributes:
        algorithms: those that a token may be signed with. Asymmetric ones only: with a symmetric one, the public key
            would serve to forge.
    """

    algorithms = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

    def __init__(
        self,
        url: str,
        *,
        lifespan: float = 300,
        bridge: float = 24 * 60 * 60,
        cooldown: float = 30,
        pause: float = 5,
        deadline: float = 3,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the URL; nothing is fetched before the first token. The times are in seconds.

        Args:
            url: of the key set; https, or http to a loopback address.
            lifespan: for which a fetched set serves; so long may a key that the issuer took out be accepted.
            bridge: for which it serves while the issuer gives no other (docs/decisions/17-outages-of-the-issuer.md).
            cooldown: after a fetch within which an unknown key id causes no other one; so long may a new key be
                refused.
            pause: after a failed fetch before the next one, where no set is held.
            deadline: for one fetch as a whole.
            clock: seconds since some moment.
        """
        self._url = url
        self._deadline = deadline
        self._sets = KeyCache(
            self._fetch, lifespan=lifespan, bridge=bridge, cooldown=cooldown, pause=pause, clock=clock
        )

    def key_for(self, header: Mapping[str, Any]) -> PyJWK:
        """Look up the key that a token's header names by ``kid``; whatever else it says about keys is ignored.

        Raises:
            TokenRefusedError: there is no such key (``missing_kid``, ``unknown_key``).
            KeyUnavailableError: the set that should hold it could not be fetched.
        """
        kid = header.get("kid")
        if not kid:
            raise TokenRefusedError(Reason.MISSING_KID)
        key = self._sets.current().get(kid) or self._sets.newest().get(kid)
        if key is None:
            raise TokenRefusedError(Reason.UNKNOWN_KEY)
        return key

    def successor_of(self, _key: object) -> None:
        """Name no other key for a token whose signature is wrong: a new key has a new id."""

    def _fetch(self) -> dict[str, PyJWK]:
        try:
            document = json.loads(download(self._url, deadline=self._deadline, max_bytes=_LARGEST_KEY_SET_BYTES))
            return _usable_keys(document)
        except (OSError, HTTPException, ValueError, RecursionError, PyJWKSetError) as error:
            # Not repr(): that of a UnicodeDecodeError, for one, holds the whole response.
            reason = bounded(f"{type(error).__name__}: {error}", 200)
            message = (
                f"{bounded(self._url, 200)} gave no usable key set ({reason}). See that JWKS_URL is right, that it "
                "answers, and that this function can reach it."
            )
            raise KeyUnavailableError(message) from error


def _usable_keys(document: object) -> dict[str, PyJWK]:
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise PyJWKSetError("The key set is not a JSON object with an array of keys")
    usable = PyJWKSet([key for key in keys if _verifies_signatures(key)]).keys
    # Of two with one id, the first counts.
    return {str(key.key_id): key for key in reversed(usable)}


def _verifies_signatures(key: object) -> bool:
    if not isinstance(key, dict):
        return False
    operations = key.get("key_ops", ["verify"])
    return (
        # Left out before PyJWT sees them: symmetric keys (kty oct) and private ones, on which it would fail.
        key.get("kty") in ("RSA", "EC", "OKP")
        and "d" not in key
        and isinstance(key.get("kid"), str)
        and key["kid"] != ""
        and key.get("use", "sig") == "sig"
        and key.get("alg") in (None, *IssuerKeys.algorithms)
        and isinstance(operations, list)
        and "verify" in operations
    )
