"""Metrics of the admin functions."""

import pytest

from local.fake_services import FakeServices
from tests.conftest import Counted
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin
from tests.support.fault_proxy import Fault, FaultProxy


def test_every_change_is_counted_by_kind(admin: Admin, counted: Counted) -> None:
    """Count creates, updates and deletes, but no reads."""
    key = admin.create()
    admin.update(key["id"], {"active": False})
    admin.get(key["id"])
    admin.listing()
    admin.delete(key["id"])

    assert counted() == [("Changes", {"change": change}) for change in ("create", "update", "delete")]


def test_a_request_without_a_change_is_not_counted(admin: Admin, counted: Counted) -> None:
    """Count neither replays nor conflicts nor missing keys."""
    body = {"name": "One", "key": SECRET}
    admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16)
    before = counted()

    replayed = admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16)
    refused = admin.send("POST", COLLECTION, body)
    missing = admin.delete("spotify.000000000000")

    assert (replayed.status, refused.status, missing.status) == (201, 409, 404)
    assert counted() == before


@pytest.mark.parametrize(
    ("response", "status"), [("valid", "valid"), ("wrong", "rejected"), ("failing", "inconclusive")]
)
def test_verifications_are_counted_by_status(
    admin: Admin, fake_services: FakeServices, counted: Counted, response: str, status: str
) -> None:
    """Count each verification as a change, and by its status."""
    key = admin.create("Spotify", SPOTIFY_KEY, service="spotify")
    fake_services.chosen["spotify"] = response
    before = counted()

    assert admin.verify(key["id"]).data["verification"]["status"] == status

    assert counted() == [*before, ("Changes", {"change": "verify"}), ("Verifications", {"status": status})]


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"])
def test_access_denied_by_kms_is_counted(admin: Admin, fault_proxy: FaultProxy, counted: Counted, code: str) -> None:
    """Count errors that only a change of permissions or of the KMS key ends."""
    with fault_proxy.failing(Fault("KMS.Encrypt", status=400, code=code)):
        response = admin.send("POST", COLLECTION, {"name": "One", "key": SECRET})

    assert response.status == 500
    assert counted() == [("AccessDenied", {})]


def test_without_a_namespace_no_metric_is_written(
    admin: Admin, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Write no metric in a local run."""
    monkeypatch.setattr("service_keys.admin.observability.metrics_namespace", "")
    admin.create()

    assert counted() == []
