"""Each function may do exactly what it does: nothing is missing, nothing is spare, and what it must not do it cannot.

That nothing is missing, every test beside this file shows: the wire enforces the policies of template.yaml. This drives
every path that calls AWS, to show that nothing is spare; then it makes, with the permissions of each function, calls
that the design forbids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from service_keys import ServiceKeys
from service_keys.errors import KeyAccessDenied
from service_keys.services import KNOWN_SERVICES
from service_keys.table import _SHOWN, IDEMPOTENCY_PARTITION, NAME_PARTITION
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, ClientsOf, Store

if TYPE_CHECKING:
    from local.stack import LocalStack
    from tests.iam import Grant, Policies
    from tests.wire import Wire

KEYS = {"spotify": SPOTIFY_KEY, "openai": f"sk-{SECRET}", "anthropic": f"sk-ant-{SECRET}"}
READERS = {service: f"Read{service.title()}Keys" for service in KNOWN_SERVICES}
ADMIN_FUNCTIONS = ("CreateApiKey", "ListApiKeys", "GetApiKey", "UpdateApiKey", "VerifyApiKey", "DeleteApiKey")


@pytest.fixture
def admin(stack: LocalStack, store: Store) -> Admin:
    return Admin(stack)


@pytest.fixture
def policies(wire: Wire) -> Policies:
    assert wire.policies is not None
    return wire.policies


def administer(admin: Admin) -> None:
    """Take every path of the admin functions that makes another kind of call."""
    body = {"name": "Idempotent", "key": SECRET}
    for _ in range(2):
        assert admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16).status == 201
    ids = [admin.create(f"Key of {service}", key, service=service)["id"] for service, key in KEYS.items()]
    for query in ({}, {"active": "true"}, {"verification": "none"}, {"verification": "valid"}):
        for service in ({}, {"service": "spotify"}):
            assert admin.listing(**query, **service).status == 200
    everything = {"name": "Renamed", "description": "Described", "active": True, "key": SPOTIFY_KEY}
    assert admin.update(ids[0], everything).status == 200
    assert admin.update(ids[0], {"description": None}, If_Match='"2"').status == 200
    for key_id in ids:
        assert admin.get(key_id).status == 200
        assert admin.verify(key_id).status == 200
    assert admin.delete(admin.create("Short-lived")["id"]).status == 200


def read(clients_of: ClientsOf, store: Store, principal: str, service: str) -> str:
    dynamodb, kms = clients_of(principal)
    return ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms).get(service).id


def spare_values(grant: Grant, wire: Wire) -> set[str]:
    """Return the values that a grant's conditions allow one by one, and that no call of the grant had."""
    listed = {
        (key, value)
        for operator, key, values in grant.conditions
        if operator == "ForAllValues:StringEquals"
        for value in values
    }
    seen = {(key, value) for access in wire.used[grant] for key, values in access.context.items() for value in values}
    return {value for _, value in listed - seen}


def test_every_grant_is_used_down_to_each_attribute(
    admin: Admin, store: Store, wire: Wire, policies: Policies, clients_of: ClientsOf
) -> None:
    wire.used.clear()
    administer(admin)
    for service, principal in READERS.items():
        read(clients_of, store, principal, service)
        # A key that was just used is not stamped again.
        read(clients_of, store, "ReadAllKeys", service)
    other = admin.create("Of no known service", service="lastfm")
    assert read(clients_of, store, "ReadAllKeys", "lastfm") == other["id"]

    print(f"\n{'':18}{'grant':44}{'action':22}calls")
    for grant in policies.grants:
        print(f"{grant.principal:18}{grant.sid:44}{grant.action:22}{len(wire.used.get(grant, [])):5}")
    assert [grant for grant in policies.grants if grant not in wire.used] == []
    assert {(grant.principal, grant.sid): spare for grant in wire.used if (spare := spare_values(grant, wire))} == {}


# --- what must not be possible, whatever becomes of a function's code ------------------------------------------------


