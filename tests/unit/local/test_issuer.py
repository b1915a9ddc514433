from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm

from local.issuer import AUDIENCE, ISSUER, Issuer

if TYPE_CHECKING:
    from pathlib import Path


def _claims(issuer: Issuer, token: str) -> dict[str, Any]:
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE, issuer=ISSUER)


def test_a_token_can_be_checked_with_the_published_keys() -> None:
    issuer = Issuer.generate()

    claims = _claims(issuer, issuer.token())

    assert (claims["sub"], claims["role"]) == ("local-admin", "admin")
    assert claims["exp"] - claims["iat"] == 12 * 3600


def test_a_token_says_what_it_is_told_to_say() -> None:
    issuer = Issuer.generate()

    claims = _claims(issuer, issuer.token("ada", None, hours=1, scope="read"))

    assert (claims["sub"], claims["scope"]) == ("ada", "read")
    assert "role" not in claims


def test_an_expired_token_can_be_made() -> None:
    issuer = Issuer.generate()

    with pytest.raises(jwt.ExpiredSignatureError):
        _claims(issuer, issuer.token(hours=-1))


def test_no_private_part_is_published() -> None:
    (key,) = Issuer.generate().jwks()["keys"]

    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert RSAAlgorithm.from_jwk(key).key_size == 2048


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "state" / "issuer.pem"

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(Issuer.load, [path] * 4))

    assert len({issuer.kid for issuer in [*made, Issuer.load(path)]}) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
