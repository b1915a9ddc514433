"""Token types, audiences and clock skew: configuration, rejection reasons and log hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from authorizer.admin_rule import Mismatch
from authorizer.errors import TokenRefusedError
from authorizer.jwks import JwksKeys
from authorizer.token_verifier import TokenVerifier
from tests.support.issuer import AUDIENCE, ISSUER, SUBJECT, claims, token
from tests.unit.authorizer.conftest import cold_start, effect, logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.issuer import KeySetServer
    from tests.unit.authorizer.conftest import Clock, Keys

    Outcome = Callable[..., str]


@pytest.fixture
def outcome(key_set_mode: pytest.MonkeyPatch, keys: Keys) -> Outcome:
    """Return a function that deploys with these variables: the outcome for a token with these claims and header."""

    def send(changes: dict[str, Any] | None = None, header: dict[str, Any] | None = None, **variables: str) -> str:
        for name, value in variables.items():
            key_set_mode.setenv(name, value)
        return effect(cold_start(), token(keys["RS256"], claims(**(changes or {})), **(header or {})))

    return send


@pytest.mark.parametrize(
    ("header", "changes"),
    [
        *(({"typ": typ}, {}) for typ in (..., "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt")),
        *(({"typ": "application/JWT"}, {}), ({}, {"nonce": "made-up"})),
        *(({}, {"token_use": use}) for use in ("access", None)),
        *(({}, {"typ": typ}) for typ in ("Bearer", "at+jwt")),
        *(({}, {"token_type": "access_token"}), ({}, {"token_type": ["Bearer"]})),
        ({}, {"token_type": "urn:ietf:params:oauth:token-type:access_token"}),
        *(({}, {"type": "employee"}), ({}, {"use": 1})),
    ],
    ids=str,
)
def test_access_tokens_are_accepted(header: dict[str, Any], changes: dict[str, Any], outcome: Outcome) -> None:
    """Issuers state the type in `typ` (case and prefix do not count: RFC 7515, 4.1.9), in claims, or not at all."""
    assert outcome(changes, header) == "Allow"


@pytest.mark.parametrize(
    ("required", "header", "stated"),
    [
        ("at+jwt", {"typ": "at+jwt"}, {}),
        ("at+jwt", {"typ": "application/AT+JWT"}, {}),
        ("application/at+jwt", {"typ": "at+jwt"}, {}),
        ("typ=at+jwt", {"typ": "at+jwt"}, {}),
        ("typ=Bearer", {}, {"typ": "Bearer"}),
        ("Bearer", {}, {"typ": "Bearer"}),
        ("access", {}, {"token_use": "access"}),
        ("token_use=access", {}, {"token_use": "access"}),
        ("token_type=access", {}, {"token_type": "access"}),
        ("access", {}, {"type": "access"}),
        ("session", {}, {"token_use": "session"}),
        ("vnd.example.session", {"typ": "vnd.example.session"}, {}),
        ("session+jwt", {"typ": "session+jwt"}, {}),
        *((required, {}, {"token_use": "id", "at_hash": "made-up"}) for required in ("token_use=id", "id", "id_token")),
        *((required, {}, {"typ": "ID", "nonce": "made-up"}) for required in ("typ=ID", "ID", "id_token")),
        *(("id_token", {}, {claim: "made-up"}) for claim in ("at_hash", "c_hash", "s_hash", "nonce")),
        ("id_token", {}, {"token_type": "urn:ietf:params:oauth:token-type:id_token"}),
    ],
)
def test_a_token_of_the_required_type_is_accepted(
    required: str, header: dict[str, Any], stated: dict[str, Any], outcome: Outcome
) -> None:
    """The required type may be a custom one or that of ID tokens, which are rejected by default."""
    assert outcome(stated, header, REQUIRED_TOKEN_TYPE=required) == "Allow"


@pytest.mark.parametrize(
    ("required", "header", "stated"),
    [
        ("at+jwt", {}, {}),
        ("at+jwt", {"typ": ...}, {}),
        ("at+jwt", {"typ": ...}, {"token_use": "access"}),
        ("typ=at+jwt", {}, {"token_use": "at+jwt"}),
        ("token_use=access", {}, {"token_use": "id"}),
        ("token_use=access", {}, {}),
        ("token_use=access", {}, {"token_type": "access"}),
        ("token_use=access", {}, {"token_use": "accessory"}),
        ("token_use=access", {}, {"token_use": True}),
        ("token_use=access", {}, {"tokenUse": "access"}),
        ("typ=Bearer", {}, {"typ": "ID"}),
        ("access", {}, {"role": ["admin", "access"]}),
        ("access", {}, {"token_use": "access", "token_type": "refresh"}),
        ("access", {"typ": "logout+jwt"}, {"token_use": "access"}),
        ("access", {}, {"token_use": "access", "cnf": {"jkt": "made-up"}}),
        ("token_use=session", {"typ": "session"}, {"token_use": "session"}),
        ("id_token", {}, {}),
        ("id_token", {}, {"token_use": "access"}),
        ("token_use=id", {}, {"at_hash": "made-up"}),
        ("token_use=id", {}, {"typ": "ID"}),
        ("access", {}, {"token_use": "access", "at_hash": "made-up"}),
        ("typ=JWT", {}, {"at_hash": "made-up"}),
    ],
)
def test_other_type_than_required_rejected(
    required: str,
    header: dict[str, Any],
    stated: dict[str, Any],
    outcome: Outcome,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A token that does not state its type is rejected too."""
    assert outcome(stated, header, REQUIRED_TOKEN_TYPE=required) == "Unauthorized"
    assert logged(caplog)["reason"] == "wrong_type"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"aud": ..., "azp": AUDIENCE}, "Allow"),
        ({"azp": "other"}, "Allow"),
        ({"aud": ...}, "Unauthorized"),
        ({"aud": ..., "azp": None}, "Unauthorized"),
        ({"aud": ..., "azp": [AUDIENCE]}, "Unauthorized"),
        ({"aud": ..., "azp": "https://other.example"}, "Unauthorized"),
        ({"aud": ..., "client_id": AUDIENCE}, "Unauthorized"),
        ({"aud": "other", "azp": AUDIENCE}, "Unauthorized"),
        ({"aud": [], "azp": AUDIENCE}, "Unauthorized"),
        ({"aud": None, "azp": AUDIENCE}, "Unauthorized"),
    ],
    ids=str,
)
def test_azp_replaces_missing_aud_if_configured(changes: dict[str, Any], expected: str, outcome: Outcome) -> None:
    """A wrong aud is rejected even if azp matches."""
    assert outcome(changes, JWT_AUDIENCE_CLAIM="azp") == expected


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_clock_skew_limit_is_60_seconds(name: str, keys: Keys, server: KeySetServer, clock: Clock) -> None:
    """The claims `nbf` and `iat` may be up to 60 s in the future."""
    verifier = TokenVerifier(issuer=ISSUER, audience=AUDIENCE, keys=JwksKeys(server.url), clock=clock)
    clock.now = claims()["iat"]

    def verify(ahead: float) -> dict[str, Any]:
        payload = claims(**{"iat": clock.now, name: clock.now + ahead})
        return verifier.verify(f"Bearer {token(keys['RS256'], payload)}")

    for ahead in (-86400.0, 0.0, 15.0, 60.0):
        assert verify(ahead)[name] == clock.now + ahead
    for ahead in (60.5, 61, 3600):
        with pytest.raises(TokenRefusedError, match="not_yet_valid"):
            verify(ahead)


