"""Who signs the tokens of a local run: RS256, under a key that only this machine has."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

# Whatever the port: a token made before the port was chosen stays good.
ISSUER = "http://127.0.0.1:8000/"
AUDIENCE = "service-keys"
JWKS_PATH = "/.well-known/jwks.json"


class Issuer:
    """Signs tokens, and publishes the key by which they are checked."""

    def __init__(self, key: RSAPrivateKey) -> None:
        self._key = key
        public: dict[str, str] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        # RFC 7638: the key's id is the hash of its required members, sorted, without white space.
        required = json.dumps({name: public[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
        digest = hashlib.sha256(required.encode()).digest()
        self.kid = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        self._jwk = {"kty": public["kty"], "n": public["n"], "e": public["e"]}

    @classmethod
    def generate(cls) -> Issuer:
        """Make one with a new key, which is kept nowhere."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    @classmethod
    def load(cls, path: Path) -> Issuer:
        """Return the one whose key lies at `path`, and make that key first where there is none."""
        if not path.exists():
            _create(path)
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            message = f"{path} holds no RSA key; delete it, and it is made anew"
            raise TypeError(message)
        return cls(key)

    def jwks(self) -> dict[str, Any]:
        """Return the JSON Web Key Set that holds the public key."""
        return {"keys": [{**self._jwk, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def token(
        self, sub: str | None = "local-admin", role: str | None = "admin", hours: float = 12, **claims: object
    ) -> str:
        """Sign a token.

        Args:
            sub: Who it is for.
            role: `admin` for an administrator's.
            hours: How long it is valid; negative for one that has expired.
            claims: Others, or others instead of these: `iss`, `aud`, `iat`, `exp`. A claim that is None is left out.
        """
        now = int(time.time())
        standard: dict[str, object] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": sub,
            "role": role,
            "iat": now,
            "exp": now + int(hours * 3600),
        }
        payload = {name: value for name, value in {**standard, **claims}.items() if value is not None}
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": self.kid})


def _create(path: Path) -> None:
    """Write a new key, for its owner's eyes. `make run` and `make token` may both try: the first one's stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # mkstemp makes it 0600. A link fails where there is something already, which a rename would replace.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
