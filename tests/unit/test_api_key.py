"""Tests of `ApiKey`: access to the secret value, and no leak of it."""

import copy
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable, Mapping
from functools import partial
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


def test_a_string_key_has_a_value_and_no_fields() -> None:
    """Raise KeyError for a field."""
    key = api_key(SECRET)

    assert key.value == SECRET
    assert (len(key), list(key), "clientId" in key, bool(key)) == (0, [], False, True)
    with pytest.raises(KeyError, match=r"key\.value"):
        key["clientId"]


def test_a_key_with_fields_is_a_read_only_mapping() -> None:
    """Raise TypeError for `value` and for assignment."""
    key = api_key(PARTS)

    assert key["clientSecret"] == SECRET
    assert (len(key), list(key), "clientId" in key) == (2, ["clientId", "clientSecret"], True)
    assert dict(key) == {**key} == PARTS
    with pytest.raises(TypeError, match="does not support item assignment"):
        key["clientId"] = "other"  # type: ignore[index]
    with pytest.raises(KeyError, match="It has clientId, clientSecret"):
        key["secret"]
    with pytest.raises(TypeError, match=r"has fields \(clientId, clientSecret\)\. Read one of them: key\['clientId'\]"):
        _ = key.value


def test_a_key_without_fields_has_no_value() -> None:
    """Raise TypeError for `value`."""
    key = api_key({})

    assert (len(key), list(key), bool(key)) == (0, [], True)
    with pytest.raises(TypeError, match=r"has fields \(\)\. Read one of them: key\[''\]"):
        _ = key.value


def test_repr_and_str_identify_the_key_without_its_secret(key: ApiKey) -> None:
    """Include id, name and version, also in format, pprint and JSON."""
    expected = "<ApiKey spotify.0123456789ab 'Spotify' version 3>"
    assert (key.id, key.name, key.service, key.version) == ("spotify.0123456789ab", "Spotify", "spotify", 3)
    assert {repr(key), str(key), f"{key}", f"{key!r}", "%s" % key, pprint.pformat(key)} == {expected}  # noqa: UP031
    assert json.dumps({"key": key}, default=str) == json.dumps({"key": expected})


def test_logging_hides_the_secret_value(key: ApiKey) -> None:
    """Cover logging and Powertools."""
    logged = io.StringIO()
    plain = logging.getLogger("test-api-key")
    plain.addHandler(logging.StreamHandler(logged))
    plain.warning("the key is %s %r", key, key)
    Logger(service="test", stream=logged).info("the key", extra={"key": key, "keys": [key]})

    assert "0123456789ab" in logged.getvalue()
    assert SECRET not in logged.getvalue()


def test_a_traceback_with_locals_hides_the_secret_value(key: ApiKey) -> None:
    """Capture locals as error reporters do."""

    def fails(given: ApiKey) -> None:
        raise RuntimeError(f"cannot use {given}")

    with pytest.raises(RuntimeError) as failed:
        fails(key)

    report = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    assert SECRET not in "".join(report.format())


@pytest.mark.parametrize(
    ("serialize", "message"),
    [
        *(
            (partial(pickle.dumps, protocol=number), "not to be pickled")
            for number in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
        (ApiKey.__getstate__, "not to be pickled"),
        (json.dumps, "not JSON serializable"),
    ],
)
def test_an_api_key_cannot_be_serialized(key: ApiKey, serialize: Callable[[ApiKey], object], message: str) -> None:
    """Raise TypeError from pickle with every protocol, from `__getstate__` and from json."""
    with pytest.raises(TypeError, match=message):
        serialize(key)


def test_an_api_key_is_not_a_mapping(key: ApiKey) -> None:
    """Keep error reporters from iterating over it or reading its `__dict__`."""
    assert not isinstance(key, Mapping)
    assert not hasattr(key, "__dict__")


def test_a_copy_is_the_same_object(key: ApiKey) -> None:
    """Return the key itself from copy and deepcopy."""
    holder: dict[str, Any] = {"key": key}

    assert copy.copy(key) is key
    assert copy.deepcopy(holder)["key"] is key


def test_equality_ignores_the_secret_value() -> None:
    """Compare by identity."""
    assert api_key(SECRET) != api_key(SECRET)