@pytest.mark.parametrize(
    ("changes", "reason", "claim", "hint"),
    [
        ({"exp": ...}, "missing_claim", "exp", ""),
        ({"iss": ...}, "missing_claim", "iss", ""),
        ({"sub": ...}, "missing_claim", "sub", ""),
        ({"sub": None}, "missing_claim", "sub", ""),
        ({"exp": 1}, "expired", "exp", ""),
        ({"iss": "https://issuer.example"}, "wrong_issuer", "iss", "a slash at the end included"),
        ({"iss": "made-up-issuer", "token_use_made_up": "made-up-value" * 100}, "wrong_issuer", "iss", "JwtIssuer"),
        ({"typ": "made-up-value" * 100}, "wrong_type", None, "RequiredTokenType"),
        ({"aud": "other"}, "wrong_audience", "aud", "another audience than JwtAudience"),
        ({"aud": ..., "client_id": "other"}, "wrong_audience", "client_id", "another audience than JwtAudience"),
        ({"aud": ...}, "wrong_audience", "aud", "JwtAudienceClaim"),
        ({"aud": ..., "azp": AUDIENCE}, "wrong_audience", "aud", "JwtAudienceClaim"),
        ({"nbf": "1"}, "bad_claim", "nbf", ""),
        ({"iat": False}, "bad_claim", "iat", ""),
        ({"exp": 10**15}, "bad_claim", "exp", ""),
        ({"sub": 7}, "bad_claim", "sub", ""),
        ({"sub": "a\nb"}, "bad_claim", "sub", ""),
        ({"jti": 1}, "bad_claim", "jti", ""),
        ({"nbf": 9_999_999_999}, "not_yet_valid", "nbf", ""),
        ({"iat": 9_999_999_999}, "not_yet_valid", "iat", ""),
        ({"cnf": {}}, "wrong_type", "cnf", "not a plain bearer token"),
        ({"events": {}}, "wrong_type", "events", "not a plain bearer token"),
    ],
    ids=lambda value: f"{value!s:.40}",
)
def test_log_names_the_invalid_claim_with_a_hint(
    changes: dict[str, Any],
    reason: str,
    claim: str | None,
    hint: str,
    outcome: Outcome,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Name and hint are fixed texts of the source code; the line contains nothing of the token."""
    assert outcome(changes) == "Unauthorized"
    line = logged(caplog)
    assert (line["reason"], line.get("claim")) == (reason, claim)
    assert hint in line.get("hint", "")
    assert len(line.get("hint", "")) < 300
    assert "sub" not in line
    assert SUBJECT not in str(line)
    assert "made-up" not in str(line).replace("_", "-")


@pytest.mark.parametrize(
    ("rule", "changes", "why"),
    [
        ("/realm_access/roles=admin", {}, Mismatch.CLAIM_MISSING),
        ("/realm_access/roles=admin", {"realm_access": {"roles": ["user"]}}, Mismatch.VALUE_MISSING),
        ("role=owner", {}, Mismatch.VALUE_MISSING),
        ("email=ada@example.com", {"email": "ada@example.com"}, Mismatch.EMAIL_NOT_VERIFIED),
    ],
)
def test_a_403_is_logged_with_the_rules_claim_and_a_hint(
    rule: str, changes: dict[str, Any], why: Mismatch, outcome: Outcome, caplog: pytest.LogCaptureFixture
) -> None:
    """The hint distinguishes a wrong rule from a user without the admin claim."""
    assert outcome(changes, ADMIN_CLAIM_RULE=rule) == "Deny"
    line = {"reason": "not_administrator", "claim": rule.partition("=")[0], "hint": why.value, "sub": SUBJECT}
    assert logged(caplog) == {"levelname": "INFO"} | line
