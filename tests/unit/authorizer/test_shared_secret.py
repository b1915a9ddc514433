"""How the shared secret is fetched, replaced and withdrawn; and that nobody but the verifier ever sees it."""

from __future__ import annotations

import logging
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authorizer.errors import ConfigurationError, KeyUnavailableError, TokenRefusedError
from authorizer.shared_secret import Secret, SharedSecret
from authorizer.token_verifier import TokenVerifier
from tests.support import issuer
from tests.support.issuer import PARAMETER, SECRET, SigningKey
from tests.unit.authorizer.conftest import Clock, load_app

if TYPE_CHECKING:
    from tests.support.parameter_store import ParameterStore

NEXT = "made-up-secret-that-comes-after-it"


class Api:
    """A verifier with a shared secret, and the issuer's tokens."""

    def __init__(self, clock: Clock) -> None:
        self.verifier = TokenVerifier(
            issuer=issuer.ISSUER, audience=issuer.AUDIENCE, keys=SharedSecret(PARAMETER, clock=clock)
        )

    def answer(self, secret: str = SECRET) -> str:
        """What comes of a token that was signed by this secret: ``ok``, ``unavailable``, or the reason of a refusal."""
        token = issuer.token(SigningKey("HS256", "HS256", secret.encode()))
        try:
            self.verifier.verify(f"Bearer {token}")
        except TokenRefusedError as refusal:
            return refusal.reason
        except KeyUnavailableError:
            return "unavailable"
        return "ok"


@pytest.fixture
def api(store: ParameterStore, clock: Clock) -> Api:
    return Api(clock)


def test_one_fetch_serves_many_threads_and_many_tokens(api: Api, store: ParameterStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: api.answer(), range(50))) == {"ok"}
    assert store.requests == [{"Name": PARAMETER, "WithDecryption": True}]


def test_after_a_rotation_new_tokens_pass_at_the_next_wrong_signature_and_old_ones_end(
    api: Api, store: ParameterStore, clock: Clock
) -> None:
    assert api.answer() == "ok"
    store.value = NEXT

    clock.now += 29
    assert (api.answer(NEXT), api.answer()) == ("bad_signature", "ok")
    clock.now += 1
    assert (api.answer(NEXT), api.answer()) == ("ok", "bad_signature")
    assert len(store.requests) == 2


def test_after_a_rotation_old_tokens_end_within_five_minutes_although_no_new_one_came(
    api: Api, store: ParameterStore, clock: Clock
) -> None:
    assert api.answer() == "ok"
    store.value = NEXT

    clock.now += 299
    assert api.answer() == "ok"
    clock.now += 1
    assert api.answer() == "bad_signature"
    assert len(store.requests) == 2


def test_a_burst_of_wrong_signatures_costs_one_fetch_in_half_a_minute(
    api: Api, store: ParameterStore, clock: Clock
) -> None:
    for fetches in range(1, 6):
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: api.answer("made-up-" * 8), range(50))) == {"bad_signature"}
        assert len(store.requests) == fetches
        clock.now += 30


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ("ThrottlingException", 400),
        ("TooManyRequestsException", 400),
        ("ExpiredTokenException", 400),
        ("AnyNewName", 429),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_what_aws_suffers_is_bridged_for_a_quarter_of_an_hour(
    error: str, status: int, api: Api, store: ParameterStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert api.answer() == "ok"
    store.error, store.status = error, status

    clock.now += 15 * 60 - 1
    assert api.answer() == "ok"
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("WARNING", "key_stale")
    # It may be signed by a newer secret.
    assert api.answer(NEXT) == "unavailable"
    clock.now += 1
    assert api.answer() == "unavailable"

    store.error = ""
    clock.now += 30
    assert api.answer() == "ok"


@pytest.mark.parametrize(
    "change",
    [
        {"error": "AccessDeniedException"},
        {"error": "ParameterNotFound"},
        {"error": "InvalidKeyId"},
        {"error": "AnyNewName"},
        {"value": "made-up-and-a-byte-too-short-xx"},
        {"value": ""},
        {"kind": "String"},
        {"kind": "StringList"},
        {"value": f"{SECRET}\n"},
        {"value": f" {SECRET}"},
    ],
    ids=str,
)
def test_what_somebody_did_to_the_parameter_ends_the_secret_and_is_an_outage_not_a_refusal(
    change: dict[str, str], api: Api, store: ParameterStore, clock: Clock
) -> None:
    assert api.answer() == "ok"
    before = vars(store).copy()
    vars(store).update(change)

    clock.now += 300
    for _ in range(10):
        assert api.answer() == "unavailable"
    assert len(store.requests) == 2

    vars(store).update({name: before[name] for name in change})
    clock.now += 5
    assert api.answer() == "ok"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "made-up-and-a-byte-too-short-xx"}, "shorter than 32 bytes"),
        ({"value": "é" * 15}, "shorter than 32 bytes"),
        ({"value": f"{SECRET}\n"}, "white space"),
        ({"kind": "String"}, "not a SecureString"),
        ({"error": "ParameterNotFound"}, "See that the parameter exists"),
        ({"error": "AccessDeniedException"}, "ssm:GetParameter"),
    ],
    ids=str,
)
def test_a_secret_that_cannot_serve_fails_the_cold_start_and_says_what_to_do(
    change: dict[str, str],
    words: str,
    secret_mode: pytest.MonkeyPatch,
    store: ParameterStore,
) -> None:
    vars(store).update(change)
    with pytest.raises(ConfigurationError, match=words) as refusal:
        load_app()
    assert PARAMETER in str(refusal.value)
    assert "made-up-" not in str(refusal.value).replace(PARAMETER, "")


