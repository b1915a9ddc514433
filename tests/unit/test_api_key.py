"""What a reader gets, and that it shows no secret."""

import copy
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from service_keys import ApiKey
from service_keys.core.secret_value import SecretValue

SECRET = "made-up-secret-0123456789"
PARTS = {"clientId": "made-up-id", "clientSecret": SECRET}


def api_key(value: str | dict[str, str]) -> ApiKey:
    return ApiKey(SecretValue(value), id="spotify.0123456789ab", name="Spotify", service="spotify", version=3)


@pytest.fixture(params=[SECRET, PARTS], ids=["string", "parts"])
def key(request: pytest.FixtureRequest) -> ApiKey:
    return api_key(request.param)


def test_a_string_key_has_a_value_and_no_parts() -> None:
    key = api_key(SECRET)

    assert key.value == SECRET
    assert (len(key), list(key), "clientId" in key, bool(key)) == (0, [], False, True)
    with pytest.raises(KeyError, match=r"key\.value"):
        key["clientId"]


def test_a_key_of_parts_is_a_read_only_mapping() -> None:
    key = api_key(PARTS)

    assert key["clientSecret"] == SECRET
    assert (len(key), list(key), "clientId" in key) == (2, ["clientId", "clientSecret"], True)
    assert dict(key) == {**key} == PARTS
    with pytest.raises(TypeError, match="does not support item assignment"):
        key["clientId"] = "other"  # type: ignore[index]
    with pytest.raises(KeyError, match="It has clientId, clientSecret"):
        key["secret"]
    with pytest.raises(TypeError, match=r"has parts \(clientId, clientSecret\)\. Read one of them: key\['clientId'\]"):
        _ = key.value


def test_a_key_without_parts_says_so() -> None:
    key = api_key({})

    assert (len(key), list(key), bool(key)) == (0, [], True)
    with pytest.raises(TypeError, match=r"has parts \(\)\. Read one of them: key\[''\]"):
        _ = key.value


def test_it_says_which_key_it_is(key: ApiKey) -> None:
    assert (key.id, key.name, key.service, key.version) == ("spotify.0123456789ab", "Spotify", "spotify", 3)
    assert repr(key) == str(key) == "<ApiKey spotify.0123456789ab 'Spotify' version 3>"


def test_no_way_of_showing_it_shows_the_secret(key: ApiKey) -> None:
    logged = io.StringIO()
    plain = logging.getLogger("test-api-key")
    plain.addHandler(logging.StreamHandler(logged))
    plain.warning("the key is %s %r", key, key)
    Logger(service="test", stream=logged).info("the key", extra={"key": key, "keys": [key]})
    shown = [f"{key}", f"{key!r}", "%s" % key, pprint.pformat({"key": [key]}), logged.getvalue()]  # noqa: UP031
    shown.append(json.dumps({"key": key}, default=str))

    assert "0123456789ab" in logged.getvalue()
    assert not [text for text in shown if SECRET in text]


def test_a_traceback_that_shows_variables_does_not_show_the_secret(key: ApiKey) -> None:
    def fails(given: ApiKey) -> None:
        raise RuntimeError(f"cannot use {given}")

    with pytest.raises(RuntimeError) as failed:
        fails(key)

    report = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    assert SECRET not in "".join(report.format())


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_cannot_be_pickled(key: ApiKey, protocol: int) -> None:
    with pytest.raises(TypeError, match="not to be pickled"):
        pickle.dumps(key, protocol)


def test_it_does_not_hand_out_its_state(key: ApiKey) -> None:
    with pytest.raises(TypeError, match="not to be pickled"):
        key.__getstate__()


def test_json_does_not_take_it(key: ApiKey) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(key)


def test_no_error_reporter_takes_it_for_a_mapping_to_walk_into(key: ApiKey) -> None:
    assert not isinstance(key, Mapping)
    assert not hasattr(key, "__dict__")


def test_a_copy_is_the_key_itself(key: ApiKey) -> None:
    holder: dict[str, Any] = {"key": key}

    assert copy.copy(key) is key
    assert copy.deepcopy(holder)["key"] is key


def test_two_keys_do_not_compare_by_their_secrets() -> None:
    assert api_key(SECRET) != api_key(SECRET)
