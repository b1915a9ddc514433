"""Tokens that must be rejected with 401, by name: a function that creates the token, and the logged reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
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

Cases = dict[str, tuple[Callable[[Signers], str], str]]


def unsigned(header: object, payload: object = None, signature: bytes = b"signature") -> str:
    body = json.dumps(claims() if payload is None else payload).encode()
    return f"{encode(json.dumps(header).encode())}.{encode(body)}.{encode(signature)}"


def hmac_by(secret: bytes, algorithm: str = "HS256", kid: str = "RS256") -> str:
    """Return a token with an HMAC by a value that an attacker may know."""
    signed = unsigned({"alg": algorithm, "typ": "JWT", "kid": kid}).rpartition(".")[0]
    return f"{signed}.{encode(hmac.new(secret, signed.encode(), getattr(hashlib, f'sha{algorithm[2:]}')).digest())}"


def public(signers: Signers, encoding: Encoding = Encoding.PEM) -> bytes:
    """Return the issuer's public key as published."""
    key = signers.all["RS256"].private.public_key()
    published: bytes = key.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    return published


def raw(signers: Signers, text: str) -> str:
    """Return a token with a valid signature over handwritten claims; ``#`` expands to valid ones."""
    start = f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"{SUBJECT}","role":"admin"'
    return token(signers.own, text.replace("#", start).encode())


def good(signers: Signers, **changes: Any) -> str:
    return token(signers.own, claims(**changes))


def with_header(signers: Signers, header: bytes) -> str:
    """Return a token with a valid signature over a handwritten header; ``#`` expands to a valid one."""
    own = signers.own
    head = header.replace(b"#", json.dumps({"alg": own.algorithm, "kid": own.kid}).encode()[:-1])
    signed = f"{encode(head)}.{encode(json.dumps(claims()).encode())}"
    return f"{signed}.{encode(jwt.get_algorithm_by_name(own.algorithm).sign(signed.encode(), own.private))}"


def with_member(name: str, value: object) -> Callable[[Signers], str]:
    """Return a function that creates a valid token with one more member in its header."""
    return lambda signers: token(signers.own, **{name: value})


def stating(name: str, value: object) -> Callable[[Signers], str]:
    """Return a function that creates a valid token with one more claim."""
    return lambda signers: good(signers, **{name: value})


def with_claim(signers: Signers, value: bytes) -> str:
    """Return a token with one more claim, whose value is handwritten."""
    return token(signers.own, json.dumps(claims()).encode()[:-1] + b', "x": ' + value + b"}")


def tampered(signers: Signers) -> str:
    head, _, signature = token(signers.own, claims(role="user")).split(".")
    return ".".join([head, encode(json.dumps(claims()).encode()), signature])


def cut(whole: str) -> str:
    """Return the token without the last byte of its signature."""
    signed, _, signature = whole.rpartition(".")
    return f"{signed}.{encode(base64.urlsafe_b64decode(signature + '==')[:-1])}"


def now() -> int:
    return int(time.time())


