"""Tokens that must be rejected with 401, by name: a function that creates the token, and the logged reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.issuer import (
    AUDIENCE,
    ISSUER,
    PARAMETER,
    SECRET,
    SUBJECT,
    Signers,
    SigningKey,
    claims,
    encode,
    token,
)

Case = tuple[Callable[[Signers], str], str]
Cases = dict[str, Case]

YEAR_9999 = 253_402_300_799
"""The last second of the year 9999, the latest `exp`."""
FUTURE = 9_999_999_999
URL = "http://127.0.0.1:9/"
PATH = "../../../../dev/null"
CLAIMS_START = f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{SUBJECT}","role":"admin"'
NONE = ("none", "None", "NONE", "nOnE")
ASYMMETRIC = ("RS256", "RS512", "PS256", "ES256", "EdDSA")
ENCODINGS = ("utf-16", "utf-16-le", "utf-32-be", "utf-8-sig")
FOREIGN_KIDS = (..., "", PATH, "' UNION SELECT 'x' --", "/foreign/jwt-secret", "x" * 8000)


# --- one token --------------------------------------------------------------------------------------------------------


def unsigned(header: object, signature: bytes = b"signature") -> str:
    return ".".join(encode(part) for part in (json.dumps(header).encode(), json.dumps(claims()).encode(), signature))


def hmac_by(secret: bytes, algorithm: str = "HS256", kid: str = "RS256") -> str:
    """Return a token with an HMAC by a value that an attacker may know."""
    signed = unsigned({"alg": algorithm, "typ": "JWT", "kid": kid}).rpartition(".")[0]
    return f"{signed}.{encode(hmac.new(secret, signed.encode(), getattr(hashlib, f'sha{algorithm[2:]}')).digest())}"


def public(signers: Signers, encoding: Encoding = Encoding.PEM) -> bytes:
    """Return the issuer's public key as published."""
    key = signers.all["RS256"].private.public_key()
    published: bytes = key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return published


def good(signers: Signers, **changes: Any) -> str:
    return token(signers.own, claims(**changes))


def with_client_id(aud: object, signers: Signers) -> str:
    return good(signers, aud=aud, client_id=AUDIENCE)


def tampered(signers: Signers) -> str:
    head, _, signature = good(signers, role="user").split(".")
    return ".".join([head, encode(json.dumps(claims()).encode()), signature])


def cut(whole: str) -> str:
    """Return the token without the last byte of its signature."""
    signed, _, signature = whole.rpartition(".")
    return f"{signed}.{encode(base64.urlsafe_b64decode(signature + '==')[:-1])}"


def with_header_bytes(header: bytes, signers: Signers) -> str:
    own = signers.own
    head = header.replace(b"#", json.dumps({"alg": own.algorithm, "kid": own.kid}).encode()[:-1])
    signed = f"{encode(head)}.{encode(json.dumps(claims()).encode())}"
    return f"{signed}.{encode(jwt.get_algorithm_by_name(own.algorithm).sign(signed.encode(), own.private))}"


# --- one token for each value -----------------------------------------------------------------------------------------


def each(label: str, reason: str, make: Callable[[Any, Signers], str], values: Iterable[object]) -> Cases:
    return {f"{label} {value!r:.60}": (partial(make, value), reason) for value in values}


def claim(name: str, reason: str, values: list[object]) -> Cases:
    """Return validly signed tokens with another value of a claim; ``...`` removes the claim."""
    return each(f"claim {name}", reason, lambda value, k: good(k, **{name: value}), values)


def member(name: str, reason: str, values: list[object]) -> Cases:
    """Return validly signed tokens with another value of a member of the header; ``...`` removes the member."""
    return each(f"header {name}", reason, lambda value, k: token(k.own, **{name: value}), values)


def claims_texts(texts: list[str]) -> Cases:
    """Return malformed tokens with a valid signature over handwritten claims; ``#`` expands to valid ones."""
    return each("claims", "malformed", lambda text, k: token(k.own, text.replace("#", CLAIMS_START).encode()), texts)


def claim_bytes(values: list[bytes]) -> Cases:
    """Return malformed tokens with a valid signature over one more claim, whose value is handwritten."""

    def make(value: bytes, signers: Signers) -> str:
        return token(signers.own, json.dumps(claims()).encode()[:-1] + b', "x": ' + value + b"}")

    return each("another claim", "malformed", make, values)


def header_bytes(headers: list[bytes]) -> Cases:
    """Return malformed tokens with a valid signature over a handwritten header; ``#`` expands to a valid one."""
    return each("header", "malformed", with_header_bytes, headers)


# --- rejected with a JWKS and with a shared secret --------------------------------------------------------------------

