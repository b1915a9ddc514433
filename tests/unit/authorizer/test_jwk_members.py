"""Selection of JWKS keys for a token; optional members of a JWK and of the token's header may be absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jwt.algorithms import RSAAlgorithm

from authorizer.jwks import JwksKeys
from tests.support.issuer import SigningKey

if TYPE_CHECKING:
    from tests.support.issuer import KeySetServer
    from tests.unit.authorizer.conftest import Keys, Verify

OPTIONAL = ("kid", "alg", "use", "key_ops")
OTHER_TYPES = ("crv", "n", "e", "x", "y", "k", "d", "p", "q", "dp", "dq", "qi", "oth", "x5c", "x5t", "x5u")
SYMMETRIC = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}


def without(key: SigningKey, *names: str) -> dict[str, Any]:
    """Return the key's JWK without some members."""
    return {name: value for name, value in key.jwk.items() if name not in names}


@pytest.mark.parametrize("header", [{"kid": ...}, {"kid": ""}, {}, {"kid": "another"}], ids=str)
@pytest.mark.parametrize("kid", [{}, {"kid": None}, {"kid": ""}], ids=str)
def test_key_without_kid_verifies_any_kid(
    header: dict[str, Any], kid: dict[str, Any], server: KeySetServer, keys: Keys, verify: Verify
) -> None:
    """The only key has no kid; the token has one, another or none."""
    server.keys = [without(keys["RS256"], "kid") | kid]

    assert verify("RS256", **header) == "ok"
    assert verify("foreign", **header) == "bad_signature"


@pytest.mark.parametrize("members", [{}, dict.fromkeys(OPTIONAL)], ids=["absent", "null"])
@pytest.mark.parametrize("name", ["RS256", "ES256", "ES384", "ES512", "EdDSA", "Ed448"])
def test_optional_jwk_members_may_be_absent(
    name: str, members: dict[str, None], server: KeySetServer, keys: Keys, verify: Verify
) -> None:
    """Optional members may be absent, or null as some issuers write them."""
    server.keys = [without(keys[name], *OPTIONAL) | members]

    assert verify(name) == "ok"


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_null_members_of_other_key_types_are_ignored(
    name: str, server: KeySetServer, keys: Keys, verify: Verify
) -> None:
    """Serializers with one class for all key types write absent members as null."""
    server.keys = [dict.fromkeys(OTHER_TYPES) | keys[name].jwk]

    assert verify(name) == "ok"


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_an_rsa_key_without_alg_verifies_each_rsa_alg(
    algorithm: str, server: KeySetServer, keys: Keys, verify: Verify
) -> None:
    """Entra ID publishes such keys."""
    server.keys = [without(keys["RS256"], "alg")]

    assert verify(SigningKey("RS256", algorithm, keys["RS256"].private)) == "ok"


def test_a_key_never_verifies_an_alg_of_another_type(server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """A key without kid and alg verifies for its own type and curve only."""
    server.keys = [without(keys["RS256"], "alg", "kid"), without(keys["ES256"], "alg", "kid")]

    assert [verify(name) for name in ("ES256", "ES384", "EdDSA")] == ["ok", "unknown_key", "unknown_key"]
    assert verify(SigningKey("RS256", "HS256", b"x" * 32)) == "wrong_algorithm"


def test_jwks_algorithms_are_asymmetric() -> None:
    """JWKS mode accepts these algorithms only."""
    signatures = {f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512)}
    assert set(JwksKeys.algorithms) == signatures | {"EdDSA"}


