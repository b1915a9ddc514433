"""Handler results for a token: a policy, 401 (Unauthorized) or 500 (any other exception)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from authorizer.errors import ConfigurationError, KeyUnavailableError
from tests.support.issuer import AUDIENCE, SECRET, SUBJECT, KeySetServer, Signers, SigningKey, claims, token
from tests.support.malicious_tokens import HOSTILE, HOSTILE_TO_KEY_SET, HOSTILE_TO_SECRET, Cases
from tests.unit.authorizer.conftest import METHOD_ARN, STAGE_ARN, Authorize, load_app

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.parameter_store import ParameterStore

Keys = dict[str, SigningKey]

in_key_set_mode = pytest.mark.parametrize("signers", ["key_set"], indirect=True)
in_secret_mode = pytest.mark.parametrize("signers", ["secret"], indirect=True)


def test_administrator_is_allowed_on_the_stage(signers: Signers, authorize: Authorize) -> None:
    """The policy allows the whole stage of the requested method."""
    assert authorize(f"Bearer {token(signers.own)}") == {
        "principalId": SUBJECT,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": STAGE_ARN}],
        },
        "context": {"sub": SUBJECT},
    }


@in_key_set_mode
@pytest.mark.parametrize("name", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed448"])
def test_asymmetric_algorithms_accepted(name: str, keys: Keys, authorize: Authorize) -> None:
    """A token of each asymmetric algorithm verifies with its key in the JWKS."""
    assert authorize(f"Bearer {token(keys[name])}")["policyDocument"]["Statement"][0]["Effect"] == "Allow"


@in_secret_mode
@pytest.mark.parametrize(
    "header", [{}, {"kid": ...}, {"kid": ""}, {"kid": "../../dev/null"}, {"typ": "at+jwt"}], ids=str
)
def test_shared_secret_ignores_kid(header: dict[str, Any], signers: Signers, authorize: Authorize) -> None:
    """With a shared secret, a valid token may name any key."""
    answer = authorize(f"Bearer {token(signers.own, **header)}")
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"


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
def test_unusual_valid_tokens_allowed(payload: Callable[[], object], signers: Signers, authorize: Authorize) -> None:
    """Several audiences, client_id, leeway, fractional times and long subjects are valid."""
    answer = authorize(f"Bearer {token(signers.own, payload())}")
    assert answer["policyDocument"]["Statement"][0]["Effect"] == "Allow"


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_the_scheme_is_case_insensitive(scheme: str, signers: Signers, authorize: Authorize) -> None:
    assert authorize(scheme + token(signers.own))["principalId"] == SUBJECT


@in_key_set_mode
@pytest.mark.parametrize("hint", ["jku", "x5u"])
def test_header_urls_are_never_fetched(hint: str, signers: Signers, authorize: Authorize, server: KeySetServer) -> None:
    """The URLs in `jku` and `x5u` are ignored."""
    with KeySetServer(signers.foreign.jwk) as foreign:
        authorize(f"Bearer {token(signers.own, **{hint: foreign.url})}")
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
def test_non_administrator_is_denied(
    changes: dict[str, Any], signers: Signers, authorize: Authorize, caplog: pytest.LogCaptureFixture
) -> None:
    """A valid token without the admin claim gets a Deny policy and one log line."""
    answer = authorize(f"Bearer {token(signers.own, claims(**changes))}")

    assert answer["policyDocument"]["Statement"] == [
        {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": STAGE_ARN}
    ]
    logged = [(record.levelname, vars(record)["reason"], vars(record)["sub"]) for record in caplog.records]
    assert logged == [("INFO", "not_administrator", changes.get("sub", SUBJECT))]


def refuses(
    cases: Cases,
    name: str,
    signers: Signers,
    authorize: Authorize,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Assert that the token is rejected, that its reason is counted, and that no log line or metric contains it."""
    make, reason = cases[name]
    hostile = make(signers)

    with pytest.raises(Exception, match=r"^Unauthorized$") as refusal:
        authorize(f"Bearer {hostile}")

    assert refusal.value.__suppress_context__  # keeps the cause out of the runtime's log
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("INFO", reason)
    (metric,) = metrics(capsys)
    assert (metric["reason"], metric["RefusedTokens"]) == (reason, 1)
    written = repr(vars(record)) + repr(metric)
    assert not [part for part in [*hostile.split("."), SUBJECT, SECRET] if len(part) > 8 and part in written]


def metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_token_rejected(
    name: str,
    signers: Signers,
    authorize: Authorize,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Tokens that are invalid in both modes."""
    refuses(HOSTILE, name, signers, authorize, caplog, capsys)


@in_key_set_mode
@pytest.mark.parametrize("name", HOSTILE_TO_KEY_SET)
def test_token_hostile_to_jwks_rejected(
    name: str,
    signers: Signers,
    authorize: Authorize,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Tokens that are invalid in JWKS mode."""
    refuses(HOSTILE_TO_KEY_SET, name, signers, authorize, caplog, capsys)


@in_secret_mode
@pytest.mark.parametrize("name", HOSTILE_TO_SECRET)
def test_token_hostile_to_shared_secret_rejected(
    name: str,
    signers: Signers,
    authorize: Authorize,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    store: ParameterStore,
) -> None:
    """Tokens that are invalid in secret mode cause no second fetch of the secret."""
    refuses(HOSTILE_TO_SECRET, name, signers, authorize, caplog, capsys)
    assert len(store.requests) == 1


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
        "Bearer {}\u017f",  # case-folds to s
        "Bearer {}\udcff",
        "Bearer a.b",
        "Bearer ..",
    ],
)
def test_malformed_authorization_header_rejected(header: str, signers: Signers, authorize: Authorize) -> None:
    """The header must be `Bearer` and exactly one token."""
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(header.replace("{}", token(signers.own)))