SIGNATURES: Cases = {
    **each("alg", "wrong_algorithm", lambda alg, _: unsigned({"alg": alg, "kid": "RS256"}), NONE),
    "alg none without signature": (lambda _: unsigned({"alg": "none", "kid": "RS256"}, b""), "malformed"),
    **member("alg", "wrong_algorithm", [..., None, "", "ES256"]),
    "alg a list": (lambda k: token(k.own, alg=[k.own.algorithm]), "wrong_algorithm"),
    "alg an object": (lambda k: token(k.own, alg={k.own.algorithm: 1}), "wrong_algorithm"),
    "alg in lower case": (lambda k: token(k.own, alg=k.own.algorithm.lower()), "wrong_algorithm"),
    "alg with white space": (lambda k: token(k.own, alg=k.own.algorithm + " "), "wrong_algorithm"),
    "encrypted": (lambda k: token(k.own, alg="RSA-OAEP", enc="A256GCM"), "wrong_algorithm"),
    "foreign key under a known kid": (lambda k: token(k.foreign, kid=k.own.kid), "bad_signature"),
    "foreign key embedded as jwk": (lambda k: token(k.foreign, kid=k.own.kid, jwk=k.foreign.jwk), "bad_signature"),
    "x5c": (lambda k: token(k.foreign, kid=k.own.kid, x5c=["MIIB"]), "bad_signature"),
    "jku under the known kid": (lambda k: token(k.foreign, kid=k.own.kid, jku=URL + "jwks.json"), "bad_signature"),
    "x5u under the known kid": (lambda k: token(k.foreign, kid=k.own.kid, x5u=URL + "cert.pem"), "bad_signature"),
    "claims changed after signing": (tampered, "bad_signature"),
    "signature cut": (lambda k: cut(good(k)), "bad_signature"),
    "signature of zeros under the known kid": (
        lambda k: unsigned({"alg": k.own.algorithm, "kid": k.own.kid}, bytes(32)),
        "bad_signature",
    ),
    "signature of another token": (
        lambda k: ".".join([*good(k).split(".")[:2], good(k, sub="bob").split(".")[2]]),
        "bad_signature",
    ),
}
HEADERS: Cases = {
    **member("kid", "malformed", [None, ["RS256"], {"RS256": 1}, 0, "\ud800"]),
    **member("crit", "malformed", [[], "b64"]),
    **member("b64", "malformed", [False]),
    "unknown crit": (lambda k: token(k.own, crit=["exp"], exp=1), "malformed"),
    "crit that PyJWT knows": (lambda k: token(k.own, crit=["b64"], b64=True), "critical_extension"),
    "not base64": (lambda _: "a.b.c", "malformed"),
    **header_bytes([b"{", b"[]", b"{\xff\xfe}", "\ufeff#}".encode(), '{"alg":"RS256"}'.encode("utf-16")]),
    **header_bytes([b'#,"x":"\xc1\xa1"}', b'#,"x":"\xed\xa0\x80"}', b'#,"x":"\\ud800"}']),  # overlong; surrogates
    **header_bytes([b'#,"x":NaN}', b'#,"x":-Infinity}']),
    **header_bytes([b'#,"typ":"JWT","typ":"JWT"}', b'#,"alg":"none"}', b'#,"jwk":{"kty":"RSA","kty":"EC"}}']),
    **header_bytes([b"[" * 6000, b"1" * 6000]),
}
TIMES: Cases = {
    "expired": (lambda k: good(k, exp=int(time.time()) - 10), "expired"),
    "expired, a fraction": (lambda k: good(k, exp=time.time() - 60.5), "expired"),
    **claim("exp", "expired", [0, -1, True]),
    **claim("exp", "missing_claim", [..., None]),
    **claim("exp", "bad_claim", [str(FUTURE), YEAR_9999 + 1, FUTURE * 1000, 10**400]),
    **claim("exp", "malformed", ["tomorrow", [FUTURE], {}]),
    **claims_texts(['#,"exp":NaN}', '#,"exp":Infinity}', '#,"exp":1e999}', f'#,"exp":{"9" * 5000}}}']),
    **claim("nbf", "bad_claim", [None, True, "1", -1]),
    **claim("iat", "bad_claim", [None, False, "today", -1]),
    "not yet valid": (lambda k: good(k, nbf=time.time() + 90), "not_yet_valid"),
    "issued in the future": (lambda k: good(k, iat=time.time() + 90), "not_yet_valid"),
}
NAMES: Cases = {
    **claim("iss", "wrong_issuer", ["https://evil.example/", ISSUER.rstrip("/"), ISSUER.upper(), [ISSUER]]),
    **claim("iss", "missing_claim", [...]),
    **claim("aud", "wrong_audience", ["other", AUDIENCE + "-staging", {AUDIENCE: True}, [[AUDIENCE]], 1, ...]),
    **each("client_id right, aud", "wrong_audience", with_client_id, ["other", None, "", []]),
    "no aud, foreign client_id": (lambda k: good(k, aud=..., client_id="other"), "wrong_audience"),
    "no aud, client_id a list": (lambda k: good(k, aud=..., client_id=[AUDIENCE]), "wrong_audience"),
    **claim("sub", "missing_claim", [..., None]),
    **claim("sub", "bad_claim", [7, ["ada"], "", "  ", "x" * 256, "ada\nbob", "ada\u202ebob"]),
    **claim("sub", "malformed", ["\ud800"]),
    **claim("jti", "bad_claim", [1]),
}
PAYLOADS: Cases = {
    **claims_texts(["#", "[#}]", '"admin"', '#,"exp":99999999999,"role":"user"}']),
    **claims_texts(['#,"exp":99999999999,"x":{"y":1,"y":2}}', '#,"x":' + "[" * 5000]),
    "no claims": (lambda k: token(k.own, {}), "missing_claim"),
    "claims not UTF-8": (lambda k: token(k.own, b'{"\xff\xfe"}'), "malformed"),
    **each("claims in", "malformed", lambda name, k: token(k.own, json.dumps(claims()).encode(name)), ENCODINGS),
    **claim_bytes([b'"\xc1\xa1"', b'"\xed\xa0\x80"', b'["\\udfff"]', b'"\\ude00\\ud83d"', b'{"\\ud800":1}']),
    **claim_bytes([b"NaN", b"[-Infinity]", b"1e999"]),
}
TYPES: Cases = {
    **member("typ", "wrong_type", ["logout+jwt", "secevent+jwt", "dpop+jwt", "LOGOUT+JWT", "application/dpop+jwt"]),
    **member("typ", "wrong_type", ["Application/SecEvent+JWT", "oauth-authz-req+jwt", "token-introspection+jwt"]),
    **member("typ", "wrong_type", ["entity-statement+jwt", "kb+jwt", "vc+sd-jwt", "client-authentication+jwt"]),
    **member("typ", "wrong_type", ["x+jwt", "rt+jwt", "pop", "refresh", "JWE", "JOSE", "", " JWT", "JWT ", "at+jwt\n"]),
    **member("typ", "wrong_type", ["application/", "application/application/jwt", "text/jwt", "jwt;v=1", "\uff2aWT"]),
    **member("typ", "wrong_type", [None, True, 1, ["JWT"], {"JWT": 1}]),
    **member("cty", "wrong_type", ["JWT", "jwt", "application/jwt", "at+jwt", "json", "", None, ["JWT"]]),
    **claim("cnf", "wrong_type", [{"jkt": "made-up-thumbprint-of-a-dpop-key"}, {"jwk": {"kty": "OKP"}}, {}, None]),
    **claim("cnf", "wrong_type", [{"x5t#S256": "made-up-thumbprint-of-a-certificate"}]),
    **claim("events", "wrong_type", [{"http://schemas.openid.net/event/backchannel-logout": {}}, {}]),
    **claim("events", "wrong_type", [{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}]),
    **claim("token_use", "wrong_type", ["id", "ID", ["id"], ["access", "id"]]),
    **claim("token_type", "wrong_type", ["id_token", "ID-Token", "urn:ietf:params:oauth:token-type:id_token"]),
    **claim("at_hash", "wrong_type", ["made-up", None]),
    **claim("c_hash", "wrong_type", ["made-up"]),
    **claim("s_hash", "wrong_type", ["made-up"]),
    **claim("tokenUse", "wrong_type", ["Id"]),
    **claim("token_use", "wrong_type", ["refresh", "REFRESH", "refresh_token", "client_assertion", "", 1]),
    **claim("token_use", "wrong_type", [{"refresh": True}, ["access", "refresh"]]),
    **claim("tokenUse", "wrong_type", ["refresh"]),
    **claim("token-use", "wrong_type", ["Refresh"]),
    **claim("token_type", "wrong_type", ["refresh", "refresh-token", "DPoP"]),
    **claim("token_type", "wrong_type", ["urn:ietf:params:oauth:token-type:refresh_token"]),
    **claim("tokenType", "wrong_type", ["RefreshToken"]),
    **claim("typ", "wrong_type", ["ID", "Refresh", "Offline", "Logout", "DPoP", "Serialized-ID", "verify-email"]),
    **claim("type", "wrong_type", ["refresh", ["refresh"], "id_token", "ID"]),
    **claim("use", "wrong_type", ["refresh", "id"]),
}
HOSTILE: Cases = SIGNATURES | HEADERS | TIMES | NAMES | PAYLOADS | TYPES

