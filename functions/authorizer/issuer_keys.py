"""The issuer's public keys, fetched from its JWKS URL."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import BaseHandler, HTTPRedirectHandler, ProxyHandler, build_opener

from jwt import PyJWK, PyJWKClient, PyJWKClientError, PyJWKSet, PyJWKSetError

from authorizer_errors import KeySetUnavailableError, TokenRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Asymmetric ones only: with a symmetric one, the public key would serve to forge.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

_LARGEST_KEY_SET_BYTES = 256 * 1024


class IssuerKeys(PyJWKClient):
    """The keys by which the issuer's tokens are verified, looked up by key id.

    PyJWT's client caches the set and bounds the refetches that unknown key ids cause. This one also bounds the size of
    the answer, leaves out every key that must not verify a token, and pauses after a failed fetch. Threads may share
    it: they also share one fetch.

    A key without ``alg`` verifies what PyJWT takes for its type: RS256, ES256/384/512 by its curve, or EdDSA.

    Attributes:
        algorithms: those that a token may be signed with.
    """

    algorithms = ALGORITHMS

    def __init__(
        self,
        url: str,
        *,
        lifespan: float = 300,
        cooldown: float = 30,
        pause_after_failure: float = 5,
        timeout: float = 3,
    ) -> None:
        """Take the URL; nothing is fetched before the first token.

        Args:
            url: of the key set; https, or http to a loopback address.
            lifespan: seconds for which a fetched set serves, an outage of the issuer included.
            cooldown: seconds after a fetch within which an unknown key id causes no other one; so a new key may be
                refused for as long.
            pause_after_failure: seconds after a failed fetch before the next one.
            timeout: seconds that the issuer may take to connect, and between two parts of its answer.
        """
        super().__init__(url, cache_keys=False, lifespan=lifespan, cooldown_duration=cooldown, timeout=timeout)
        self._pause_after_failure = pause_after_failure
        self._failed_at: float | None = None

    def key_for(self, header: Mapping[str, Any]) -> PyJWK:
        """Look up the key that a token's header names by ``kid``; whatever else it says about keys is ignored.

        Raises:
            TokenRefusedError: there is no such key (``missing_kid``, ``unknown_key``).
            KeySetUnavailableError: the set could not be fetched.
        """
        kid = header.get("kid")
        if not kid:
            raise TokenRefusedError("missing_kid")
        try:
            return self.get_signing_key(kid)
        except PyJWKClientError as error:  # what fetch_data raises is not one, so it can only be the key id
            raise TokenRefusedError("unknown_key") from error

    def fetch_data(self) -> PyJWKSet:
        """Fetch the set, for PyJWT's client, which caches it and calls this under its lock.

        Raises:
            KeySetUnavailableError: no usable set was fetched, now or within the pause.
        """
        if self._failed_at is not None and time.monotonic() - self._failed_at < self._pause_after_failure:
            message = f"{self.uri} failed less than {self._pause_after_failure:g} s ago"
            raise KeySetUnavailableError(message)
        try:
            key_set = _usable_keys(json.loads(self._download()))
        except (OSError, HTTPException, ValueError, RecursionError, PyJWKSetError) as error:
            if isinstance(error, HTTPError):
                error.close()
            self._failed_at = time.monotonic()
            message = f"{self.uri} gave no usable key set: {error!r}"
            raise KeySetUnavailableError(message) from error
        self._last_successful_fetch = time.monotonic()  # begins the client's cooldown
        return key_set

    def _download(self) -> bytes:
        handlers: list[BaseHandler] = [_NoRedirects()]
        if urlsplit(self.uri).scheme == "http":
            # Loopback is trusted because it does not leave the machine; through a proxy it would.
            handlers.append(ProxyHandler({}))
        opener = build_opener(*handlers)
        # Some providers refuse urllib's own name.
        opener.addheaders = [("User-Agent", "service-keys-authorizer"), ("Accept", "application/json")]
        with opener.open(self.uri, timeout=self.timeout) as response:
            body: bytes = response.read(_LARGEST_KEY_SET_BYTES + 1)
        if len(body) > _LARGEST_KEY_SET_BYTES:
            raise PyJWKSetError("The key set is larger than 256 KiB")
        return body


class _NoRedirects(HTTPRedirectHandler):
    """Makes a redirect an error: the key set comes from the configured URL or not at all."""

    def redirect_request(self, *_args: object) -> None:
        return None


def _usable_keys(document: object) -> PyJWKSet:
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise PyJWKSetError("The key set is not a JSON object with an array of keys")
    return PyJWKSet([key for key in keys if _verifies_signatures(key)])


def _verifies_signatures(key: object) -> bool:
    if not isinstance(key, dict):
        return False
    operations = key.get("key_ops", ["verify"])
    return (
        # Left out before PyJWT sees them: symmetric keys (kty oct) and private ones, on which it would fail.
        key.get("kty") in ("RSA", "EC", "OKP")
        and "d" not in key
        and bool(key.get("kid"))
        and key.get("use", "sig") == "sig"
        and key.get("alg") in (None, *ALGORITHMS)
        and isinstance(operations, list)
        and "verify" in operations
    )
