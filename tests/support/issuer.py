"""A fake identity provider: keys, valid and malicious tokens, and a JWKS served over HTTP."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.http_server import HttpRequest, HttpServer

if TYPE_CHECKING:
    from authorizer.token_verifier import KeySource

ISSUER = "https://issuer.example/"
AUDIENCE = "service-keys"
SECRET = "made-up-secret-shared-with-the-issuer"
PARAMETER = "/made-up/jwt-secret"
SUBJECT = "subject-ada-lovelace"


@dataclass(frozen=True)
class SigningKey:
    """A private key with its public JWK; or a secret, which is its own JWK."""

    kid: str
    algorithm: str
    private: Any

    @property
    def jwk(self) -> dict[str, Any]:
        if self.algorithm[:2] == "HS":
            return {**HMACAlgorithm.to_jwk(self.private, as_dict=True), "kid": self.kid, "alg": self.algorithm}
        public = self.private.public_key()
        if self.algorithm[:2] in {"RS", "PS"}:
            members = RSAAlgorithm.to_jwk(public, as_dict=True)
        elif self.algorithm[:2] == "ES":
            members = ECAlgorithm.to_jwk(public, as_dict=True)
        else:
            members = OKPAlgorithm.to_jwk(public, as_dict=True)
        return {**members, "kid": self.kid, "alg": self.algorithm, "use": "sig"}


def make_keys() -> dict[str, SigningKey]:
    """Create one key for each purpose, by name; slow, so call it once per session."""
    shared_rsa = rsa.generate_private_key(65537, 2048)
    keys = [
        *(SigningKey(name, name, shared_rsa) for name in ("RS256", "RS512", "PS256")),
        SigningKey("ES256", "ES256", ec.generate_private_key(ec.SECP256R1())),
        SigningKey("ES384", "ES384", ec.generate_private_key(ec.SECP384R1())),
        SigningKey("ES512", "ES512", ec.generate_private_key(ec.SECP521R1())),
        SigningKey("EdDSA", "EdDSA", ed25519.Ed25519PrivateKey.generate()),
        SigningKey("Ed448", "EdDSA", ed448.Ed448PrivateKey.generate()),
        SigningKey("ES256K", "ES256K", ec.generate_private_key(ec.SECP256K1())),
        SigningKey("foreign", "RS256", rsa.generate_private_key(65537, 2048)),
        SigningKey("short", "RS256", rsa.generate_private_key(65537, 1024)),
    ]
    return {key.kid: key for key in keys}


@dataclass(frozen=True)
class Signers:
    """Signing keys of a test: ``own`` of the issuer, ``foreign`` of the same type but unknown to it, and ``all``."""

    own: SigningKey
    foreign: SigningKey
    all: dict[str, SigningKey]


def claims(**changes: Any) -> dict[str, Any]:
    """Return an administrator's claims with changes; ``...`` removes a claim."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": SUBJECT, "role": "admin", "iat": now, "exp": now + 600}
    return {name: value for name, value in {**good, **changes}.items() if value is not ...}


def token(key: SigningKey, payload: object = None, **header: Any) -> str:
    """Return a token signed by the key; the payload is the claims, or their bytes."""
    full_header = {"alg": key.algorithm, "typ": "JWT", "kid": key.kid, **header}
    body = payload if isinstance(payload, bytes) else json.dumps(claims() if payload is None else payload).encode()
    head = json.dumps({name: value for name, value in full_header.items() if value is not ...}).encode()
    signed = f"{encode(head)}.{encode(body)}"
    return f"{signed}.{encode(jwt.get_algorithm_by_name(key.algorithm).sign(signed.encode(), key.private))}"


def first_key(keys: KeySource, kid: str = "RS256", alg: str = "RS256") -> Any:
    """Return the first candidate key for a token with this header."""
    return next(keys.keys_for({"kid": kid, "alg": alg}))


def encode(data: bytes) -> str:
    """Encode as base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class KeySetServer(HttpServer):
    """Serves a JWKS, records the fetches, and injects faults.

    Attributes:
        keys: JWKs to serve.
        body: Body in place of the JWKS, if set.
        status: Status of the responses.
        headers: Headers of the responses.
        fetches: Paths of the requests.
        dripping: True to send a body byte by byte without end.
    """

    def __init__(self, *keys: dict[str, Any]) -> None:
        super().__init__(self._respond)
        self.keys: list[Any] = list(keys)
        self.body: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.fetches: list[str] = []
        self.dripping = False

    @property
    def url(self) -> str:
        return f"{super().url}/.well-known/jwks.json"

    def _respond(self, request: HttpRequest) -> None:
        self.fetches.append(request.path)
        self.released.wait()
        body = json.dumps({"keys": self.keys}).encode() if self.body is None else self.body
        request.send(self.status, b"" if self.dripping else body, self.headers)
        # While a client waits, the event is not set: wait() paces the bytes and ends with the server.
        while self.dripping and not self.ended.wait(0.01):
            request.wfile.write(b"x")
