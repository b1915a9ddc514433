"""Tests of the clients' timeouts; `test_credential_sources` tests their credentials."""

from contextlib import closing

import pytest

from local.aws import CREDENTIALS
from service_keys.store import aws_clients
from service_keys.store.timeouts import ADMIN_TIMEOUTS, CONSUMER_TIMEOUTS, Timeouts


@pytest.mark.parametrize(
    ("timeouts", "connect", "read"),
    [([], 1, 2), ([ADMIN_TIMEOUTS], 1, 2), ([CONSUMER_TIMEOUTS], 0.5, 1)],
)
def test_a_client_has_the_given_timeouts_and_two_attempts(
    monkeypatch: pytest.MonkeyPatch, timeouts: list[Timeouts], connect: float, read: float
) -> None:
    """Configure connect and read timeouts in seconds, those of the admin API by default, and standard retries."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)

    with closing(aws_clients.client("kms", *timeouts)) as client:
        config = client.meta.config

    assert client.meta.service_model.service_name == "kms"
    assert (config.connect_timeout, config.read_timeout) == (connect, read)
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}