@pytest.mark.parametrize("header", [None, 1, ["Bearer"], {}])
def test_non_string_authorization_header_rejected(header: object, authorize: Authorize) -> None:
    """A header of another type is rejected, not an error."""
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(header)


@in_key_set_mode
def test_token_over_16_kib_is_not_parsed(
    signers: Signers, authorize: Authorize, server: KeySetServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A header over 16 KiB is rejected before parsing, and causes no fetch."""
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize(f"Bearer {token(signers.own, claims(padding='x' * 16 * 1024))}")
    assert [vars(record)["reason"] for record in caplog.records] == ["too_long"]
    assert server.fetches == []


@in_key_set_mode
def test_unsupported_algorithm_causes_no_fetch(authorize: Authorize, server: KeySetServer) -> None:
    """A token with an unsupported `alg` is rejected before the JWKS is fetched."""
    for alg in ("HS256", "none", "RSA-OAEP"):
        with pytest.raises(Exception, match=r"^Unauthorized$"):
            authorize(f"Bearer {token(SigningKey('unknown', 'HS256', b'x' * 32), alg=alg)}")
    assert server.fetches == []


@in_key_set_mode
def test_unavailable_jwks_raises_key_unavailable(
    signers: Signers,
    authorize: Authorize,
    server: KeySetServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The error is logged without the token, and a metric filter on the log counts it."""
    server.status = 503
    with pytest.raises(KeyUnavailableError, match="503"):
        authorize(f"Bearer {token(signers.own)}")
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("ERROR", "key_unavailable")
    assert "JWKS_URL" in record.getMessage()
    assert token(signers.own) not in caplog.text
    assert metrics(capsys) == [], "the metric filter on the log counts it"


def test_rejection_metric_format(authorize: Authorize, capsys: pytest.CaptureFixture[str]) -> None:
    """A rejected token is counted in CloudWatch's embedded metric format."""
    before = time.time()
    with pytest.raises(Exception, match=r"^Unauthorized$"):
        authorize("Bearer a.b.c")
    (metric,) = metrics(capsys)
    assert before - 1 <= metric["_aws"].pop("Timestamp") / 1000 <= time.time()
    assert metric == {
        "_aws": {
            "CloudWatchMetrics": [
                {
                    "Namespace": "ServiceKeys/test-stack",
                    "Dimensions": [["service", "reason"]],
                    "Metrics": [{"Name": "RefusedTokens", "Unit": "Count"}],
                }
            ]
        },
        "service": "test-stack",
        "reason": "malformed",
        "RefusedTokens": 1,
    }


def test_denial_metric_has_no_subject(
    signers: Signers, authorize: Authorize, capsys: pytest.CaptureFixture[str]
) -> None:
    """A denied token is counted without its subject."""
    authorize(f"Bearer {token(signers.own, claims(role='user'))}")
    (metric,) = metrics(capsys)
    assert (metric["reason"], metric["RefusedTokens"]) == ("not_administrator", 1)
    assert SUBJECT not in repr(metric)


def test_allowed_token_is_not_counted(
    signers: Signers, authorize: Authorize, capsys: pytest.CaptureFixture[str]
) -> None:
    """An allowed token writes no metric."""
    authorize(f"Bearer {token(signers.own)}")
    assert metrics(capsys) == []


def test_empty_namespace_disables_metrics(
    key_set_mode: pytest.MonkeyPatch,
    server: KeySetServer,
    keys: Keys,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a metrics namespace only log lines report rejections and errors."""
    key_set_mode.setenv("POWERTOOLS_METRICS_NAMESPACE", "")
    caplog.set_level("INFO", "authorizer")
    handler = load_app().handler
    server.status = 503
    for authorization in ("", f"Bearer {token(keys['RS256'])}"):
        with pytest.raises(Exception, match=r"Unauthorized|503"):
            handler({"authorizationToken": authorization, "methodArn": METHOD_ARN}, None)
    assert [vars(record)["reason"] for record in caplog.records] == ["malformed", "key_unavailable"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["JWT_ISSUER", "JWT_AUDIENCE", "ADMIN_CLAIM_RULE"])
def test_missing_variable_fails_the_cold_start(name: str, signers: Signers, environment: pytest.MonkeyPatch) -> None:
    """The error names the variable."""
    environment.delenv(name)
    with pytest.raises(ConfigurationError, match=re.escape(name)):
        load_app()


def test_two_modes_or_none_fail_the_cold_start(environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"JWKS_URL or JWT_SECRET_PARAMETER must be set"):
        load_app()
    environment.setenv("JWKS_URL", "https://issuer.example/jwks")
    environment.setenv("JWT_SECRET_PARAMETER", "/made-up/jwt-secret")
    with pytest.raises(ConfigurationError, match=r"JWKS_URL and JWT_SECRET_PARAMETER are both set"):
        load_app()


@in_secret_mode
def test_the_secret_is_fetched_once_at_the_cold_start(
    signers: Signers, authorize: Authorize, store: ParameterStore
) -> None:
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
    functions = Path(__file__).parents[3] / "functions/authorizer"
    ran = subprocess.run([sys.executable, "-c", code], cwd=functions, capture_output=True, text=True, check=True)
    loaded = ["botocore", "urllib3"] if mode == "secret_mode" else []
    assert ran.stdout == f"{loaded}\n"
