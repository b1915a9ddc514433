"""The issuer of tokens for local runs; signs with RS256 and a key that exists only on this machine."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import RSAAlgorithm

from local import LocalError
from local.run_folder import make_private

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

DEFAULT_URL = "http://127.0.0.1:8000"
"""The URL of `make run` without another port."""
AUDIENCE = "service-keys"
JWKS_PATH = "/.well-known/jwks.json"


class IssuerError(LocalError):
    """The file with the issuer's key is not usable. The message states the remedy."""


class Issuer:
    """Signs tokens and publishes the JWKS.

    Attributes:
        url: The `iss` of the tokens: the URL of the running stack, without a slash at the end.
        kid: The id of the key.
    """

    def __init__(self, key: RSAPrivateKey, url: str = DEFAULT_URL) -> None:
        self._key = key
        self.url = url
        public: dict[str, str] = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        self._jwk = {name: public[name] for name in ("kty", "n", "e")}
        self.kid = hashlib.sha256(public["n"].encode()).hexdigest()

    @classmethod
    def generate(cls) -> Issuer:
        """Create an issuer with a new key that is not stored."""
        return cls(rsa.generate_private_key(public_exponent=65537, key_size=2048))

    @classmethod
    def load(cls, path: Path) -> Issuer:
        """Return the issuer with the key in `path`; create the key if the file does not exist.

        Raises:
            IssuerError: The file is damaged or not accessible.
        """
        try:
            if not path.exists():
                _create(path)
            key = load_pem_private_key(path.read_bytes(), password=None)
        except OSError as exc:
            remedy = "Correct its permissions, or free space on its disk."
            raise IssuerError(f"{path} cannot be used: {exc.strerror}. {remedy}") from exc
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise IssuerError(f"{path} is damaged. Delete it: the next command creates another key, for other tokens.")
        return cls(key)

    def at(self, url: str) -> Issuer:
        """Return the issuer with the same key and another URL."""
        return Issuer(self._key, url)

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS with the public key."""
        return {"keys": [{**self._jwk, "kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def token(
        self, sub: str | None = "local-admin", role: str | None = "admin", hours: float = 12, **claims: object
    ) -> str:
        """Sign a token.

        Args:
            sub: The subject; also the name in `email`, which the API stores as the administrator's readable name.
            role: The role; `admin` for an administrator.
            hours: The lifetime; negative for an expired token.
            claims: Additional claims, or overrides of `iss`, `aud`, `email`, `iat` and `exp`. None omits a claim.
        """
        now = int(time.time())
        times = {"iat": now, "exp": now + int(hours * 3600)}
        identity = {"iss": self.url, "aud": AUDIENCE, "sub": sub, "email": sub and f"{sub}@example.com", "role": role}
        payload = {**identity, **times, **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": self.kid})


def _create(path: Path) -> None:
    """Write a new key, readable only by its owner. If `make run` and `make token` race, the first key remains."""
    make_private(path.parent)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # mkstemp creates the file with mode 0600. Use link, which fails if the target exists; rename would replace it.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(descriptor)
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink()