def refused(wire: Wire, call: Any, **request: Any) -> bool:
    """Tell whether IAM refuses a call."""
    try:
        call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        wire.refused.pop()
        return True
    return False


def key_of(key_id: str) -> dict[str, Any]:
    return {"service": {"S": key_id.partition(".")[0]}, "id": {"S": key_id}}


@pytest.mark.parametrize("function", ADMIN_FUNCTIONS)
def test_no_admin_function_but_verify_decrypts(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf, function: str
) -> None:
    key = admin.create(service="one")
    _, kms = clients_of(function)
    ciphertext = store.item(key["id"])["ciphertext"]["B"]
    context = {"service": "one", "id": key["id"]}

    may = not refused(wire, kms.decrypt, CiphertextBlob=ciphertext, EncryptionContext=context)

    assert may == (function == "VerifyApiKey")


@pytest.mark.parametrize("function", ["ListApiKeys", "GetApiKey", "UpdateApiKey", "DeleteApiKey", "CreateApiKey"])
@pytest.mark.parametrize(
    "projection",
    [
        {},
        {"ProjectionExpression": "ciphertext"},
        {"ProjectionExpression": "#c", "ExpressionAttributeNames": {"#c": "ciphertext"}},
    ],
    ids=["all of it", "by name", "by a placeholder"],
)
def test_who_shows_keys_cannot_read_a_ciphertext(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf, function: str, projection: dict[str, Any]
) -> None:
    key = admin.create(service="one")
    dynamodb, _ = clients_of(function)
    condition = {
        "KeyConditionExpression": "#service = :service",
        "ExpressionAttributeValues": {":service": {"S": "one"}},
    }
    names = {"ExpressionAttributeNames": {"#service": "service", **projection.get("ExpressionAttributeNames", {})}}

    assert refused(wire, dynamodb.get_item, TableName=store.table, Key=key_of(key["id"]), **projection)
    assert refused(wire, dynamodb.query, TableName=store.table, **projection | condition | names)
    assert refused(wire, dynamodb.scan, TableName=store.table, **projection)


def test_the_index_that_a_list_reads_holds_no_ciphertext(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf
) -> None:
    admin.create(service="one")
    dynamodb, _ = clients_of("ListApiKeys")

    (item,) = dynamodb.query(
        TableName=store.table,
        IndexName="newest",
        KeyConditionExpression="#listed = :listed",
        ExpressionAttributeNames={"#listed": "listed"},
        ExpressionAttributeValues={":listed": {"S": "key"}},
    )["Items"]

    assert "ciphertext" not in item
    assert item.keys() <= {*_SHOWN, "listed"}


@pytest.mark.parametrize("function", ["ListApiKeys", "GetApiKey"])
def test_who_shows_keys_cannot_write(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf, function: str
) -> None:
    key = admin.create(service="one")
    dynamodb, _ = clients_of(function)
    item = store.item(key["id"])
    address = {"TableName": store.table, "Key": key_of(key["id"])}

    assert refused(wire, dynamodb.put_item, TableName=store.table, Item=item)
    assert refused(wire, dynamodb.delete_item, **address)
    assert refused(
        wire,
        dynamodb.update_item,
        **address,
        UpdateExpression="SET active = :no",
        ExpressionAttributeValues={":no": {"BOOL": False}},
    )
    assert refused(wire, dynamodb.transact_write_items, TransactItems=[{"Delete": address}])
    assert store.item(key["id"]) == item


def test_a_check_of_a_key_changes_nothing_but_its_result(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf
) -> None:
    key = admin.create(service="one")
    dynamodb, _ = clients_of("VerifyApiKey")
    address = {"TableName": store.table, "Key": key_of(key["id"])}

    for attribute in ("active", "ciphertext = ciphertext, lastUsed", "version"):
        change = {"UpdateExpression": f"SET {attribute} = :x", "ExpressionAttributeValues": {":x": {"S": "x"}}}
        assert refused(wire, dynamodb.update_item, **address, **change)
    assert refused(wire, dynamodb.update_item, **address, ReturnValues="ALL_NEW")
    assert refused(wire, dynamodb.delete_item, **address)


