"""Token types, audiences and clock skew: configuration, rejection reasons and log hints."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from authorizer.admin_rule import Mismatch
from authorizer.jwks import JwksKeys
from authorizer.token_verifier import TokenVerifier
from tests.support.issuer import AUDIENCE, SUBJECT, SigningKey, claims, token
from tests.unit.authorizer.conftest import METHOD_ARN, load_app

if TYPE_CHECKING:
    from tests.unit.authorizer.conftest import Clock

HINT_LIMIT = 300
"""Characters; a hint is a sentence or two from the source code."""


class Deployment:
    """The function with some environment variables, and its log."""

    def __init__(self, key: SigningKey, log: pytest.LogCaptureFixture) -> None:
        self.key = key
        self._log = log
        self._handler = load_app().handler

    def answer(self, payload: dict[str, Any] | None = None, **header: Any) -> str:
        """Return ``Allow``, ``Deny`` or ``Unauthorized`` for a token with these claims and header."""
        event = {"authorizationToken": f"Bearer {token(self.key, payload, **header)}", "methodArn": METHOD_ARN}
        try:
            effect: str = self._handler(event, None)["policyDocument"]["Statement"][0]["Effect"]
        except Exception as error:  # noqa: BLE001 - API Gateway sees the message alone
            return str(error)
        return effect

    def logged(self) -> dict[str, Any]:
        """Return the authorizer's own fields of the last log line."""
        last = vars(self._log.records[-1])
        return {name: last[name] for name in ("reason", "claim", "hint", "sub") if name in last}


@pytest.fixture
def deployed(key_set_mode: pytest.MonkeyPatch, keys: dict[str, SigningKey], caplog: pytest.LogCaptureFixture) -> Any:
    """Deploy with these variables, in JWKS mode."""
    caplog.set_level("INFO", "authorizer")

    def deploy(**variables: str) -> Deployment:
        for name, value in variables.items():
            key_set_mode.setenv(name, value)
        return Deployment(keys["RS256"], caplog)

    return deploy


@pytest.mark.parametrize("typ", [..., "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/JWT"])
def test_access_and_id_tokens_are_accepted_by_their_typ(typ: Any, deployed: Any) -> None:
    """RFC 7519 makes typ optional, RFC 9068 defines at+jwt; case and the prefix do not count (RFC 7515, 4.1.9)."""
    assert deployed().answer(typ=typ) == "Allow"


@pytest.mark.parametrize(
    "stated",
    [
        {"token_use": "access"},
        {"token_use": "id"},
        {"token_use": None},
        {"typ": "Bearer"},
        {"typ": "ID"},
        {"typ": "at+jwt"},
        {"token_type": "access_token"},
        {"token_type": "urn:ietf:params:oauth:token-type:access_token"},
        {"token_type": ["Bearer"]},
        {"type": "employee"},
        {"use": 1},
        {"nonce": "made-up", "at_hash": "made-up"},
    ],
    ids=str,
)
def test_access_and_id_tokens_are_accepted_by_their_claims(stated: dict[str, Any], deployed: Any) -> None:
    """Issuers state the type in several claims, or not at all."""
    assert deployed().answer(claims(**stated)) == "Allow"


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
    ],
)
def test_a_token_of_the_required_type_is_accepted(
    required: str, header: dict[str, Any], stated: dict[str, Any], deployed: Any
) -> None:
    """The required type may be a custom one, which is rejected by default."""
    assert deployed(REQUIRED_TOKEN_TYPE=required).answer(claims(**stated), **header) == "Allow"


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
    ],
)
def test_other_type_than_required_rejected(
    required: str, header: dict[str, Any], stated: dict[str, Any], deployed: Any
) -> None:
    """A token that does not state its type is rejected too."""
    deployment = deployed(REQUIRED_TOKEN_TYPE=required)

    assert deployment.answer(claims(**stated), **header) == "Unauthorized"
    assert deployment.logged()["reason"] == "wrong_type"


def test_a_wrong_type_in_the_header_causes_no_fetch(deployed: Any, server: Any) -> None:
    """The token is rejected before the JWKS is fetched."""
    assert deployed().answer(typ="logout+jwt") == "Unauthorized"
    assert server.fetches == []


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"aud": ..., "azp": AUDIENCE}, "Allow"),
        ({"aud": ..., "azp": "https://other.example"}, "Unauthorized"),
        ({"aud": ..., "azp": [AUDIENCE]}, "Unauthorized"),
        ({"aud": ..., "azp": None}, "Unauthorized"),
        ({"aud": ...}, "Unauthorized"),
        ({"aud": ..., "client_id": AUDIENCE}, "Unauthorized"),
        ({"aud": "other", "azp": AUDIENCE}, "Unauthorized"),
        ({"aud": [], "azp": AUDIENCE}, "Unauthorized"),
        ({"aud": None, "azp": AUDIENCE}, "Unauthorized"),
        ({"azp": "other"}, "Allow"),
    ],
    ids=str,
)
def test_azp_replaces_missing_aud_if_configured(changes: dict[str, Any], answer: str, deployed: Any) -> None:
    """A wrong aud is rejected even if azp matches."""
    assert deployed(JWT_AUDIENCE_CLAIM="azp").answer(claims(**changes)) == answer