def test_a_key_with_alg_verifies_that_algorithm_only(server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """The issuer limits the key to one algorithm."""
    server.keys = [without(keys["RS256"], "kid")]

    assert [verify("PS256"), verify("RS256")] == ["unknown_key", "ok"]


def test_a_token_without_kid_is_tried_by_every_key(server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """The keys have kids, and the token has none."""
    server.keys = [keys[name].jwk for name in ("foreign", "short", "ES256", "RS256")]

    assert [verify(name, kid=...) for name in ("RS256", "ES256", "ES384")] == ["ok", "ok", "unknown_key"]


@pytest.mark.parametrize("order", [1, -1])
def test_keys_with_the_same_kid_are_all_tried(order: int, server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """Keys with one kid may differ in type, or be an old and a new key."""
    names = ["RS256", "foreign", "ES256"]
    server.keys = [keys[name].jwk | {"kid": "same"} for name in names[::order]]

    assert [verify(name, kid="same") for name in names] == ["ok"] * 3
    assert verify("ES384", kid="same") == "wrong_algorithm"
    assert len(server.fetches) == 1


def test_known_kid_excludes_other_keys(server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """A signature of another key is wrong, even if that key has no kid."""
    server.keys = [keys["RS256"].jwk, without(keys["foreign"], "kid")]

    assert [verify("foreign", kid="RS256"), verify("foreign", kid="other")] == ["bad_signature", "ok"]


def test_unknown_kid_excludes_keys_with_other_kids(server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """Only a key without a kid may have signed such a token."""
    server.keys = [keys["RS256"].jwk]

    assert verify(kid="other") == "unknown_key"


@pytest.mark.parametrize(("decoys", "outcome"), [(15, "ok"), (16, "bad_signature")])
def test_at_most_sixteen_keys_are_tried_for_one_token(
    decoys: int, outcome: str, server: KeySetServer, keys: Keys, verify: Verify
) -> None:
    """The limit bounds the signature verifications per token."""
    server.keys = [without(keys["foreign"], "kid")] * decoys + [keys["RS256"].jwk]

    assert verify(kid=...) == outcome


@pytest.mark.parametrize(
    "malformed",
    [
        *({}, {"alg": {}}, {"kty": None}, {"kty": {"RSA": 1}}, {"kid": 1, "kty": "RSA"}, 17, True, None, "key", []),
        *({"kty": "RSA"}, {"kty": "RSA", "n": "!!", "e": "AQAB"}, {"kty": "RSA", "n": "AQAB", "e": ""}),
        *({"kty": "RSA", "n": None, "e": None}, {"kty": "EC"}, {"kty": "EC", "crv": ["P-256"]}),
        *({"kty": "EC", "crv": "P-256"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        *({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}, {"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        *({"kty": "OKP", "crv": "X25519", "x": "AA"}, {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"}),
        {"kty": "oct", "k": "AAAA"},
    ],
    ids=str,
)
def test_malformed_jwk_skipped(malformed: Any, server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """Keys of unknown types and malformed keys are skipped."""
    server.keys = [malformed, without(keys["RS256"], "kid", "alg"), malformed]

    assert verify(kid=...) == "ok"


@pytest.mark.parametrize(
    "changes",
    [
        *({"use": "enc"}, {"use": ["sig"]}, {"key_ops": []}, {"key_ops": ["encrypt"]}, {"key_ops": "verify"}),
        *({"alg": "HS256"}, {"alg": "none"}, {"alg": "RSA-OAEP"}, {"alg": ""}, {"alg": ["RS256"]}, {"alg": "ES256"}),
        *({"kid": 1}, {"kid": ["RS256"]}, {"kty": ["RSA"]}, {"kty": "unknown"}, {"n": 1}, {"n": "AA", "e": "AA"}),
        *(SYMMETRIC | {"alg": "HS256"}, SYMMETRIC | {"alg": None}, {"kty": "oct", "alg": None}, {"d": "AQAB"}),
    ],
    ids=str,
)
def test_unsuitable_keys_are_skipped(changes: dict[str, Any], server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """Keys of other uses or algorithms are skipped; the other key verifies."""
    server.keys = [keys["RS256"].jwk | changes, keys["ES256"].jwk]

    assert [verify("RS256"), verify("ES256")] == ["unknown_key", "ok"]


def test_published_private_key_is_skipped(server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """A JWK with private members never verifies."""
    private = RSAAlgorithm.to_jwk(keys["RS256"].private, as_dict=True)
    server.keys = [private | {"kid": "RS256", "key_ops": ["sign", "verify"]}, keys["ES256"].jwk]

    assert verify("RS256") == "unknown_key"


@pytest.mark.parametrize("operations", [["verify"], ["sign", "verify"]])
def test_key_ops_without_use_and_alg(operations: list[str], server: KeySetServer, keys: Keys, verify: Verify) -> None:
    """A key with `key_ops` verifies without `use` and `alg`."""
    server.keys = [without(keys["RS256"], "use", "alg") | {"key_ops": operations}]

    assert verify("RS256") == "ok"


@pytest.mark.parametrize(
    "extra", [{"x5c": ["!"]}, {"x5t": 1}, {"x5u": "http://127.0.0.1:9/"}, {"ext": True}, {"exp": 0}], ids=str
)
def test_other_members_of_a_key_are_ignored(
    extra: dict[str, Any], server: KeySetServer, keys: Keys, verify: Verify
) -> None:
    """Certificates are not used, and no URL is fetched."""
    server.keys = [keys["RS256"].jwk | extra]

    assert verify("RS256") == "ok"