@pytest.mark.parametrize("service", KNOWN_SERVICES)
def test_a_consumer_of_one_service_reads_no_other(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf, service: str
) -> None:
    ids = {other: admin.create(f"Key of {other}", key, service=other)["id"] for other, key in KEYS.items()}
    dynamodb, kms = clients_of(READERS[service])

    assert read(clients_of, store, READERS[service], service) == ids[service]
    for other in ids.keys() - {service}:
        with pytest.raises(KeyAccessDenied, match="IAM policy"):
            read(clients_of, store, READERS[service], other)
        assert f"LeadingKeys={other}" in wire.refused.pop()
        # Not with a ciphertext that it got elsewhere either.
        ciphertext = store.item(ids[other])["ciphertext"]["B"]
        for context in ({"service": other, "id": ids[other]}, {"id": ids[other]}, {}):
            assert refused(wire, kms.decrypt, CiphertextBlob=ciphertext, EncryptionContext=context)
        assert refused(wire, dynamodb.get_item, TableName=store.table, Key=key_of(ids[other]))


@pytest.mark.parametrize("principal", [*READERS.values(), "ReadAllKeys"])
def test_a_consumer_writes_nothing_but_the_stamp(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf, principal: str
) -> None:
    service = next((service for service, reader in READERS.items() if reader == principal), "spotify")
    key = admin.create(f"Key of {service}", KEYS[service], service=service)
    before = store.items()
    dynamodb, kms = clients_of(principal)
    address = {"TableName": store.table, "Key": key_of(key["id"])}
    value = {"ExpressionAttributeValues": {":x": {"S": "x"}}}

    for attribute in ("active", "ciphertext", "maskedKey", "verification", "lastUsed = :x, active"):
        assert refused(wire, dynamodb.update_item, **address, **value, UpdateExpression=f"SET {attribute} = :x")
    stamp = {"UpdateExpression": "SET lastUsed = :x"} | value
    assert refused(wire, dynamodb.update_item, **address, **stamp, ReturnValues="ALL_OLD")
    assert refused(wire, dynamodb.put_item, TableName=store.table, Item=store.item(key["id"]))
    assert refused(wire, dynamodb.delete_item, **address)
    assert refused(wire, dynamodb.scan, TableName=store.table)
    assert refused(wire, kms.encrypt, KeyId=store.kms_key, Plaintext=b"x", EncryptionContext={"service": service})
    assert store.items() == before


@pytest.mark.parametrize("principal", [*READERS.values(), "ReadAllKeys"])
@pytest.mark.parametrize("partition", [NAME_PARTITION, IDEMPOTENCY_PARTITION])
def test_a_consumer_reads_neither_names_nor_requests(
    store: Store, wire: Wire, clients_of: ClientsOf, principal: str, partition: str
) -> None:
    dynamodb, _ = clients_of(principal)

    assert refused(
        wire,
        dynamodb.query,
        TableName=store.table,
        KeyConditionExpression="#service = :service",
        ExpressionAttributeNames={"#service": "service"},
        ExpressionAttributeValues={":service": {"S": partition}},
    )


@pytest.mark.parametrize("principal", ["Authorizer", "nobody"])
def test_who_was_granted_nothing_can_do_nothing(
    admin: Admin, store: Store, wire: Wire, clients_of: ClientsOf, policies: Policies, principal: str
) -> None:
    key = admin.create(service="one")
    dynamodb, kms = clients_of(principal)

    assert policies.of_principal(principal) == []
    assert refused(wire, dynamodb.get_item, TableName=store.table, Key=key_of(key["id"]))
    assert refused(wire, kms.encrypt, KeyId=store.kms_key, Plaintext=b"x")