# --- rejected with a JWKS ---------------------------------------------------------------------------------------------

HOSTILE_TO_KEY_SET: Cases = {
    "HS256 by the public key": (lambda k: hmac_by(public(k), "HS256"), "wrong_algorithm"),
    "HS384 by the public key": (lambda k: hmac_by(public(k), "HS384"), "wrong_algorithm"),
    "HS512 by the public key": (lambda k: hmac_by(public(k), "HS512"), "wrong_algorithm"),
    "HS256 by the public key in DER": (lambda k: hmac_by(public(k, Encoding.DER)), "wrong_algorithm"),
    "HS256 by the public JWK": (lambda k: hmac_by(json.dumps(k.own.jwk).encode()), "wrong_algorithm"),
    "HS256 by nothing": (lambda _: hmac_by(b""), "wrong_algorithm"),
    "embedded secret": (
        lambda _: token(SigningKey("RS256", "HS256", b"x" * 32), jwk={"kty": "oct", "k": encode(b"x" * 32)}),
        "wrong_algorithm",
    ),
    "alg that the key does not have": (lambda k: token(k.all["RS512"], kid="RS256"), "wrong_algorithm"),
    "alg that no key has, no kid": (
        lambda k: token(SigningKey("", "RS384", k.all["RS256"].private), kid=...),
        "unknown_key",
    ),
    "curve that is not accepted": (lambda k: token(k.all["ES256K"]), "wrong_algorithm"),
    "RSA key that is too short": (lambda k: token(k.all["short"]), "unusable_key"),
    "signature of another length": (lambda k: cut(token(k.all["ES256"])), "bad_signature"),
    "signature of zeros": (lambda _: unsigned({"alg": "ES256", "kid": "ES256"}, bytes(64)), "bad_signature"),
    "Ed25519 signature of another length": (lambda k: cut(token(k.all["EdDSA"])), "bad_signature"),
    "foreign key under its own kid": (lambda k: token(k.foreign), "unknown_key"),
    "foreign key embedded, no kid": (lambda k: token(k.foreign, kid=..., jwk=k.foreign.jwk), "bad_signature"),
    "foreign key, no kid": (lambda k: token(k.foreign, kid=...), "bad_signature"),
    "foreign key, kid empty": (lambda k: token(k.foreign, kid=""), "bad_signature"),
    "jku": (lambda k: token(k.foreign, jku=URL + "jwks.json"), "unknown_key"),
    "x5u": (lambda k: token(k.foreign, x5u=URL + "cert.pem"), "unknown_key"),
    "kid a path": (lambda k: token(k.foreign, kid=PATH), "unknown_key"),
    "kid an injection": (lambda k: token(k.foreign, kid="' OR 1=1 --"), "unknown_key"),
    "kid huge": (lambda k: token(k.foreign, kid="x" * 8000), "unknown_key"),
    "kid in another case": (lambda k: token(k.own, kid="rs256"), "unknown_key"),
}

