"""Handler results for a token: a policy, 401 (Unauthorized) or 500 (any other exception)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from authorizer.errors import ConfigurationError, KeyUnavailableError
from tests.support.issuer import AUDIENCE, SECRET, SUBJECT, KeySetServer, Signers, claims, token
from tests.support.malicious_tokens import HOSTILE, HOSTILE_TO_KEY_SET, HOSTILE_TO_SECRET, YEAR_9999
from tests.unit.authorizer.conftest import APP, STAGE_ARN, cold_start, effect, logged

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.malicious_tokens import Case
    from tests.support.parameter_store import ParameterStore
    from tests.unit.authorizer.conftest import Authorize, Keys

    Metrics = Callable[[], list[dict[str, Any]]]
    Rejected = Callable[[Case], None]

in_key_set_mode = pytest.mark.parametrize("signers", ["key_set"], indirect=True)
in_secret_mode = pytest.mark.parametrize("signers", ["secret"], indirect=True)
unauthorized = pytest.raises(Exception, match=r"^Unauthorized$")


@pytest.fixture
def metrics(capsys: pytest.CaptureFixture[str]) -> Metrics:
    """Return a function that takes the metrics so far."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


# --- allowed and denied -----------------------------------------------------------------------------------------------


def test_administrator_is_allowed_on_the_stage(signers: Signers, authorize: Authorize, metrics: Metrics) -> None:
    """The policy allows the whole stage of the requested method; no metric counts the token."""
    assert authorize(f"Bearer {token(signers.own)}") == {
        "principalId": SUBJECT,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": STAGE_ARN}],
        },
        "context": {"sub": SUBJECT},
    }
    assert metrics() == []


@pytest.mark.parametrize(
    ("changes", "effect", "name"),
    [
        ({"email": "ada@example.com", "name": "Ada"}, "Allow", {"name": "ada@example.com"}),
        ({"email": 7, "name": "Ada Lövelace 🔑"}, "Allow", {"name": "Ada Lövelace 🔑"}),
        ({"email": ["ada@example.com"], "name": "\u202eadA"}, "Allow", {}),
        ({"name": "Eve", "role": "user"}, "Deny", {"name": "Eve"}),
    ],
)
def test_the_context_has_the_readable_name(
    changes: dict[str, Any], effect: str, name: dict[str, str], signers: Signers, environment: pytest.MonkeyPatch
) -> None:
    """Without a name the context has no member for it, because API Gateway answers 500 to a null, list or object."""
    environment.setenv("NAME_CLAIMS", "email,name")

    result = cold_start()(f"Bearer {token(signers.own, claims(**changes))}")

    assert result["context"] == {"sub": SUBJECT, **name}
    assert (result["principalId"], result["policyDocument"]["Statement"][0]["Effect"]) == (SUBJECT, effect)


@in_key_set_mode
@pytest.mark.parametrize("name", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed448"])
def test_asymmetric_algorithms_accepted(name: str, keys: Keys, authorize: Authorize) -> None:
    """A token of each asymmetric algorithm verifies with its key in the JWKS."""
    assert effect(authorize, token(keys[name])) == "Allow"


@in_secret_mode
@pytest.mark.parametrize("header", [{"kid": ...}, {"kid": ""}, {"kid": "../../dev/null"}, {"typ": "at+jwt"}], ids=str)
def test_shared_secret_ignores_kid(header: dict[str, Any], signers: Signers, authorize: Authorize) -> None:
    """With a shared secret, a valid token may name any key."""
    assert effect(authorize, token(signers.own, **header)) == "Allow"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(lambda _: {"aud": ["other", AUDIENCE]}, id="one of several audiences"),
        pytest.param(lambda _: {"aud": ..., "client_id": AUDIENCE}, id="client_id without aud"),
        pytest.param(lambda now: {"exp": int(now) - 5}, id="expired within the leeway"),
        pytest.param(lambda _: {"exp": YEAR_9999}, id="expires in the year 9999"),
        pytest.param(lambda now: {"nbf": now + 5}, id="early within the leeway"),
        pytest.param(lambda now: {"exp": now + 600.5, "iat": now}, id="times with a fraction"),
        pytest.param(lambda _: {"nbf": 0}, id="nbf the epoch"),
        pytest.param(lambda _: {"iat": 0}, id="iat the epoch"),
        pytest.param(lambda _: {"iat": ...}, id="no iat"),
        pytest.param(lambda _: {"sub": "x"}, id="sub of one character"),
        pytest.param(lambda _: {"sub": "auth0|Ada Lovelace é" + "x" * 235}, id="sub of 255 characters"),
    ],
)
def test_unusual_valid_tokens_allowed(
    changes: Callable[[float], dict[str, Any]], signers: Signers, authorize: Authorize
) -> None:
    """Several audiences, client_id, leeway, fractional and extreme times, short and long subjects are valid."""
    payload = claims(**changes(time.time()))
    result = authorize(f"Bearer {token(signers.own, payload)}")
    assert (result["policyDocument"]["Statement"][0]["Effect"], result["principalId"]) == ("Allow", payload["sub"])


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_is_case_insensitive(scheme: str, signers: Signers, authorize: Authorize) -> None:
    """The scheme can be in any case, with several spaces after it."""
    assert authorize(scheme + token(signers.own))["principalId"] == SUBJECT


