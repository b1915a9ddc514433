"""Selection of JWKS keys for a token; optional members of a JWK and of the token's header may be absent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from authorizer.errors import KeyUnavailableError, TokenRefusedError
from authorizer.jwks import JwksKeys
from authorizer.token_verifier import TokenVerifier
from tests.support import issuer

if TYPE_CHECKING:
    from tests.support.issuer import KeySetServer, SigningKey
    from tests.unit.authorizer.conftest import Clock

Keys = dict[str, "SigningKey"]
OPTIONAL = ("kid", "alg", "use", "key_ops")


def without(jwk: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in jwk.items() if name not in names}


def signed_as(algorithm: str, key: SigningKey, **header: Any) -> str:
    """Sign a token with a private key and any algorithm of its type."""
    return issuer.token(issuer.SigningKey(key.kid, algorithm, key.private), **header)


class Api:
    """Token verifier that uses a server's JWKS."""

    def __init__(self, server: KeySetServer, clock: Clock) -> None:
        keys = JwksKeys(server.url, clock=clock)
        self._verifier = TokenVerifier(issuer=issuer.ISSUER, audience=issuer.AUDIENCE, keys=keys)

    def answer(self, token: str) -> str:
        """Return ``ok``, ``unavailable`` or the reason of the rejection."""
        try:
            self._verifier.verify(f"Bearer {token}")
        except TokenRefusedError as refusal:
            return refusal.reason
        except KeyUnavailableError:
            return "unavailable"
        return "ok"


@pytest.fixture
def api(server: KeySetServer, clock: Clock) -> Api:
    return Api(server, clock)


@pytest.mark.parametrize("header", [{"kid": ...}, {"kid": ""}, {}, {"kid": "another"}], ids=str)
@pytest.mark.parametrize("kid", [..., None, ""])
def test_key_without_kid_verifies_any_kid(
    header: dict[str, Any], kid: object, server: KeySetServer, keys: Keys, api: Api
) -> None:
    """The only key has no kid; the token has one, another or none."""
    server.keys = [without(keys["RS256"].jwk, "kid") if kid is ... else {**keys["RS256"].jwk, "kid": kid}]

    assert api.answer(issuer.token(keys["RS256"], **header)) == "ok"
    assert api.answer(issuer.token(keys["foreign"], **header)) == "bad_signature"


@pytest.mark.parametrize("name", ["RS256", "ES256", "ES384", "ES512", "EdDSA", "Ed448"])
def test_optional_jwk_members_may_be_absent(name: str, server: KeySetServer, keys: Keys, clock: Clock) -> None:
    """Optional members may be absent, or null as some issuers write them."""
    for jwk in (without(keys[name].jwk, *OPTIONAL), {**keys[name].jwk, **dict.fromkeys(OPTIONAL)}):
        server.keys = [jwk]
        assert Api(server, clock).answer(issuer.token(keys[name])) == "ok"


@pytest.mark.parametrize("name", ["RS256", "ES256", "EdDSA"])
def test_null_members_of_other_key_types_are_ignored(name: str, server: KeySetServer, keys: Keys, api: Api) -> None:
    """Serializers with one class for all key types write absent members as null."""
    members = ("crv", "n", "e", "x", "y", "k", "d", "p", "q", "dp", "dq", "qi", "oth", "x5c", "x5t", "x5u")
    server.keys = [{**dict.fromkeys(members), **keys[name].jwk}]

    assert api.answer(issuer.token(keys[name])) == "ok"


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_an_rsa_key_without_alg_verifies_each_rsa_alg(
    algorithm: str, server: KeySetServer, keys: Keys, api: Api
) -> None:
    """Entra ID publishes such keys."""
    server.keys = [without(keys["RS256"].jwk, "alg")]

    assert api.answer(signed_as(algorithm, keys["RS256"])) == "ok"


def test_a_key_never_verifies_an_alg_of_another_type(server: KeySetServer, keys: Keys, api: Api) -> None:
    """A key without kid and alg verifies for its own type and curve only."""
    server.keys = [without(keys["RS256"].jwk, "alg", "kid"), without(keys["ES256"].jwk, "alg", "kid")]

    assert api.answer(issuer.token(keys["ES256"])) == "ok"
    assert api.answer(issuer.token(keys["ES384"])) == "unknown_key"
    assert api.answer(issuer.token(keys["EdDSA"])) == "unknown_key"
    assert api.answer(issuer.token(issuer.SigningKey("RS256", "HS256", b"x" * 32))) == "wrong_algorithm"


def test_a_key_with_alg_verifies_that_algorithm_only(server: KeySetServer, keys: Keys, api: Api) -> None:
    """The issuer limits the key to one algorithm."""
    server.keys = [without(keys["RS256"].jwk, "kid")]

    assert api.answer(signed_as("PS256", keys["RS256"])) == "unknown_key"
    assert api.answer(signed_as("RS256", keys["RS256"])) == "ok"


def test_a_token_without_kid_is_tried_by_every_key(server: KeySetServer, keys: Keys, api: Api) -> None:
    """The keys have kids, and the token has none."""
    server.keys = [keys[name].jwk for name in ("foreign", "short", "ES256", "RS256")]

    assert api.answer(issuer.token(keys["RS256"], kid=...)) == "ok"
    assert api.answer(issuer.token(keys["ES256"], kid=...)) == "ok"
    assert api.answer(issuer.token(keys["ES384"], kid=...)) == "unknown_key"