def test_azp_is_ignored_by_default(deployed: Any) -> None:
    """A token without aud is rejected unless the deployer chose another claim."""
    deployment = deployed()

    assert deployment.answer(claims(aud=..., azp=AUDIENCE)) == "Unauthorized"
    assert deployment.logged()["claim"] == "aud"
    assert "JwtAudienceClaim" in deployment.logged()["hint"]


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_clock_skew_limit_is_60_seconds(name: str, keys: dict[str, SigningKey], server: Any, clock: Clock) -> None:
    """The claims `nbf` and `iat` may be up to 60 s in the future."""
    verifier = TokenVerifier(
        issuer="https://issuer.example/", audience=AUDIENCE, keys=JwksKeys(server.url), clock=clock
    )
    clock.now = claims()["iat"]

    def answer(ahead: float) -> str:
        payload = claims(**{"iat": clock.now, name: clock.now + ahead})
        try:
            verifier.verify(f"Bearer {token(keys['RS256'], payload)}")
        except Exception as error:  # noqa: BLE001 - the reason is compared
            return str(error)
        return "ok"

    assert [answer(ahead) for ahead in (-86400, 0, 15, 60)] == ["ok"] * 4
    assert [answer(ahead) for ahead in (60.5, 61, 3600)] == ["not_yet_valid"] * 3


@pytest.mark.parametrize(
    ("changes", "logged"),
    [
        ({"exp": ...}, ("missing_claim", "exp")),
        ({"iss": ...}, ("missing_claim", "iss")),
        ({"sub": ...}, ("missing_claim", "sub")),
        ({"sub": None}, ("missing_claim", "sub")),
        ({"exp": 1}, ("expired", "exp")),
        ({"iss": "https://other.example/"}, ("wrong_issuer", "iss")),
        ({"aud": "other"}, ("wrong_audience", "aud")),
        ({"aud": ..., "client_id": "other"}, ("wrong_audience", "client_id")),
        ({"aud": ...}, ("wrong_audience", "aud")),
        ({"nbf": "1"}, ("bad_claim", "nbf")),
        ({"iat": False}, ("bad_claim", "iat")),
        ({"exp": 10**15}, ("bad_claim", "exp")),
        ({"sub": 7}, ("bad_claim", "sub")),
        ({"sub": "a\nb"}, ("bad_claim", "sub")),
        ({"jti": 1}, ("bad_claim", "jti")),
        ({"nbf": 9_999_999_999}, ("not_yet_valid", "nbf")),
        ({"iat": 9_999_999_999}, ("not_yet_valid", "iat")),
        ({"cnf": {}}, ("wrong_type", "cnf")),
        ({"events": {}}, ("wrong_type", "events")),
    ],
    ids=str,
)
def test_log_names_the_invalid_claim(changes: dict[str, Any], logged: tuple[str, str], deployed: Any) -> None:
    """The name is from a fixed list; the line contains nothing of the token."""
    deployment = deployed()

    assert deployment.answer(claims(**changes)) == "Unauthorized"
    line = deployment.logged()
    assert (line["reason"], line["claim"]) == logged
    assert "sub" not in line
    assert SUBJECT not in str(line)


@pytest.mark.parametrize("name", ["token_use_made_up_secret_value", "typ"])
def test_hint_contains_nothing_of_the_token(name: str, deployed: Any) -> None:
    """Neither a claim's name nor its value can lengthen the line."""
    deployment = deployed()
    payload = claims(
        **{name: "made-up-secret-value" * 100, "iss": "made-up-issuer" if name != "typ" else claims()["iss"]}
    )

    assert deployment.answer(payload) == "Unauthorized"
    assert "made-up" not in json.dumps(deployment.logged()).replace("_", "-")
    assert len(deployment.logged()["hint"]) < HINT_LIMIT


def test_wrong_issuer_hint_mentions_trailing_slash(deployed: Any) -> None:
    """Auth0's issuers end with a slash, and others do not."""
    deployment = deployed()

    assert deployment.answer(claims(iss="https://issuer.example")) == "Unauthorized"
    assert "a slash at the end included" in deployment.logged()["hint"]


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
    rule: str, changes: dict[str, Any], why: Mismatch, deployed: Any
) -> None:
    """The hint distinguishes a wrong rule from a user without the admin claim."""
    deployment = deployed(ADMIN_CLAIM_RULE=rule)

    assert deployment.answer(claims(**changes)) == "Deny"
    assert deployment.logged() == {
        "reason": "not_administrator",
        "claim": rule.partition("=")[0],
        "hint": why.value,
        "sub": SUBJECT,
    }
