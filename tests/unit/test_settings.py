"""The environment, read when a function starts."""

from collections.abc import Callable

import pytest

from service_keys import settings
from service_keys.errors import ConfigurationError


@pytest.mark.parametrize(
    ("read", "variable"),
    [
        (settings.table_name, "SERVICE_KEYS_TABLE"),
        (settings.kms_key, "SERVICE_KEYS_KMS_KEY"),
        (settings.allowed_origin, "ALLOWED_ORIGIN"),
    ],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, read: Callable[[], str], variable: str) -> None:
    monkeypatch.setenv(variable, "given")
    assert read() == "given"

    monkeypatch.setenv(variable, " given\n")
    assert read() == "given"

    for empty in ("", " ", "\n", None):
        if empty is None:
            monkeypatch.delenv(variable)
        else:
            monkeypatch.setenv(variable, empty)
        with pytest.raises(ConfigurationError, match=f"{variable} is not set. Set it to"):
            read()


def test_without_a_namespace_metrics_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/test")
    assert settings.metrics_namespace() == "ServiceKeys/test"

    monkeypatch.delenv("POWERTOOLS_METRICS_NAMESPACE")
    assert settings.metrics_namespace() == ""
