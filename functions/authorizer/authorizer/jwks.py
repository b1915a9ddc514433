"""The issuer's JWKS: fetch, filter and select public keys."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from jwt import PyJWK, PyJWKSetError, PyJWTError

from authorizer import http_get
from authorizer.errors import KeyUnavailableError, Reason, TokenRefusedError, bounded
from authorizer.key_cache import KeyCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MAX_JWKS_BYTES = 256 * 1024
# Maximum keys to try for a token whose kid does not identify one. Issuers publish about ten at most.
_MAX_CANDIDATES = 16
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS_BY_TYPE = {
    ("RSA", ""): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}


class JwksKeys:
    """Verification keys from the issuer's JWKS. Thread-safe.

    A JWK must have ``kty`` and the members of its key type only (RFC 7517, section 4). A key without ``alg`` verifies
    every algorithm of its type, and no other.

    Attributes:
        algorithms: The accepted signature algorithms. Asymmetric only: a symmetric algorithm would let an attacker
            forge tokens with the public key.
    """

    algorithms = (*_RSA, "ES256", "ES384", "ES512", "EdDSA")

    def __init__(
        self,
        url: str,
        *,
        ttl: float = 300,
        stale_if_error: float = 24 * 60 * 60,
        min_refetch_interval: float = 30,
        retry_delay: float = 5,
        deadline: float = 3,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Configure the cache. The first token causes the first fetch. Times are in seconds.

        Args:
            url: The JWKS URL; https, or http with a loopback address.
            ttl: The lifetime of a cached JWKS, and thus the time that a removed key can remain accepted.
            stale_if_error: The maximum age of a JWKS served while the issuer fails
                (docs/decisions/17-outages-of-the-issuer.md).
            min_refetch_interval: The minimum time between fetches caused by unknown key ids, and thus the time that a
                new key can remain rejected.
            retry_delay: The delay after a failed fetch while no JWKS is cached.
            deadline: The time limit of one fetch.
            clock: Returns the current time in seconds.
        """
        self._url = url
        self._deadline = deadline
        self._cache = KeyCache(
            self._fetch,
            ttl=ttl,
            stale_if_error=stale_if_error,
            min_refetch_interval=min_refetch_interval,
            retry_delay=retry_delay,
            clock=clock,
        )

    def keys_for(self, header: Mapping[str, Any]) -> Iterator[PyJWK]:
        """Yield the candidate keys for a token, selected by the header's ``alg`` and ``kid``.

        With a ``kid``: the keys of that id or, if there are none, the keys without an id. Without a ``kid``: all keys.
        Refetch and search again if the JWKS has no key with this ``kid``: a new key has a new id.

        Raises:
            TokenRefusedError: No key matches (``unknown_key``), or it has another algorithm (``wrong_algorithm``).
            KeyUnavailableError: The JWKS could not be fetched.
        """
        keys = self._cache.get()
        candidates = _candidates(keys, header)
        yield from candidates
        if _named(keys, header.get("kid")):
            return
        newest = self._cache.refreshed()
        if newest is not keys:
            candidates = _candidates(newest, header)
            yield from candidates
        if not candidates:
            raise TokenRefusedError(Reason.UNKNOWN_KEY)

    def _fetch(self) -> list[PyJWK]:
        try:
            document = json.loads(http_get.get(self._url, deadline=self._deadline, max_bytes=_MAX_JWKS_BYTES))
            return _usable_keys(document)
        except (OSError, HTTPException, ValueError, RecursionError, PyJWKSetError) as error:
            # Not repr(): for example, that of a UnicodeDecodeError contains the whole response.
            reason = bounded(f"{type(error).__name__}: {error}", 200)
            message = (
                f"{bounded(self._url, 200)} gave no usable key set ({reason}). See that JWKS_URL is right, that it "
                "answers, and that this function can reach it."
            )
            raise KeyUnavailableError(message) from error


def _usable_keys(document: object) -> list[PyJWK]:
    """Return each key once per algorithm that it verifies. Skip malformed keys and keys for other purposes."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise PyJWKSetError("The key set is not a JSON object with an array of keys")
    usable = []
    for key in map(_without_nulls, keys):
        for algorithm in _algorithms(key):
            try:
                usable.append(PyJWK(key, algorithm=algorithm))
            except (PyJWTError, ValueError, TypeError):
                break
    if not usable:
        raise PyJWKSetError("The key set holds no usable key")
    return usable


def _without_nulls(key: object) -> dict[str, Any]:
    """Return a JWK without its null members, which some issuers send for every key type; empty unless an object."""
    return {name: value for name, value in key.items() if value is not None} if isinstance(key, dict) else {}


def _algorithms(key: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the algorithms that a JWK verifies; empty unless it is a public key for signatures."""
    kid, use, operations = key.get("kid"), key.get("use"), key.get("key_ops")
    if (
        # Reject private keys, on which PyJWT would fail. Symmetric keys have another kty.
        "d" in key
        or not (kid is None or isinstance(kid, str))
        or use not in (None, "sig")
        or not (operations is None or (isinstance(operations, list) and "verify" in operations))
    ):
        return ()
    of_its_type = _ALGORITHMS_BY_TYPE.get((str(key.get("kty")), str(key.get("crv", ""))), ())
    stated = key.get("alg")
    return of_its_type if stated is None else tuple(each for each in of_its_type if each == stated)


def _named(keys: list[PyJWK], kid: object) -> list[PyJWK]:
    return [key for key in keys if key.key_id == kid] if kid else []


def _candidates(keys: list[PyJWK], header: Mapping[str, Any]) -> list[PyJWK]:
    kid = header.get("kid")
    named = _named(keys, kid)
    possible = named or [key for key in keys if not (kid and key.key_id)]
    candidates = [key for key in possible if key.algorithm_name == header.get("alg")]
    if named and not candidates:
        raise TokenRefusedError(Reason.WRONG_ALGORITHM)
    return candidates[:_MAX_CANDIDATES]