@pytest.mark.parametrize(
    "changes",
    [
        *({"role": value} for value in (..., None, "", "user", "Admin", " admin", "user admin", "user,admin")),
        *({"role": value} for value in ("administrator", True, 1, [], ["user"], [["admin"]], [True, 1, None])),
        {"role": {"admin": True}},
        {"role": ..., "Role": "admin"},
        {"role": ..., "roles": ["admin"], "sub": "admin"},
    ],
    ids=str,
)
def test_non_administrator_is_denied(
    changes: dict[str, Any],
    signers: Signers,
    authorize: Authorize,
    caplog: pytest.LogCaptureFixture,
    metrics: Metrics,
) -> None:
    """A valid token without the admin claim gets a Deny policy, one log line, and a metric without its subject."""
    result = authorize(f"Bearer {token(signers.own, claims(**changes))}")

    assert result["policyDocument"]["Statement"] == [
        {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": STAGE_ARN}
    ]
    line, subject = logged(caplog), changes.get("sub", SUBJECT)
    assert (line["levelname"], line["reason"], line["sub"]) == ("INFO", "not_administrator", subject)
    (metric,) = metrics()
    assert (metric["reason"], metric["RefusedTokens"]) == ("not_administrator", 1)
    assert SUBJECT not in repr(metric)


# --- rejected ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def rejected(signers: Signers, authorize: Authorize, caplog: pytest.LogCaptureFixture, metrics: Metrics) -> Rejected:
    """Return an assertion: the token is rejected and its reason counted; no log line or metric contains it."""

    def check(case: Case) -> None:
        make, reason = case
        hostile = make(signers)

        with unauthorized as refusal:
            authorize(f"Bearer {hostile}")

        assert refusal.value.__suppress_context__  # keeps the cause out of the runtime's log
        line = logged(caplog)
        assert (line["levelname"], line["reason"]) == ("INFO", reason)
        (metric,) = metrics()
        assert (metric["reason"], metric["RefusedTokens"]) == (reason, 1)
        written = repr(vars(caplog.records[0])) + repr(metric)
        assert not [part for part in [*hostile.split("."), SUBJECT, SECRET] if len(part) > 8 and part in written]

    return check


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_token_rejected(name: str, rejected: Rejected) -> None:
    """Tokens that are invalid in both modes."""
    rejected(HOSTILE[name])


@in_key_set_mode
@pytest.mark.parametrize("name", HOSTILE_TO_KEY_SET)
def test_token_hostile_to_jwks_rejected(name: str, rejected: Rejected) -> None:
    """Tokens that are invalid in JWKS mode."""
    rejected(HOSTILE_TO_KEY_SET[name])


@in_secret_mode
@pytest.mark.parametrize("name", HOSTILE_TO_SECRET)
def test_token_hostile_to_shared_secret_rejected(name: str, rejected: Rejected, store: ParameterStore) -> None:
    """Tokens that are invalid in secret mode cause no second fetch of the secret."""
    rejected(HOSTILE_TO_SECRET[name])
    assert len(store.requests) == 1


@pytest.mark.parametrize(
    "header",
    [
        *("{}", "", "Bearer", "Bearer ", "Basic {}", "Token {}", "Bearer: {}", "Bearer{}", "Bearer\t{}", " Bearer {}"),
        *("Bearer {} ", "Bearer {}\n", "Bearer {},", "Bearer {} {}", "Bearer {}, Bearer {}", "Bearer Bearer {}"),
        *("Bearer {}=", "Bearer {}.{}", "Bearer {}\udcff", "Bearer a.b", "Bearer ..", "Basic YTpi"),
        "Bearer {}\u017f",  # case-folds to s
        *(None, 1, ["Bearer"], {}, b"Bearer a.b.c", ["Bearer a.b.c"]),
    ],
)
def test_malformed_authorization_header_rejected(
    header: object, signers: Signers, authorize: Authorize, caplog: pytest.LogCaptureFixture
) -> None:
    """The header must be `Bearer` and exactly one token; a header of another type is rejected too."""
    with unauthorized:
        authorize(header.replace("{}", token(signers.own)) if isinstance(header, str) else header)
    assert logged(caplog)["reason"] == "malformed"


@in_key_set_mode
@pytest.mark.parametrize(("length", "reason"), [(16 * 1024, "malformed"), (16 * 1024 + 1, "too_long")])
def test_header_limit_is_16_kib(
    length: int, reason: str, authorize: Authorize, server: KeySetServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A header over 16 KiB is rejected before parsing, and causes no fetch."""
    with unauthorized:
        authorize("Bearer ".ljust(length, "x"))
    assert logged(caplog)["reason"] == reason
    assert server.fetches == []


@in_key_set_mode
@pytest.mark.parametrize("header", [{"alg": "HS256"}, {"alg": "none"}, {"alg": "RSA-OAEP"}, {"typ": "logout+jwt"}])
def test_wrong_header_causes_no_fetch(
    header: dict[str, str], signers: Signers, authorize: Authorize, server: KeySetServer
) -> None:
    """A token with an unsupported `alg` or `typ` is rejected before the JWKS is fetched."""
    assert effect(authorize, token(signers.own, **header)) == "Unauthorized"
    assert server.fetches == []


@in_key_set_mode
@pytest.mark.parametrize("hint", ["jku", "x5u"])
def test_header_urls_are_never_fetched(hint: str, signers: Signers, authorize: Authorize, server: KeySetServer) -> None:
    """The URLs in `jku` and `x5u` are ignored."""
    with KeySetServer(signers.foreign.jwk) as foreign:
        assert effect(authorize, token(signers.own, **{hint: foreign.url})) == "Allow"
        assert foreign.fetches == []
    assert server.fetches == ["/.well-known/jwks.json"]


@in_key_set_mode
def test_unavailable_jwks_raises_key_unavailable(
    signers: Signers, authorize: Authorize, server: KeySetServer, caplog: pytest.LogCaptureFixture, metrics: Metrics
) -> None:
    """The error is logged without the token, and a metric filter on the log counts it."""
    server.status = 503
    with pytest.raises(KeyUnavailableError, match="503"):
        authorize(f"Bearer {token(signers.own)}")
    assert logged(caplog) == {"levelname": "ERROR", "reason": "key_unavailable"}
    assert "JWKS_URL" in caplog.messages[0]
    assert token(signers.own) not in caplog.text
    assert metrics() == [], "the metric filter on the log counts it"


def test_rejection_metric_format(authorize: Authorize, metrics: Metrics) -> None:
    """A rejected token is counted in CloudWatch's embedded metric format."""
    before = time.time()
    assert effect(authorize, "a.b.c") == "Unauthorized"
    (metric,) = metrics()
    assert before - 1 <= metric["_aws"].pop("Timestamp") / 1000 <= time.time()
    directive = {
        "Namespace": "ServiceKeys/test-stack",
        "Dimensions": [["service", "reason"]],
        "Metrics": [{"Name": "RefusedTokens", "Unit": "Count"}],
    }
    expected = {"service": "test-stack", "reason": "malformed", "RefusedTokens": 1}
    assert metric == {"_aws": {"CloudWatchMetrics": [directive]}} | expected


def test_empty_namespace_disables_metrics(
    key_set_mode: pytest.MonkeyPatch,
    server: KeySetServer,
    keys: Keys,
    caplog: pytest.LogCaptureFixture,
    metrics: Metrics,
) -> None:
    """Without a metrics namespace only log lines report rejections and errors."""
    key_set_mode.setenv("POWERTOOLS_METRICS_NAMESPACE", "")
    authorize = cold_start()
    server.status = 503
    assert effect(authorize, "") == "Unauthorized"
    assert "503" in effect(authorize, token(keys["RS256"]))
    assert [vars(record)["reason"] for record in caplog.records] == ["malformed", "key_unavailable"]
    assert metrics() == []


# --- cold start -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE", "ADMIN_CLAIM_RULE"])
def test_missing_variable_fails_the_cold_start(name: str, signers: Signers, environment: pytest.MonkeyPatch) -> None:
    """The error names the variable."""
    environment.delenv(name)
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        cold_start()


@in_secret_mode
def test_the_secret_is_fetched_once_at_the_cold_start(
    signers: Signers, authorize: Authorize, store: ParameterStore
) -> None:
    """Tokens cause no further fetch."""
    assert len(store.requests) == 1
    for _ in range(10):
        authorize(f"Bearer {token(signers.own)}")
    assert len(store.requests) == 1


@pytest.mark.parametrize("mode", ["key_set_mode", "secret_mode"])
def test_only_secret_mode_imports_botocore(mode: str, request: pytest.FixtureRequest) -> None:
    """Neither mode imports boto3, pydantic or Powertools."""
    request.getfixturevalue(mode)
    heavy = ("boto3", "botocore", "pydantic", "aws_lambda_powertools", "urllib3")
    code = f"import sys, app; print([name for name in {heavy!r} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=APP.parent, capture_output=True, text=True, check=True)
    loaded = ["botocore", "urllib3"] if mode == "secret_mode" else []
    assert ran.stdout == f"{loaded}\n"
