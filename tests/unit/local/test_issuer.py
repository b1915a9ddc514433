from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm

from local.issuer import AUDIENCE, Issuer

if TYPE_CHECKING:
    from pathlib import Path


def _claims(issuer: Issuer, token: str) -> dict[str, Any]:
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=issuer.url)


def test_token_verifies_with_the_jwks() -> None:
    """By default a token is an administrator's with a name, for 12 hours; arguments set or omit claims."""
    issuer = Issuer.generate()

    default, given = _claims(issuer, issuer.token()), _claims(issuer, issuer.token("ada", None, hours=1, scope="read"))

    assert (default["sub"], default["role"], default["exp"] - default["iat"]) == ("local-admin", "admin", 12 * 3600)
    assert (given["sub"], given["scope"], given["exp"] - given["iat"]) == ("ada", "read", 3600)
    assert (default["email"], given["email"]) == ("local-admin@example.com", "ada@example.com")
    assert "role" not in given
    with pytest.raises(jwt.ExpiredSignatureError):
        _claims(issuer, issuer.token(hours=-1))


def test_jwks_has_no_private_members() -> None:
    """The JWKS has the public members of a 2048-bit RSA key only."""
    (key,) = Issuer.generate().jwks()["keys"]

    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert RSAAlgorithm.from_jwk(key).key_size == 2048


def test_signing_key_file_is_created_once(tmp_path: Path) -> None:
    """Concurrent loads create one file of mode 0600 and leave no temporary file."""
    path = tmp_path / "state" / "issuer.pem"

    with ThreadPoolExecutor(4) as threads:
        issuers = list(threads.map(Issuer.load, [path] * 4))

    assert len({issuer.kid for issuer in [*issuers, Issuer.load(path)]}) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