# --- rejected with a shared secret ------------------------------------------------------------------------------------

HOSTILE_TO_SECRET: Cases = {
    **each("asymmetric", "wrong_algorithm", lambda name, k: token(k.all[name]), ASYMMETRIC),
    "RS256 with its key embedded": (lambda k: token(k.all["RS256"], jwk=k.all["RS256"].jwk), "wrong_algorithm"),
    "HS384 by the secret": (lambda _: hmac_by(SECRET.encode(), "HS384"), "wrong_algorithm"),
    "HS512 by the secret": (lambda _: hmac_by(SECRET.encode(), "HS512"), "wrong_algorithm"),
    "HS384 that says HS256": (
        lambda _: token(SigningKey("HS256", "HS384", SECRET.encode()), alg="HS256"),
        "bad_signature",
    ),
    "HS256 by nothing": (lambda _: hmac_by(b""), "bad_signature"),
    "HS256 by a zero byte, kid a path": (lambda _: hmac_by(bytes(1), kid=PATH), "bad_signature"),
    "HS256 by its kid": (lambda _: hmac_by(b"kid" * 16, kid="kid" * 16), "bad_signature"),
    "HS256 by a public key": (lambda k: hmac_by(public(k)), "bad_signature"),
    "HS256 by the parameter's name": (lambda _: hmac_by(PARAMETER.encode()), "bad_signature"),
    "HS256 by the secret cut short": (lambda _: hmac_by(SECRET[:-1].encode()), "bad_signature"),
    "HS256 by the secret and a line's end": (lambda _: hmac_by(f"{SECRET}\n".encode()), "bad_signature"),
    "HS256 by the secret in upper case": (lambda _: hmac_by(SECRET.upper().encode()), "bad_signature"),
    "HS256 by the secret in base64": (lambda _: hmac_by(base64.b64encode(SECRET.encode())), "bad_signature"),
    **each("foreign secret, kid", "bad_signature", lambda kid, k: token(k.foreign, kid=kid), FOREIGN_KIDS),
}
