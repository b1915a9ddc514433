"""Tests of the settings in the environment."""

from collections.abc import Callable

import pytest

from local.template import EXAMPLE_PARAMETERS, Template
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


RETENTION = [
    (settings.deleted_key_retention_days, "DELETED_KEY_RETENTION_DAYS", 0, 30),
    (settings.history_retention_days, "HISTORY_RETENTION_DAYS", 1, 3653),
]


@pytest.mark.parametrize(("read", "variable", "least", "most"), RETENTION)
def test_a_retention_is_a_number_of_days_in_a_range(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], int], variable: str, least: int, most: int
) -> None:
    """Trim the number; name the variable and its range in the error."""
    for days in (least, least + 1, most):
        monkeypatch.setenv(variable, f" {days}\n")
        assert read() == days

    expected = f"{variable} is invalid. Set it to a whole number of days from {least} to {most}"
    for text in (str(least - 1), str(most + 1), "-1", "1.5", "1e1", "0x7", "1_0", "seven", "7 days", "٣", "00007"):
        monkeypatch.setenv(variable, text)
        with pytest.raises(ConfigurationError, match=expected):
            read()


@pytest.mark.parametrize(
    ("read", "variable", "parameter"),
    [(*RETENTION[0][:2], "DeletedKeyRetentionDays"), (*RETENTION[1][:2], "HistoryRetentionDays")],
)
def test_a_function_starts_with_every_value_of_the_template(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[], int], variable: str, parameter: str
) -> None:
    """CloudFormation accepts fractions for a Number without a list of values."""
    allowed = Template.load(EXAMPLE_PARAMETERS).cloudformation["Parameters"][parameter]["AllowedValues"]

    for days in allowed:
        monkeypatch.setenv(variable, str(days))
        assert read() == days


def test_the_metrics_namespace_is_empty_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable metrics without a namespace."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "ServiceKeys/test")
    assert settings.metrics_namespace() == "ServiceKeys/test"

    monkeypatch.delenv("POWERTOOLS_METRICS_NAMESPACE")
    assert settings.metrics_namespace() == ""