@pytest.mark.parametrize("order", [1, -1])
def test_keys_with_the_same_kid_are_all_tried(order: int, server: KeySetServer, keys: Keys, api: Api) -> None:
    """Keys with one kid may differ in type, or be an old and a new key."""
    same = [{**keys[name].jwk, "kid": "same"} for name in ("RS256", "foreign", "ES256")]
    server.keys = same[::order]

    for name in ("RS256", "foreign", "ES256"):
        assert api.answer(issuer.token(keys[name], kid="same")) == "ok"
    assert api.answer(issuer.token(keys["ES384"], kid="same")) == "wrong_algorithm"
    assert len(server.fetches) == 1


def test_known_kid_excludes_other_keys(server: KeySetServer, keys: Keys, api: Api) -> None:
    """A signature of another key is wrong, even if that key has no kid."""
    server.keys = [keys["RS256"].jwk, without(keys["foreign"].jwk, "kid")]

    assert api.answer(issuer.token(keys["foreign"], kid="RS256")) == "bad_signature"
    assert api.answer(issuer.token(keys["foreign"], kid="other")) == "ok"


def test_unknown_kid_excludes_keys_with_other_kids(server: KeySetServer, keys: Keys, api: Api) -> None:
    """Only a key without a kid may have signed such a token."""
    server.keys = [keys["RS256"].jwk]

    assert api.answer(issuer.token(keys["RS256"], kid="other")) == "unknown_key"


def test_at_most_sixteen_keys_are_tried_for_one_token(server: KeySetServer, keys: Keys, clock: Clock) -> None:
    """The limit bounds the signature verifications per token."""
    decoys = [without(keys["foreign"].jwk, "kid")] * 16
    for number, answer in ((15, "ok"), (16, "bad_signature")):
        server.keys = [*decoys[:number], keys["RS256"].jwk]
        assert Api(server, clock).answer(issuer.token(keys["RS256"], kid=...)) == answer


BROKEN: list[Any] = [
    {"kty": "RSA"},
    {"kty": "RSA", "n": "!!", "e": "AQAB"},
    {"kty": "RSA", "n": "AQAB", "e": ""},
    {"kty": "RSA", "n": None, "e": None},
    {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "EC", "crv": "P-256"},
    {"kty": "EC", "crv": ["P-256"]},
    {"kty": "EC"},
    {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
    {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
    {"kty": "OKP", "crv": "X25519", "x": "AA"},
    {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"},
    {"kty": "oct", "k": "AAAA"},
    {"kty": None},
    {"kty": {"RSA": 1}},
    {},
    {"alg": {}},
    {"kid": 1, "kty": "RSA"},
    None,
    "key",
    [],
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_malformed_jwk_skipped(broken: Any, server: KeySetServer, keys: Keys, api: Api) -> None:
    """Keys of unknown types and malformed keys are skipped."""
    server.keys = [broken, without(keys["RS256"].jwk, "kid", "alg"), broken]

    assert api.answer(issuer.token(keys["RS256"], kid=...)) == "ok"


@pytest.mark.parametrize(
    "extra", [{"x5c": ["!"]}, {"x5t": 1}, {"x5u": "http://127.0.0.1:9/"}, {"ext": True}, {"exp": 0}]
)
def test_other_members_of_a_key_are_ignored(extra: dict[str, Any], server: KeySetServer, keys: Keys, api: Api) -> None:
    """Certificates are not used, and no URL is fetched."""
    server.keys = [{**keys["RS256"].jwk, **extra}]

    assert api.answer(issuer.token(keys["RS256"])) == "ok"


def test_rotated_key_without_kid_is_fetched(server: KeySetServer, keys: Keys, api: Api, clock: Clock) -> None:
    """A wrong signature causes a refetch after 30 s: the issuer may have replaced its only key."""
    server.keys = [without(keys["RS256"].jwk, "kid")]
    assert api.answer(issuer.token(keys["RS256"])) == "ok"

    server.keys = [without(keys["foreign"].jwk, "kid")]
    clock.now += 29
    assert api.answer(issuer.token(keys["foreign"])) == "bad_signature"
    clock.now += 1
    assert api.answer(issuer.token(keys["foreign"])) == "ok"
    assert api.answer(issuer.token(keys["RS256"])) == "bad_signature"


@pytest.mark.parametrize("header", [{"kid": ...}, {"kid": "unknown"}], ids=str)
def test_invalid_tokens_cause_one_fetch_per_30_seconds(
    header: dict[str, Any], server: KeySetServer, keys: Keys, api: Api, clock: Clock
) -> None:
    """Tokens without a kid cannot cause more fetches."""
    for fetches in (1, 2, 3):
        for _ in range(20):
            assert api.answer(issuer.token(keys["foreign"], **header)) in {"bad_signature", "unknown_key"}
        assert len(server.fetches) == fetches
        clock.now += 30


def test_wrong_signature_with_known_kid_causes_no_fetch(
    server: KeySetServer, keys: Keys, api: Api, clock: Clock
) -> None:
    """A new key has a new kid, so the cached JWKS suffices."""
    for _ in range(3):
        assert api.answer(issuer.token(keys["foreign"], kid="RS256")) == "bad_signature"
        clock.now += 60
    assert len(server.fetches) == 1
