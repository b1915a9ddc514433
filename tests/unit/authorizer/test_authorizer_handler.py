"""What API Gateway gets for a token: a policy, 401 (Unauthorized) or 500 (any other exception)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authorizer_errors import ConfigurationError, KeySetUnavailableError
from tests.unit.authorizer.conftest import STAGE_ARN, Authorize, load_app
from tests.unit.authorizer.issuer import AUDIENCE, ISSUER, SUBJECT, KeySetServer, SigningKey, claims, encode, token

if TYPE_CHECKING:
    from collections.abc import Callable

Keys = dict[str, SigningKey]


@pytest.mark.parametrize("name", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed448"])
def test_an_administrators_token_is_allowed_for_the_stage_asked_about(
    name: str, keys: Keys, authorize: Authorize
) -> None:
    assert authorize(f"Bearer {token(keys[name])}") == {
        "principalId": SUBJECT,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": STAGE_ARN}],
        },
        "context": {"sub": SUBJECT},
    }


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(lambda: claims(aud=["other", AUDIENCE]), id="one of several audiences"),
        pytest.param(lambda: claims(aud=..., client_id=AUDIENCE), id="client_id where there is no aud"),
        pytest.param(lambda: claims(exp=int(time.time()) - 2), id="expired within the leeway"),
        pytest.param(lambda: claims(nbf=int(time.time()) + 5), id="early within the leeway"),
        pytest.param(lambda: claims(exp=time.time() + 600.5, iat=time.time()), id="times with a fraction"),
        pytest.param(lambda: claims(iat=...), id="no iat"),
        pytest.param(lambda: claims(sub="auth0|Ada Lovelace é" + "x" * 235), id="sub of 255 characters"),
    ],
)
def test_the_less_usual_valid_tokens_are_allowed(
    payload: Callable[[], object], keys: Keys, authorize: Authorize
) -> None:
    answer = authorize(f"Bearer {token(keys['RS256'], payload())}")
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_is_case_insensitive(scheme: str, keys: Keys, authorize: Authorize) -> None:
    assert authorize(scheme + token(keys["RS256"]))["principalId"] == SUBJECT


@pytest.mark.parametrize("hint", ["jku", "x5u"])
def test_a_url_in_a_good_tokens_header_is_never_visited(
    hint: str, keys: Keys, authorize: Authorize, server: KeySetServer
) -> None:
    with KeySetServer(keys=[keys["foreign"].jwk]) as foreign:
        authorize(f"Bearer {token(keys['RS256'], **{hint: foreign.url})}")
        assert foreign.fetches == []
    assert server.fetches == ["/.well-known/jwks.json"]


@pytest.mark.parametrize(
    "changes",
    [
        {"role": ...},
        {"role": None},
        {"role": ""},
        {"role": "user"},
        {"role": "Admin"},
        {"role": " admin"},
        {"role": "user admin"},
        {"role": "user,admin"},
        {"role": "administrator"},
        {"role": True},
        {"role": 1},
        {"role": []},
        {"role": ["user"]},
        {"role": [["admin"]]},
        {"role": [True, 1, None]},
        {"role": {"admin": True}},
        {"role": ..., "Role": "admin"},
        {"role": ..., "roles": ["admin"], "sub": "admin"},
    ],
    ids=str,
)
def test_a_good_token_of_a_non_administrator_is_denied(
    changes: dict[str, Any], keys: Keys, authorize: Authorize, caplog: pytest.LogCaptureFixture
) -> None:
    answer = authorize(f"Bearer {token(keys['RS256'], claims(**changes))}")

    assert answer["policyDocument"]["Statement"] == [
        {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": STAGE_ARN}
    ]
    logged = [(record.levelname, vars(record)["reason"], vars(record)["sub"]) for record in caplog.records]
    assert logged == [("INFO", "not_administrator", changes.get("sub", SUBJECT))]


def unsigned(header: object, payload: object = None, signature: bytes = b"signature") -> str:
    body = json.dumps(claims() if payload is None else payload).encode()
    return f"{encode(json.dumps(header).encode())}.{encode(body)}.{encode(signature)}"


def hmac_by_public_key(keys: Keys, algorithm: str) -> str:
    """The classic: HMAC, with the issuer's public key for its secret."""
    pem = keys["RS256"].private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = unsigned({"alg": algorithm, "typ": "JWT", "kid": "RS256"}).rpartition(".")[0]
    return f"{signed}.{encode(hmac.new(pem, signed.encode(), getattr(hashlib, f'sha{algorithm[2:]}')).digest())}"


