"""Tokens and keys in the formats of nine identity providers; every value is made up.

Sources: the providers' documentation of their tokens (docs/identity-providers.md lists the configuration).
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.issuer import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUED_AT = 1_750_000_000
"""Time of issue of the tokens; `claims_as_of_now` shifts all times to the present."""
PAGE = Path(__file__).parents[2] / "docs/identity-providers.md"

BOUND = {"cnf": {"jkt": "made-up"}}
"""Claim that binds a token to a key."""

Claims = dict[str, Any]
Jwk = dict[str, Any]


def documented() -> dict[str, dict[str, str]]:
    """Return the page's first table: the configured parameters, by the name of the provider's row."""
    return _table(0)


def documented_clients() -> dict[str, dict[str, str]]:
    """Return the page's second table: the parameters of the web console, by the name of the provider's row."""
    return {row: {name: value for name, value in cells.items() if name != "client"} for row, cells in _table(1).items()}


def _table(number: int) -> dict[str, dict[str, str]]:
    tables = re.findall(r"(?:^\|.*\|\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [
        [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")] for line in tables[number].splitlines()
    ]
    names, _, *values = rows
    return {row[0]: {name: value for name, value in zip(names[1:], row[1:], strict=True) if value} for row in values}


@dataclass(frozen=True)
class Token:
    """The claims of a token, and its header without ``alg`` and ``kid``.

    Attributes:
        reason: Reason of the rejection; empty for a valid token.
        algorithm: Algorithm; empty for the provider's usual one.
    """

    claims: Claims
    header: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    algorithm: str = ""

    def claims_as_of_now(self) -> Claims:
        """Return the claims with their times shifted, as if the provider issued the token now."""
        elapsed = int(time.time()) - ISSUED_AT
        moments = {"iat", "nbf", "exp", "auth_time"}
        return {name: value + elapsed if name in moments else value for name, value in self.claims.items()}


@dataclass(frozen=True)
class Provider:
    """An identity provider with an administrator, an ordinary user, and tokens for other purposes.

    Attributes:
        row: Its row in the documentation's table.
        key: Name of the test key that it signs with.
        jwk: Returns its published key for a full JWK.
        others: Tokens of other types, each of the administrator.
        also_published: Returns keys in its JWKS for other purposes.
    """

    row: str
    administrator: Token
    user: Token
    others: dict[str, Token]
    key: str = "RS256"
    jwk: Callable[[Jwk], Jwk] = dict
    also_published: Callable[[Jwk], list[Jwk]] = lambda _: []

    def __str__(self) -> str:
        """Return the id of the test case."""
        return self.row


def times(lifetime: int = 3600) -> Claims:
    return {"iat": ISSUED_AT - 1, "exp": ISSUED_AT + lifetime}


def without(claims: Claims, *names: str) -> Claims:
    return {name: value for name, value in claims.items() if name not in names}


def logout_of(claims: Claims, **more: Any) -> Claims:
    """Return the claims of an OpenID Connect back-channel logout token, with those of another token added."""
    event = "http://schemas.openid.net/event/backchannel-logout"
    return {**claims, "jti": "made-up-logout", "sid": "made-up-session", "events": {event: {}}, **more}


def cognito() -> list[Provider]:
    pool = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"
    common = (
        {"sub": "c2a5f4b4-0000-4000-8000-000000000001", "cognito:groups": ["staff", "admins"], "iss": pool}
        | {"origin_jti": "c2a5f4b4-0000-4000-8000-000000000002", "event_id": "c2a5f4b4-0000-4000-8000-000000000003"}
        | {"auth_time": ISSUED_AT - 1, "jti": "c2a5f4b4-0000-4000-8000-000000000004"}
        | times()
    )
    identity = (
        common
        | {"at_hash": "made-up-at-hash", "aud": "6f1exampleclientid", "cognito:username": "ada"}
        | {"email": "ada@example.com", "email_verified": True, "token_use": "id"}
    )
    access = (
        common
        | {"client_id": "6f1exampleclientid", "scope": "openid email", "token_use": "access", "username": "ada"}
        | {"version": 2}
    )
    plain = {"typ": ...}
    return [
        Provider(
            row="Cognito, ID token",
            administrator=Token(identity, plain),
            user=Token({**identity, "cognito:groups": ["staff"]}, plain),
            others={
                "access token": Token(access, plain, "wrong_type"),
                "refresh token": Token({**identity, "token_use": "refresh"}, plain, "wrong_type"),
                "encrypted refresh token": Token(
                    identity, {"typ": ..., "cty": "JWT", "enc": "A256GCM"}, "wrong_algorithm", algorithm="RSA-OAEP"
                ),
            },
        ),
        Provider(
            row="Cognito, access token",
            administrator=Token(access, plain),
            user=Token(without(access, "cognito:groups"), plain),
            others={
                "ID token": Token(identity, plain, "wrong_type"),
                "access token of another client": Token({**access, "client_id": "other"}, plain, "wrong_audience"),
            },
        ),
    ]


def auth0() -> Provider:
    access = (
        {"https://example.com/roles": ["admin"], "iss": "https://example.eu.auth0.com/"}
        | {"sub": "auth0|64b7f0000000000000000001"}
        | {"aud": ["https://service-keys.example.com", "https://example.eu.auth0.com/userinfo"]}
        | {"scope": "openid profile email", "client_id": "made-up-client", "jti": "made-up-jti"}
        | times(86400)
    )
    return Provider(
        row="Auth0",
        administrator=Token(access, {"typ": "at+jwt"}),
        user=Token({**access, "https://example.com/roles": []}, {"typ": "at+jwt"}),
        others={
            "ID token": Token({**access, "aud": "made-up-client", "nonce": "made-up"}, {"typ": "JWT"}, "wrong_type"),
            "logout token": Token(logout_of(access), {"typ": "logout+jwt"}, "wrong_type"),
            "access token bound to a key": Token({**access, **BOUND}, {"typ": "at+jwt"}, "wrong_type"),
        },
        jwk=lambda jwk: {**jwk, "x5t": "made-up", "x5c": ["TUFERS1VUA=="]},
    )


def okta() -> Provider:
    access = (
        {"ver": 1, "jti": "AT.made-up", "iss": "https://example.okta.com/oauth2/default", "aud": "api://default"}
        | {"cid": "0oamadeup0000000000", "uid": "00umadeup0000000000", "scp": ["openid", "profile"]}
        | {"auth_time": ISSUED_AT - 1, "sub": "ada@example.com", "groups": ["Everyone", "Key Admins"]}
        | times()
    )
    plain = {"typ": ...}
    return Provider(
        row="Okta",
        administrator=Token(access, plain),
        user=Token({**access, "groups": ["Everyone"]}, plain),
        others={
            "ID token": Token({**access, "jti": "ID.made-up", "aud": "0oamadeup0000000000"}, plain, "wrong_audience"),
            "ID token for the API's audience": Token({**access, "at_hash": "made-up"}, plain, "wrong_type"),
            "DPoP-bound access token": Token({**access, "cnf": {"jkt": "made-up"}}, plain, "wrong_type"),
            "access token for Okta itself": Token(access, {"typ": "application/okta-internal-at+jwt"}, "wrong_type"),
            "security event": Token(logout_of(access), {"typ": "secevent+jwt"}, "wrong_type"),
        },
    )


def entra_id() -> Provider:
    tenant = "11111111-2222-3333-4444-555555555555"
    access = (
        {"aud": "66666666-7777-8888-9999-000000000000", "iss": f"https://login.microsoftonline.com/{tenant}/v2.0"}
        | {"nbf": ISSUED_AT - 1, "aio": "made-up", "azp": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "azpacr": "0"}
        | {"name": "Ada Lovelace", "oid": "ffffffff-0000-4000-8000-000000000001"}
        | {"preferred_username": "ada@example.com", "rh": "made-up", "roles": ["KeyAdmin"], "scp": "access_as_user"}
        | {"sub": "made-up-pairwise-subject", "tid": tenant, "uti": "made-up", "ver": "2.0"}
        | times()
    )
    identity = {**without(access, "scp", "azp", "azpacr"), "aud": access["azp"], "nonce": "made-up"}
    return Provider(
        row="Entra ID",
        administrator=Token(access),
        user=Token(without(access, "roles")),
        others={
            "ID token of the client": Token(identity, {}, "wrong_audience"),
            "access token bound to a key": Token({**access, "cnf": {"kid": "made-up"}}, {}, "wrong_type"),
            "signed request": Token(access, {"typ": "pop"}, "wrong_type"),
            "ID token with a hash": Token({**identity, "at_hash": "made-up"}, {}, "wrong_type"),
            "version 1 token": Token({**access, "iss": f"https://sts.windows.net/{tenant}/"}, {}, "wrong_issuer"),
        },
        jwk=lambda jwk: (
            without(jwk, "alg")
            | {"x5t": "made-up", "x5c": ["TUFERS1VUA=="], "cloud_instance_name": "microsoftonline.com"}
            | {"issuer": f"https://login.microsoftonline.com/{tenant}/v2.0"}
        ),
    )


def keycloak() -> Provider:
    access = (
        {"jti": "onrtac:made-up", "iss": "https://sso.example.com/realms/example", "aud": ["service-keys", "account"]}
        | {"sub": "f2b6a000-0000-4000-8000-000000000001", "typ": "Bearer", "azp": "admin-console"}
        | {"sid": "made-up-session", "acr": "1", "allowed-origins": ["https://admin.example.com"]}
        | {"realm_access": {"roles": ["offline_access", "key-admin", "uma_authorization"]}}
        | {"resource_access": {"account": {"roles": ["manage-account"]}}, "scope": "openid service-keys email"}
        | {"email_verified": True, "preferred_username": "ada"}
        | times(300)
    )
    return Provider(
        row="Keycloak",
        administrator=Token(access),
        user=Token({**access, "realm_access": {"roles": ["offline_access"]}, "resource_access": {}}),
        others={
            "ID token": Token({**access, "typ": "ID", "nonce": "made-up"}, {}, "wrong_type"),
            "refresh token": Token({**access, "typ": "Refresh"}, {}, "wrong_type"),
            "refresh token by HS512": Token({**access, "typ": "Refresh"}, {}, "wrong_algorithm", algorithm="HS512"),
            "offline token": Token({**access, "typ": "Offline"}, {}, "wrong_type"),
            "logout token": Token(logout_of(access, typ="Logout"), {"typ": "logout+jwt"}, "wrong_type"),
            "logout token typed as JWT": Token(logout_of(access), {}, "wrong_type"),
            "DPoP-bound access token": Token({**access, "typ": "DPoP", "cnf": {"jkt": "made-up"}}, {}, "wrong_type"),
            "action token": Token({**access, "typ": "execute-actions"}, {}, "wrong_type"),
        },
        also_published=lambda jwk: [{**jwk, "kid": "made-up-encryption-key", "use": "enc", "alg": "RSA-OAEP"}],
    )


def clerk() -> Provider:
    session = (
        {"azp": "https://admin.example.com", "fva": [3, -1], "iss": "https://clerk.example.com"}
        | {"metadata": {"role": "admin"}, "nbf": ISSUED_AT - 11, "sid": "sess_madeup00000000000000000", "sts": "active"}
        | {"sub": "user_madeup00000000000000000", "v": 2}
        | times(60)
    )
    ticket = {"eis": 2592000, "iid": "ins_madeup", "st": "sign_in_token", "sid": "sit_madeup", **times()}
    typed = {"typ": "JWT", "cat": "cl_B7d4PD111AAA"}
    return Provider(
        row="Clerk",
        administrator=Token(session, typed),
        user=Token({**session, "metadata": {}}, typed),
        others={
            "session of another application": Token({**session, "azp": "https://a.example"}, typed, "wrong_audience"),
            "session without an origin": Token(without(session, "azp"), typed, "wrong_audience"),
            "ID token for a third party": Token({**session, "aud": "made-up-client"}, typed, "wrong_audience"),
            "OAuth access token": Token({**session, "client_id": "made-up"}, {"typ": "at+jwt"}, "wrong_type"),
            "sign-in ticket": Token(ticket, {}, "missing_claim"),
        },
    )


def firebase() -> Provider:
    identity = (
        {"admin": True, "iss": "https://securetoken.google.com/example-project", "aud": "example-project"}
        | {"auth_time": ISSUED_AT - 1, "user_id": "madeupuid0000000000000000001", "sub": "madeupuid0000000000000000001"}
        | {"email": "ada@example.com", "email_verified": False}
        | {"firebase": {"identities": {"email": ["ada@example.com"]}, "sign_in_provider": "password"}}
        | times()
    )
    cookie = {**identity, "iss": "https://session.firebase.google.com/example-project"}
    custom = (
        {"iss": "firebase-adminsdk@example-project.iam.gserviceaccount.com"}
        | {"sub": "firebase-adminsdk@example-project.iam.gserviceaccount.com"}
        | {"aud": "https://identitytoolkit.googleapis.com/google.identity.identitytoolkit.v1.IdentityToolkit"}
        | {"uid": identity["sub"], "claims": {"admin": True}}
        | times()
    )
    return Provider(
        row="Firebase",
        administrator=Token(identity),
        user=Token(without(identity, "admin")),
        others={
            "session cookie": Token(cookie, {}, "wrong_issuer"),
            "custom token": Token(custom, {}, "wrong_issuer"),
            "ID token of another project": Token({**identity, "aud": "other-project"}, {}, "wrong_audience"),
            "security event": Token(logout_of(identity), {"typ": "secevent+jwt"}, "wrong_type"),
        },
        also_published=lambda jwk: [{**jwk, "kid": "made-up-next-key"}],
    )


def google() -> Provider:
    identity = (
        {"iss": "https://accounts.google.com", "azp": "123-madeup.apps.googleusercontent.com"}
        | {"aud": "123-madeup.apps.googleusercontent.com", "sub": "100000000000000000001", "hd": "example.com"}
        | {"email": "ada@example.com", "email_verified": True, "at_hash": "made-up-at-hash", "name": "Ada Lovelace"}
        | times()
    )
    return Provider(
        row="Google",
        administrator=Token(identity),
        user=Token({**identity, "email": "grace@example.com"}),
        others={
            "token that nothing marks as an ID token": Token(without(identity, "at_hash"), {}, "wrong_type"),
            "ID token of another client": Token({**identity, "aud": "456-madeup"}, {}, "wrong_audience"),
            "security event": Token(logout_of(identity), {"typ": "secevent+jwt"}, "wrong_type"),
        },
    )


def supabase() -> list[Provider]:
    session = (
        {"iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1", "sub": "f2b6a000-0000-4000-8000-000000000001"}
        | {"aud": "authenticated", "email": "ada@example.com", "phone": ""}
        | {"app_metadata": {"provider": "email", "providers": ["email"], "role": "admin"}}
        | {"user_metadata": {"email": "ada@example.com", "email_verified": True}, "role": "authenticated"}
        | {"aal": "aal1", "amr": [{"method": "password", "timestamp": ISSUED_AT - 1}]}
        | {"session_id": "f2b6a000-0000-4000-8000-000000000002", "is_anonymous": False}
        | times()
    )
    # A user can write user_metadata, and so try to get an administrator's role.
    user = {**session, "app_metadata": {"provider": "email"}, "user_metadata": {"role": "admin"}}
    service = {"iss": "supabase", "ref": "abcdefghijklmnopqrst", "role": "service_role", **times()}
    others = {
        "service_role key": Token({**service, "sub": session["sub"], "aud": session["aud"]}, {}, "wrong_issuer"),
        "anon key": Token({**service, "role": "anon"}, {}, "missing_claim"),
        "access token of an OAuth client bound to a key": Token({**session, **BOUND}, {}, "wrong_type"),
        "security event": Token(logout_of(session), {"typ": "secevent+jwt"}, "wrong_type"),
    }
    return [
        Provider(
            row="Supabase",
            administrator=Token(session),
            user=Token(user),
            others=others,
            key="ES256",
            jwk=lambda jwk: {**jwk, "ext": True, "key_ops": ["verify"]},
        ),
        Provider(row="Supabase, HS256", administrator=Token(session), user=Token(user), others=others, key="HS256"),
    ]


PROVIDERS = [*cognito(), auth0(), okta(), entra_id(), keycloak(), clerk(), firebase(), google(), *supabase()]
OTHER_TOKENS = [(provider, name) for provider in PROVIDERS for name in provider.others]


def signing_key(provider: Provider, keys: dict[str, SigningKey], secret: str, algorithm: str = "") -> SigningKey:
    """Return the provider's signing key, or one with another algorithm."""
    if provider.key == "HS256":
        return SigningKey("HS256", "HS256", secret.encode())
    if algorithm[:2] == "HS":
        return SigningKey("made-up-hmac-key", algorithm, b"made-up-secret-of-the-provider-alone" * 2)
    return keys[provider.key]