def test_a_public_key_is_no_secret(
    secret_mode: pytest.MonkeyPatch, store: ParameterStore, keys: dict[str, SigningKey]
) -> None:
    public = keys["RS256"].private.public_key()
    store.value = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().strip()
    with pytest.raises(ConfigurationError, match="a key of another kind"):
        load_app()


def test_32_bytes_suffice(api: Api, store: ParameterStore) -> None:
    store.value = "é" * 16
    assert api.answer("é" * 16) == "ok"


def test_an_outage_at_the_cold_start_is_left_for_the_first_token(
    secret_mode: pytest.MonkeyPatch, store: ParameterStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.error = "ThrottlingException"
    app = load_app()
    (record,) = caplog.records
    assert (record.levelname, vars(record)["reason"]) == ("WARNING", "key_unavailable")

    event = {"authorizationToken": f"Bearer {issuer.token(SigningKey('x', 'HS256', SECRET.encode()))}"}
    with pytest.raises(KeyUnavailableError, match="ThrottlingException"):
        app.handler({**event, "methodArn": "arn/live/GET/x"}, None)


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_given_up_and_is_an_outage(api: Api, store: ParameterStore) -> None:
    store.released.clear()
    assert api.answer() == "unavailable"
    assert len(store.requests) == 2  # the first attempt, and the one that botocore makes after it


def test_a_store_that_is_not_there_or_talks_nonsense_is_an_outage(
    store: ParameterStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.body = b"<html>"
    assert Api(clock).answer() == "unavailable"
    monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1")
    assert Api(clock).answer() == "unavailable"


def test_credentials_that_are_not_there_are_an_outage(
    store: ParameterStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert Api(clock).answer() == "unavailable"
    assert store.requests == []


def test_nothing_that_is_logged_at_any_level_holds_the_secret(
    store: ParameterStore, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api = Api(clock)
    assert (api.answer(), api.answer("made-up-" * 8)) == ("ok", "bad_signature")
    assert [record for record in caplog.records if record.name.startswith("botocore")], "nothing was logged at all"
    assert not [record for record in caplog.records if SECRET in repr(vars(record)) or SECRET in record.getMessage()]


def test_a_short_secret_is_not_in_the_error_nor_in_what_it_hangs_on(api: Api, store: ParameterStore) -> None:
    store.value = "made-up-and-too-short"
    with pytest.raises(KeyUnavailableError) as refusal:
        api.verifier.verify(f"Bearer {issuer.token(SigningKey('x', 'HS256', SECRET.encode()))}")
    shown = "".join(traceback.TracebackException.from_exception(refusal.value, capture_locals=True).format())
    assert "shorter than 32 bytes" in shown
    assert store.value not in shown


def test_the_secret_shows_itself_nowhere(api: Api, store: ParameterStore) -> None:
    secret = Secret(SECRET, "utf-8")
    assert secret == SECRET.encode()
    assert SECRET not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert api.answer() == "ok"
    assert SECRET not in repr(vars(api.verifier))