# Rejected with a JWKS and with a shared secret.
HOSTILE: Cases = {
    # Signatures
    "alg none": (lambda _: unsigned({"alg": "none", "kid": "RS256"}), "wrong_algorithm"),
    "alg None": (lambda _: unsigned({"alg": "None", "kid": "RS256"}), "wrong_algorithm"),
    "alg NONE": (lambda _: unsigned({"alg": "NONE", "kid": "RS256"}), "wrong_algorithm"),
    "alg nOnE": (lambda _: unsigned({"alg": "nOnE", "kid": "RS256"}), "wrong_algorithm"),
    "alg none without signature": (lambda _: unsigned({"alg": "none", "kid": "RS256"}, signature=b""), "malformed"),
    "no alg": (lambda k: token(k.own, alg=...), "wrong_algorithm"),
    "alg null": (lambda k: token(k.own, alg=None), "wrong_algorithm"),
    "alg a list": (lambda k: token(k.own, alg=[k.own.algorithm]), "wrong_algorithm"),
    "alg an object": (lambda k: token(k.own, alg={k.own.algorithm: 1}), "wrong_algorithm"),
    "alg in lower case": (lambda k: token(k.own, alg=k.own.algorithm.lower()), "wrong_algorithm"),
    "alg of another key": (lambda k: token(k.own, alg="ES256"), "wrong_algorithm"),
    "foreign key under a known kid": (lambda k: token(k.foreign, kid=k.own.kid), "bad_signature"),
    "foreign key embedded as jwk": (
        lambda k: token(k.foreign, kid=k.own.kid, jwk=k.foreign.jwk),
        "bad_signature",
    ),
    "x5c": (lambda k: token(k.foreign, kid=k.own.kid, x5c=["MIIB"]), "bad_signature"),
    "claims changed after signing": (tampered, "bad_signature"),
    "signature cut": (lambda k: cut(good(k)), "bad_signature"),
    # Headers
    "kid null": (lambda k: token(k.own, kid=None), "malformed"),
    "kid a list": (lambda k: token(k.own, kid=["RS256"]), "malformed"),
    "kid an object": (lambda k: token(k.own, kid={"RS256": 1}), "malformed"),
    "kid a number": (lambda k: token(k.own, kid=0), "malformed"),
    "unknown crit": (lambda k: token(k.own, crit=["exp"], exp=1), "malformed"),
    "crit that PyJWT knows": (lambda k: token(k.own, crit=["b64"], b64=True), "critical_extension"),
    "crit empty": (lambda k: token(k.own, crit=[]), "malformed"),
    "crit a string": (lambda k: token(k.own, crit="b64"), "malformed"),
    "unencoded payload": (lambda k: token(k.own, b64=False), "malformed"),
    "header not JSON": (lambda _: f"{encode(b'{')}.e30.AA", "malformed"),
    "header not an object": (lambda _: f"{encode(b'[]')}.e30.AA", "malformed"),
    "header not UTF-8": (lambda _: f"{encode(bytes([123, 255, 254, 125]))}.e30.AA", "malformed"),
    "header nested too deep": (lambda _: f"{encode(b'[' * 6000)}.e30.AA", "malformed"),
    "header with a huge number": (lambda _: f"{encode(b'1' * 6000)}.e30.AA", "malformed"),
    "not base64": (lambda _: "a.b.c", "malformed"),
    "header in UTF-16": (lambda _: f"{encode(json.dumps({'alg': 'RS256'}).encode('utf-16'))}.e30.AA", "malformed"),
    "header with a byte order mark": (lambda k: with_header(k, "\ufeff#}".encode()), "malformed"),
    "header with an overlong letter": (lambda k: with_header(k, b'#,"x":"\xc1\xa1"}'), "malformed"),
    "header with half a surrogate pair": (lambda k: with_header(k, b'#,"x":"\xed\xa0\x80"}'), "malformed"),
    "header with half an escaped pair": (lambda k: with_header(k, b'#,"x":"\\ud800"}'), "malformed"),
    "header with NaN": (lambda k: with_header(k, b'#,"x":NaN}'), "malformed"),
    "header with -Infinity": (lambda k: with_header(k, b'#,"x":-Infinity}'), "malformed"),
    "header with a member twice": (lambda k: with_header(k, b'#,"typ":"JWT","typ":"JWT"}'), "malformed"),
    "header with alg twice": (lambda k: with_header(k, b'#,"alg":"none"}'), "malformed"),
    "header with a nested member twice": (lambda k: with_header(k, b'#,"jwk":{"kty":"RSA","kty":"EC"}}'), "malformed"),
    "kid a surrogate": (lambda k: token(k.own, kid="\ud800"), "malformed"),
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
    "not yet valid": (lambda k: good(k, nbf=now() + 90), "not_yet_valid"),
    "nbf null": (lambda k: good(k, nbf=None), "bad_claim"),
    "nbf true": (lambda k: good(k, nbf=True), "bad_claim"),
    "nbf a string": (lambda k: good(k, nbf="1"), "bad_claim"),
    "nbf negative": (lambda k: good(k, nbf=-1), "bad_claim"),
    "issued in the future": (lambda k: good(k, iat=now() + 90), "not_yet_valid"),
    "iat null": (lambda k: good(k, iat=None), "bad_claim"),
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
    "sub a surrogate": (lambda k: good(k, sub="\ud800"), "malformed"),
    "jti a number": (lambda k: good(k, jti=1), "bad_claim"),
    # Payloads
    "claims not JSON": (lambda k: raw(k, "#"), "malformed"),
    "claims not UTF-8": (lambda k: token(k.own, b'{"\xff\xfe"}'), "malformed"),
    "claims in UTF-16": (lambda k: token(k.own, json.dumps(claims()).encode("utf-16")), "malformed"),
    "claims in UTF-16 without a mark": (lambda k: token(k.own, json.dumps(claims()).encode("utf-16-le")), "malformed"),
    "claims in UTF-32": (lambda k: token(k.own, json.dumps(claims()).encode("utf-32-be")), "malformed"),
    "claims with a byte order mark": (
        lambda k: token(k.own, b"\xef\xbb\xbf" + json.dumps(claims()).encode()),
        "malformed",
    ),
    "claims with an overlong letter": (lambda k: with_claim(k, b'"\xc1\xa1"'), "malformed"),
    "claims with half a surrogate pair": (lambda k: with_claim(k, b'"\xed\xa0\x80"'), "malformed"),
    "claims with half an escaped pair": (lambda k: with_claim(k, b'["\\udfff"]'), "malformed"),
    "claims with an escaped pair in the wrong order": (lambda k: with_claim(k, b'"\\ude00\\ud83d"'), "malformed"),
    "a claim's name half an escaped pair": (lambda k: with_claim(k, b'{"\\ud800":1}'), "malformed"),
    "a claim NaN": (lambda k: with_claim(k, b"NaN"), "malformed"),
    "a claim -Infinity": (lambda k: with_claim(k, b"[-Infinity]"), "malformed"),
    "a claim 1e999": (lambda k: with_claim(k, b"1e999"), "malformed"),
    "claims a list": (lambda k: raw(k, "[#}]"), "malformed"),
    "claims a string": (lambda k: raw(k, '"admin"'), "malformed"),
    "no claims": (lambda k: token(k.own, {}), "missing_claim"),
    "a claim twice": (lambda k: raw(k, '#,"exp":99999999999,"role":"user"}'), "malformed"),
    "a member of a claim twice": (lambda k: raw(k, '#,"exp":99999999999,"x":{"y":1,"y":2}}'), "malformed"),
    "claims nested too deep": (lambda k: raw(k, '#,"x":' + "[" * 5000), "malformed"),
    # Keys in the header, which are never used
    "jku under the known kid": (
        lambda k: token(k.foreign, kid=k.own.kid, jku="http://127.0.0.1:9/jwks.json"),
        "bad_signature",
    ),
    "x5u under the known kid": (
        lambda k: token(k.foreign, kid=k.own.kid, x5u="http://127.0.0.1:9/cert.pem"),
        "bad_signature",
    ),
    "signature of zeros under the known kid": (
        lambda k: unsigned({"alg": k.own.algorithm, "kid": k.own.kid}, signature=bytes(32)),
        "bad_signature",
    ),
    "signature of another token": (
        lambda k: ".".join([*good(k).split(".")[:2], good(k, sub="bob").split(".")[2]]),
        "bad_signature",
    ),
    "alg with white space": (lambda k: token(k.own, alg=k.own.algorithm + " "), "wrong_algorithm"),
    "alg empty": (lambda k: token(k.own, alg=""), "wrong_algorithm"),
    "encrypted": (lambda k: token(k.own, alg="RSA-OAEP", enc="A256GCM"), "wrong_algorithm"),
    # Tokens of other types, which the issuer signs with the same key
    **{
        f"typ {typ}": (with_member("typ", typ), "wrong_type")
        for typ in [
            *(
                "logout+jwt",
                "secevent+jwt",
                "dpop+jwt",
                "LOGOUT+JWT",
                "application/dpop+jwt",
                "Application/SecEvent+JWT",
            ),
            *("oauth-authz-req+jwt", "token-introspection+jwt", "entity-statement+jwt", "kb+jwt", "vc+sd-jwt", "x+jwt"),
            *("client-authentication+jwt", "rt+jwt", "pop", "refresh", "JWE", "JOSE", "", " JWT", "JWT ", "at+jwt\n"),
            *("application/", "application/application/jwt", "text/jwt", "jwt;v=1", "\uff2aWT"),
            *(None, True, 1, ["JWT"], {"JWT": 1}),
        ]
    },
    **{
        f"cty {cty}": (with_member("cty", cty), "wrong_type")
        for cty in ["JWT", "jwt", "application/jwt", "at+jwt", "json", "", None, ["JWT"]]
    },
    **{
        f"claim {name} {json.dumps(value)}": (stating(name, value), "wrong_type")
        for name, value in [
            ("cnf", {"jkt": "made-up-thumbprint-of-a-dpop-key"}),
            ("cnf", {"x5t#S256": "made-up-thumbprint-of-a-certificate"}),
            ("cnf", {"jwk": {"kty": "OKP"}}),
            ("cnf", {}),
            ("cnf", None),
            ("events", {"http://schemas.openid.net/event/backchannel-logout": {}}),
            ("events", {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {"subject": {}}}),
            ("events", {}),
            ("token_use", "refresh"),
            ("token_use", "REFRESH"),
            ("token_use", "refresh_token"),
            ("token_use", "client_assertion"),
            ("token_use", ""),
            ("token_use", 1),
            ("token_use", {"refresh": True}),
            ("token_use", ["access", "refresh"]),
            ("tokenUse", "refresh"),
            ("token-use", "Refresh"),
            ("token_type", "refresh"),
            ("token_type", "refresh-token"),
            ("token_type", "DPoP"),
            ("token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
            ("tokenType", "RefreshToken"),
            ("typ", "Refresh"),
            ("typ", "Offline"),
            ("typ", "Logout"),
            ("typ", "DPoP"),
            ("typ", "Serialized-ID"),
            ("typ", "verify-email"),
            ("type", "refresh"),
            ("type", ["refresh"]),
            ("use", "refresh"),
        ]
    },
}

# Rejected with a JWKS.
HOSTILE_TO_KEY_SET: Cases = {
    "HS256 by the public key": (lambda k: hmac_by(public(k), "HS256"), "wrong_algorithm"),
    "HS384 by the public key": (lambda k: hmac_by(public(k), "HS384"), "wrong_algorithm"),
    "HS512 by the public key": (lambda k: hmac_by(public(k), "HS512"), "wrong_algorithm"),
    "alg that the key does not have": (lambda k: token(k.all["RS512"], kid="RS256"), "wrong_algorithm"),
    "curve that is not accepted": (lambda k: token(k.all["ES256K"]), "wrong_algorithm"),
    "RSA key that is too short": (lambda k: token(k.all["short"]), "unusable_key"),
    "foreign key under its own kid": (lambda k: token(k.all["foreign"]), "unknown_key"),
    "foreign key embedded, no kid": (
        lambda k: token(k.all["foreign"], kid=..., jwk=k.all["foreign"].jwk),
        "bad_signature",
    ),
    "jku": (lambda k: token(k.all["foreign"], jku="http://127.0.0.1:9/jwks.json"), "unknown_key"),
    "x5u": (lambda k: token(k.all["foreign"], x5u="http://127.0.0.1:9/cert.pem"), "unknown_key"),
    "signature of another length": (lambda k: cut(token(k.all["ES256"])), "bad_signature"),
    "signature of zeros": (
        lambda _: unsigned({"alg": "ES256", "kid": "ES256"}, signature=bytes(64)),
        "bad_signature",
    ),
    "Ed25519 signature of another length": (lambda k: cut(token(k.all["EdDSA"])), "bad_signature"),
    "foreign key, no kid": (lambda k: token(k.all["foreign"], kid=...), "bad_signature"),
    "foreign key, kid empty": (lambda k: token(k.all["foreign"], kid=""), "bad_signature"),
    "alg that no key has, no kid": (
        lambda k: token(SigningKey("", "RS384", k.all["RS256"].private), kid=...),
        "unknown_key",
    ),
    "kid a path": (lambda k: token(k.all["foreign"], kid="../../../../dev/null"), "unknown_key"),
    "kid an injection": (lambda k: token(k.all["foreign"], kid="' OR 1=1 --"), "unknown_key"),
    "kid huge": (lambda k: token(k.foreign, kid="x" * 8000), "unknown_key"),
    "kid in another case": (lambda k: token(k.own, kid="rs256"), "unknown_key"),
    "HS256 by the public key in DER": (lambda k: hmac_by(public(k, Encoding.DER)), "wrong_algorithm"),
    "HS256 by the public JWK": (lambda k: hmac_by(json.dumps(k.own.jwk).encode()), "wrong_algorithm"),
    "HS256 by nothing": (lambda _: hmac_by(b""), "wrong_algorithm"),
    "embedded secret": (
        lambda _: token(SigningKey("RS256", "HS256", b"x" * 32), jwk={"kty": "oct", "k": encode(b"x" * 32)}),
        "wrong_algorithm",
    ),
}

# Rejected with a shared secret.
HOSTILE_TO_SECRET: Cases = {
    "RS256": (lambda k: token(k.all["RS256"]), "wrong_algorithm"),
    "RS256 with its key embedded": (lambda k: token(k.all["RS256"], jwk=k.all["RS256"].jwk), "wrong_algorithm"),
    "RS512": (lambda k: token(k.all["RS512"]), "wrong_algorithm"),
    "PS256": (lambda k: token(k.all["PS256"]), "wrong_algorithm"),
    "ES256": (lambda k: token(k.all["ES256"]), "wrong_algorithm"),
    "EdDSA": (lambda k: token(k.all["EdDSA"]), "wrong_algorithm"),
    "HS384 by the secret": (lambda _: hmac_by(SECRET.encode(), "HS384"), "wrong_algorithm"),
    "HS512 by the secret": (lambda _: hmac_by(SECRET.encode(), "HS512"), "wrong_algorithm"),
    "HS384 that says HS256": (
        lambda _: token(SigningKey("HS256", "HS384", SECRET.encode()), alg="HS256"),
        "bad_signature",
    ),
    "HS256 by nothing": (lambda _: hmac_by(b""), "bad_signature"),
    "HS256 by a zero byte, kid a path": (lambda _: hmac_by(bytes(1), kid="../../../../dev/null"), "bad_signature"),
    "HS256 by its kid": (lambda _: hmac_by(b"kid" * 16, kid="kid" * 16), "bad_signature"),
    "HS256 by a public key": (lambda k: hmac_by(public(k)), "bad_signature"),
    "HS256 by the parameter's name": (lambda _: hmac_by(PARAMETER.encode()), "bad_signature"),
    "HS256 by the secret cut short": (lambda _: hmac_by(SECRET[:-1].encode()), "bad_signature"),
    "HS256 by the secret and a line's end": (lambda _: hmac_by(f"{SECRET}\n".encode()), "bad_signature"),
    "HS256 by the secret in upper case": (lambda _: hmac_by(SECRET.upper().encode()), "bad_signature"),
    "HS256 by the secret in base64": (lambda _: hmac_by(base64.b64encode(SECRET.encode())), "bad_signature"),
    "foreign secret, no kid": (lambda k: token(k.foreign, kid=...), "bad_signature"),
    "foreign secret, kid empty": (lambda k: token(k.foreign, kid=""), "bad_signature"),
    "foreign secret, kid a path": (lambda k: token(k.foreign, kid="../../../../dev/null"), "bad_signature"),
    "foreign secret, kid an injection": (lambda k: token(k.foreign, kid="' UNION SELECT 'x' --"), "bad_signature"),
    "foreign secret, kid another parameter": (lambda k: token(k.foreign, kid="/foreign/jwt-secret"), "bad_signature"),
    "foreign secret, kid huge": (lambda k: token(k.foreign, kid="x" * 8000), "bad_signature"),
}
