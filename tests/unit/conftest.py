"""Fixtures shared by several unit test modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from tests.support.simulated_aws import Aws

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def clients() -> Iterator[tuple[Any, Any]]:
    made = [
        botocore.session.get_session().create_client(
            service, region_name="eu-west-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
        )
        for service in ("dynamodb", "kms")
    ]
    yield made[0], made[1]
    for client in made:
        client.close()


@pytest.fixture
def aws(clients: tuple[Any, Any]) -> Iterator[Aws]:
    simulated = Aws()
    for client in clients:
        client.meta.events.register_first("before-call", simulated.answer, "simulated")
    yield simulated
    for client in clients:
        client.meta.events.unregister("before-call", unique_id="simulated")
