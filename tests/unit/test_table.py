"""What of the table cannot be shown in time with a real one: a conflict that does not end."""

from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber

from service_keys.errors import KeyStoreUnavailable
from service_keys.models import Change
from service_keys.table import Table

KEY_ID = "spotify.0123456789ab"
TEXTS = ("name", "maskedKey", "createdAt", "createdBy", "updatedAt", "updatedBy", "keyUpdatedAt")
ITEM = {"id": {"S": KEY_ID}, "active": {"BOOL": True}, "version": {"N": "1"}} | {name: {"S": "x"} for name in TEXTS}


def test_a_conflict_that_does_not_end_is_given_up_after_growing_pauses() -> None:
    client: Any = botocore.session.get_session().create_client(
        "dynamodb", region_name="eu-west-1", aws_access_key_id="made-up", aws_secret_access_key="made-up"
    )
    pauses: list[float] = []
    table = Table(client, "table", pause=pauses.append)
    with Stubber(client) as stub:
        for _ in range(25):
            stub.add_response("get_item", {"Item": ITEM})
            stub.add_client_error(
                "transact_write_items",
                "TransactionCanceledException",
                modeled_fields={"CancellationReasons": [{"Code": "TransactionConflict"}]},
            )

        with pytest.raises(KeyStoreUnavailable, match="Nothing was changed"):
            table.update(KEY_ID, Change(at_ms=0, principal="ada", request_id="r"), {"active": False})

    assert len(pauses) == 25
    assert max(pauses) <= 0.2
    client.close()