def raw(keys: Keys, text: str) -> str:
    """A token with a good signature over claims written by hand; ``#`` stands for a good start."""
    start = f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{SUBJECT}","role":"admin"'
    return token(keys["RS256"], text.replace("#", start).encode())


def good(keys: Keys, **changes: Any) -> str:
    return token(keys["RS256"], claims(**changes))


def tampered(keys: Keys) -> str:
    head, _, signature = token(keys["RS256"], claims(role="user")).split(".")
    return ".".join([head, encode(json.dumps(claims()).encode()), signature])


def cut(whole: str) -> str:
    """The token with the last byte of its signature gone."""
    signed, _, signature = whole.rpartition(".")
    return f"{signed}.{encode(base64.urlsafe_b64decode(signature + '==')[:-1])}"


def now() -> int:
    return int(time.time())


# By name: the token (made from the keys), and the reason that the log gives.
HOSTILE: dict[str, tuple[Callable[[Keys], str], str]] = {
    # Signatures
    "HS256 by the public key": (lambda k: hmac_by_public_key(k, "HS256"), "wrong_algorithm"),
    "HS384 by the public key": (lambda k: hmac_by_public_key(k, "HS384"), "wrong_algorithm"),
    "HS512 by the public key": (lambda k: hmac_by_public_key(k, "HS512"), "wrong_algorithm"),
    "alg none": (lambda _: unsigned({"alg": "none", "kid": "RS256"}), "wrong_algorithm"),
    "alg None": (lambda _: unsigned({"alg": "None", "kid": "RS256"}), "wrong_algorithm"),
    "alg NONE": (lambda _: unsigned({"alg": "NONE", "kid": "RS256"}), "wrong_algorithm"),
    "alg nOnE": (lambda _: unsigned({"alg": "nOnE", "kid": "RS256"}), "wrong_algorithm"),
    "alg none without signature": (lambda _: unsigned({"alg": "none", "kid": "RS256"}, signature=b""), "malformed"),
    "no alg": (lambda k: token(k["RS256"], alg=...), "wrong_algorithm"),
    "alg null": (lambda k: token(k["RS256"], alg=None), "wrong_algorithm"),
    "alg a list": (lambda k: token(k["RS256"], alg=["RS256"]), "wrong_algorithm"),
    "alg an object": (lambda k: token(k["RS256"], alg={"RS256": 1}), "wrong_algorithm"),
    "alg in lower case": (lambda k: token(k["RS256"], alg="rs256"), "wrong_algorithm"),
    "alg of another key": (lambda k: token(k["RS256"], alg="ES256"), "wrong_algorithm"),
    "alg that the key does not have": (lambda k: token(k["RS512"], kid="RS256"), "wrong_algorithm"),
    "curve that is not accepted": (lambda k: token(k["ES256K"]), "unknown_key"),
    "RSA key that is too short": (lambda k: token(k["short"]), "unusable_key"),
    "foreign key under a known kid": (lambda k: token(k["foreign"], kid="RS256"), "bad_signature"),
    "foreign key under its own kid": (lambda k: token(k["foreign"]), "unknown_key"),
    "foreign key embedded as jwk": (
        lambda k: token(k["foreign"], kid="RS256", jwk=k["foreign"].jwk),
        "bad_signature",
    ),
    "foreign key embedded, no kid": (lambda k: token(k["foreign"], kid=..., jwk=k["foreign"].jwk), "missing_kid"),
    "jku": (lambda k: token(k["foreign"], jku="http://127.0.0.1:9/jwks.json"), "unknown_key"),
    "x5u": (lambda k: token(k["foreign"], x5u="http://127.0.0.1:9/cert.pem"), "unknown_key"),
    "x5c": (lambda k: token(k["foreign"], kid="RS256", x5c=["MIIB"]), "bad_signature"),
    "claims changed after signing": (tampered, "bad_signature"),
    "signature cut": (lambda k: cut(good(k)), "bad_signature"),
    "signature of another length": (lambda k: cut(token(k["ES256"])), "bad_signature"),
    "signature of zeros": (
        lambda _: unsigned({"alg": "ES256", "kid": "ES256"}, signature=bytes(64)),
        "bad_signature",
    ),
    "Ed25519 signature of another length": (lambda k: cut(token(k["EdDSA"])), "bad_signature"),
    # Headers
    "no kid": (lambda k: token(k["RS256"], kid=...), "missing_kid"),
    "kid empty": (lambda k: token(k["RS256"], kid=""), "missing_kid"),
    "kid null": (lambda k: token(k["RS256"], kid=None), "malformed"),
    "kid a list": (lambda k: token(k["RS256"], kid=["RS256"]), "malformed"),
    "kid an object": (lambda k: token(k["RS256"], kid={"RS256": 1}), "malformed"),
    "kid a number": (lambda k: token(k["RS256"], kid=0), "malformed"),
    "kid a path": (lambda k: token(k["foreign"], kid="../../../../dev/null"), "unknown_key"),
    "kid an injection": (lambda k: token(k["foreign"], kid="' OR 1=1 --"), "unknown_key"),
    "kid a surrogate": (lambda k: token(k["foreign"], kid="\ud800"), "unknown_key"),
    "unknown crit": (lambda k: token(k["RS256"], crit=["exp"], exp=1), "malformed"),
    "crit that PyJWT knows": (lambda k: token(k["RS256"], crit=["b64"], b64=True), "critical_extension"),
    "crit empty": (lambda k: token(k["RS256"], crit=[]), "malformed"),
    "crit a string": (lambda k: token(k["RS256"], crit="b64"), "malformed"),
    "unencoded payload": (lambda k: token(k["RS256"], b64=False), "malformed"),
    "header not JSON": (lambda _: f"{encode(b'{')}.e30.AA", "malformed"),
    "header not an object": (lambda _: f"{encode(b'[]')}.e30.AA", "malformed"),
    "header not UTF-8": (lambda _: f"{encode(bytes([123, 255, 254, 125]))}.e30.AA", "malformed"),
    "header nested too deep": (lambda _: f"{encode(b'[' * 6000)}.e30.AA", "malformed"),
    "header with a huge number": (lambda _: f"{encode(b'1' * 6000)}.e30.AA", "malformed"),
    "not base64": (lambda _: "a.b.c", "malformed"),
    # Times
    "expired": (lambda k: good(k, exp=now() - 60), "expired"),
    "expires at the epoch": (lambda k: good(k, exp=0), "expired"),
    "expired before the epoch": (lambda k: good(k, exp=-1), "expired"),
    "no exp": (lambda k: good(k, exp=...), "missing_claim"),
    "exp null": (lambda k: good(k, exp=None), "missing_claim"),
    "exp true": (lambda k: good(k, exp=True), "expired"),
    "exp a string": (lambda k: good(k, exp=str(now() + 600)), "bad_claim"),
    "exp not a number": (lambda k: good(k, exp="tomorrow"), "malformed"),
    "exp a list": (lambda k: good(k, exp=[now() + 600]), "malformed"),
    "exp an object": (lambda k: good(k, exp={}), "malformed"),
    "exp a float in the past": (lambda k: good(k, exp=now() - 60.5), "expired"),
    "exp NaN": (lambda k: raw(k, '#,"exp":NaN}'), "malformed"),
    "exp Infinity": (lambda k: raw(k, '#,"exp":Infinity}'), "malformed"),
    "exp 1e999": (lambda k: raw(k, '#,"exp":1e999}'), "malformed"),
    "exp in milliseconds": (lambda k: good(k, exp=(now() + 600) * 1000), "bad_claim"),
    "exp of 400 digits": (lambda k: good(k, exp=10**400), "bad_claim"),
    "exp of 5000 digits": (lambda k: raw(k, f'#,"exp":{"9" * 5000}}}'), "malformed"),
    "not yet valid": (lambda k: good(k, nbf=now() + 60), "not_yet_valid"),
    "nbf null": (lambda k: good(k, nbf=None), "malformed"),
    "nbf true": (lambda k: good(k, nbf=True), "bad_claim"),
    "nbf a string": (lambda k: good(k, nbf="1"), "bad_claim"),
    "nbf negative": (lambda k: good(k, nbf=-1), "bad_claim"),
    "issued in the future": (lambda k: good(k, iat=now() + 60), "not_yet_valid"),
    "iat a string": (lambda k: good(k, iat="today"), "bad_claim"),
    "iat false": (lambda k: good(k, iat=False), "bad_claim"),
    # Issuer, audience, subject
    "foreign issuer": (lambda k: good(k, iss="https://evil.example/"), "wrong_issuer"),
    "issuer without its slash": (lambda k: good(k, iss=ISSUER.rstrip("/")), "wrong_issuer"),
    "issuer in another case": (lambda k: good(k, iss=ISSUER.upper()), "wrong_issuer"),
    "issuer a list": (lambda k: good(k, iss=[ISSUER]), "wrong_issuer"),
    "no issuer": (lambda k: good(k, iss=...), "missing_claim"),
    "foreign audience": (lambda k: good(k, aud="other"), "wrong_audience"),
    "foreign audience, right client_id": (lambda k: good(k, aud="other", client_id=AUDIENCE), "wrong_audience"),
    "aud null, right client_id": (lambda k: good(k, aud=None, client_id=AUDIENCE), "wrong_audience"),
    "aud empty, right client_id": (lambda k: good(k, aud="", client_id=AUDIENCE), "wrong_audience"),
    "aud an empty list, right client_id": (lambda k: good(k, aud=[], client_id=AUDIENCE), "wrong_audience"),
    "aud a longer string": (lambda k: good(k, aud=AUDIENCE + "-staging"), "wrong_audience"),
    "aud an object": (lambda k: good(k, aud={AUDIENCE: True}), "wrong_audience"),
    "aud nested lists": (lambda k: good(k, aud=[[AUDIENCE]]), "wrong_audience"),
    "aud a number": (lambda k: good(k, aud=1), "wrong_audience"),
    "no aud": (lambda k: good(k, aud=...), "wrong_audience"),
    "no aud, foreign client_id": (lambda k: good(k, aud=..., client_id="other"), "wrong_audience"),
    "no aud, client_id a list": (lambda k: good(k, aud=..., client_id=[AUDIENCE]), "wrong_audience"),
    "no sub": (lambda k: good(k, sub=...), "missing_claim"),
    "sub null": (lambda k: good(k, sub=None), "missing_claim"),
    "sub a number": (lambda k: good(k, sub=7), "bad_claim"),
    "sub a list": (lambda k: good(k, sub=["ada"]), "bad_claim"),
    "sub empty": (lambda k: good(k, sub=""), "bad_claim"),
    "sub blank": (lambda k: good(k, sub="  "), "bad_claim"),
    "sub of 256 characters": (lambda k: good(k, sub="x" * 256), "bad_claim"),
    "sub of two lines": (lambda k: good(k, sub="ada\nbob"), "bad_claim"),
    "sub with a direction override": (lambda k: good(k, sub="ada\u202ebob"), "bad_claim"),
    "sub a surrogate": (lambda k: good(k, sub="\ud800"), "bad_claim"),
    "jti a number": (lambda k: good(k, jti=1), "bad_claim"),
    # Payloads
    "claims not JSON": (lambda k: raw(k, "#"), "malformed"),
    "claims not UTF-8": (lambda k: token(k["RS256"], b'{"\xff\xfe"}'), "malformed"),
    "claims a list": (lambda k: raw(k, "[#}]"), "malformed"),
    "claims a string": (lambda k: raw(k, '"admin"'), "malformed"),
    "no claims": (lambda k: token(k["RS256"], {}), "missing_claim"),
    "a claim twice": (lambda k: raw(k, '#,"exp":99999999999,"role":"user"}'), "malformed"),
    "a member of a claim twice": (lambda k: raw(k, '#,"exp":99999999999,"x":{"y":1,"y":2}}'), "malformed"),
    "claims nested too deep": (lambda k: raw(k, '#,"x":' + "[" * 5000), "malformed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_is_refused_and_neither_it_nor_its_claims_reach_the_log(
    name: str, keys: Keys, authorize: Authorize, caplog: pytest.LogCaptureFixture
) -> None:
    make, reason = HOSTILE[name]
    hostile = make(keys)

    with pytest.raises(Exception, match=r"^Unauthorized$") as refusal:
        authorize(f"Bearer {hostile}")

    assert refusal.value.__suppress_context__  # what the runtime logs of the exception leads no further
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("INFO", reason)
    assert not [part for part in [*hostile.split("."), SUBJECT] if len(part) > 8 and part in repr(vars(record))]


@pytest.mark.parametrize(
    "header",
    [
        "{}",
        "",
        "Bearer",
        "Bearer ",
        "Basic {}",
        "Token {}",
        "Bearer: {}",
        "Bearer{}",
        "Bearer\t{}",
        " Bearer {}",
        "Bearer {} ",
        "Bearer {}\n",
        "Bearer {},",
        "Bearer {} {}",
        "Bearer {}, Bearer {}",
        "Bearer Bearer {}",
        "Bearer {}=",
        "Bearer {}.{}",
        "Bearer {}\u017f",  # folds to s
        "Bearer {}\udcff",
        "Bearer a.b",
        "Bearer ..",
    ],
)
def test_anything_but_one_bearer_token_is_refused(header: str, keys: Keys, authorize: Authorize) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(header.replace("{}", token(keys["RS256"])))


@pytest.mark.parametrize("header", [None, 1, ["Bearer"], {}])
def test_a_header_that_is_not_text_is_refused(header: object, authorize: Authorize) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(header)


def test_a_token_over_16_kib_is_refused_before_it_is_read(
    keys: Keys, authorize: Authorize, server: KeySetServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(f"Bearer {token(keys['RS256'], claims(padding='x' * 16 * 1024))}")
    assert [vars(record)["reason"] for record in caplog.records] == ["too_long"]
    assert server.fetches == []


def test_a_key_set_out_of_reach_is_not_the_clients_fault(
    keys: Keys, authorize: Authorize, server: KeySetServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.status = 503
    with pytest.raises(KeySetUnavailableError, match="503"):
        authorize(f"Bearer {token(keys['RS256'])}")
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("ERROR", "key_set_unavailable")
    assert "JWKS_URL" in record.getMessage()
    assert token(keys["RS256"]) not in caplog.text


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE", "JWKS_URL", "ADMIN_CLAIM_RULE"])
def test_a_missing_variable_fails_the_cold_start_by_name(name: str, environment: pytest.MonkeyPatch) -> None:
    environment.delenv(name)
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        load_app()
