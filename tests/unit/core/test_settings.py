"""Tests of the settings in the environment."""

from collections.abc import Callable

import pytest

from service_keys.core import settings
from service_keys.errors import ConfigurationError


@pytest.mark.parametrize("empty", ["", " ", "\n", None])
@pytest.mark.parametrize(
    ("read", "variable"), [(settings.table_name, "SERVICE_KEYS_TABLE"), (settings.kms_key, "SERVICE_KEYS_KMS_KEY")]
)
def test_a_missing_variable_is_named_in_the_error(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], str], variable: str, empty: str | None
) -> None:
    """Treat white space as missing, and trim a value."""
    monkeypatch.setenv(variable, " given\n")
    assert read() == "given"

    monkeypatch.delenv(variable)
    if empty is not None:
        monkeypatch.setenv(variable, empty)
    with pytest.raises(ConfigurationError, match=f"{variable} is not set. Set it to"):
        read()


@pytest.mark.parametrize("origin", ["https://admin.example.com", ""])
def test_the_allowed_origin_may_be_empty(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    """Accept an empty origin, but not an unset variable, which is a deployment fault."""
    monkeypatch.setenv("ALLOWED_ORIGIN", origin)
    assert settings.allowed_origin() == origin

    monkeypatch.delenv("ALLOWED_ORIGIN")
    with pytest.raises(ConfigurationError, match="ALLOWED_ORIGIN is not set"):
        settings.allowed_origin()


def test_the_metrics_namespace_is_empty_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable metrics without a namespace."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/test")
    assert settings.metrics_namespace() == "ServiceKeys/test"

    monkeypatch.delenv("POWERTOOLS_METRICS_NAMESPACE")
    assert settings.metrics_namespace() == ""
