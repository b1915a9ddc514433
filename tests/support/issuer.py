"""A fake identity provider: keys, valid and malicious tokens, and a JWKS served over HTTP."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

if TYPE_CHECKING:
    from types import TracebackType

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
    p256 = ec.generate_private_key(ec.SECP256R1())
    keys = [
        SigningKey("RS256", "RS256", shared_rsa),
        SigningKey("RS512", "RS512", shared_rsa),
        SigningKey("PS256", "PS256", shared_rsa),
        SigningKey("ES256", "ES256", p256),
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


@dataclass
class KeySetServer:
    """Serves a JWKS on a loopback port, records the fetches, and injects faults.

    Attributes:
        keys: JWKs to serve.
        body: Body in place of the JWKS, if set.
        status: Status of the responses.
        headers: Headers of the responses.
        fetches: Paths of the requests.
        released: While cleared, the server accepts requests but does not respond.
        dripping: Part that it sends byte by byte without end after the rest: ``headers`` or ``body``.
        hung_up: Set when a client left before the end of the response.
        ended: Set when the server ends.
    """

    keys: list[Any] = field(default_factory=list)
    body: bytes | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fetches: list[str] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    dripping: str = ""
    hung_up: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.released.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/.well-known/jwks.json"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self.ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, state: KeySetServer, *args: Any) -> None:
        self.state = state
        super().__init__(*args)

    def do_GET(self) -> None:
        self.state.fetches.append(self.path)
        self.state.released.wait()
        body = json.dumps({"keys": self.state.keys}).encode() if self.state.body is None else self.state.body
        try:
            self.send_response(self.state.status)
            if self.state.dripping == "headers":
                self.flush_headers()
                self._drip()
            for name, value in self.state.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.state.dripping == "body":
                self._drip()
            self.wfile.write(body)
        except ConnectionError:
            self.state.hung_up.set()  # the client gave up after its deadline or size limit

    def _drip(self) -> None:
        # While a client waits, the event is not set: wait() paces the bytes and ends with the server.
        while not self.state.ended.wait(0.01):
            self.wfile.write(b"x")

    def log_message(self, *_args: object) -> None:
        """Suppress the log."""
