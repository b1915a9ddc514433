"""Least privilege: no function lacks a permission, has a spare one, or can make a call that the design forbids.

Every other functional test shows that none is missing, because the fault proxy enforces the policies of template.yaml.
The tests here use every path that calls AWS, to show that none is spare, and then try the forbidden calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from service_keys import ServiceKeys
from service_keys.admin.services import SERVICES
from service_keys.errors import KeyAccessDeniedError
from service_keys.store.items import IDEMPOTENCY_PARTITION, NAME_PARTITION, READER_ATTRIBUTES, RESPONSE_ATTRIBUTES
from tests.functional.conftest import COLLECTION, SECRET, SPOTIFY_KEY, Admin, ClientsOf, Store
from tests.support.fault_proxy import Call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import LocalStack
    from tests.support.fault_proxy import FaultProxy
    from tests.support.iam import Access, Grant, Policies

KEYS = {"spotify": SPOTIFY_KEY, "openai": f"sk-{SECRET}", "anthropic": f"sk-ant-{SECRET}"}
READERS = {service: f"Read{service.title()}Keys" for service in SERVICES}
ADMIN_FUNCTIONS = ("CreateApiKey", "ListApiKeys", "GetApiKey", "UpdateApiKey", "VerifyApiKey", "DeleteApiKey")


@pytest.fixture
def admin(stack: LocalStack, store: Store) -> Admin:
    return Admin(stack)


@pytest.fixture
def policies(fault_proxy: FaultProxy) -> Policies:
    assert fault_proxy.policies is not None
    return fault_proxy.policies


def administer(admin: Admin, store: Store) -> None:
    """Use every path of the admin functions that has a different call to AWS."""
    body = {"name": "Idempotent", "key": SECRET, "description": "Described"}
    for _ in range(2):
        assert admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16).status == 201
    ids = [admin.create(f"Key of {service}", key, service=service)["id"] for service, key in KEYS.items()]
    for query in ({}, {"active": "true"}, {"verification": "none"}, {"verification": "valid"}):
        for service in ({}, {"service": "spotify"}):
            assert admin.listing(**query, **service).status == 200
    everything = {"name": "Renamed", "description": "Described", "active": True, "key": SPOTIFY_KEY}
    assert admin.update(ids[0], everything).status == 200
    assert admin.update(ids[0], {"description": None}, If_Match='"2"').status == 200
    store.put(store.item(ids[0]) | {"lastUsed": {"S": "no moment"}})
    assert admin.update(ids[0], {"active": True}).status == 200
    for key_id in ids:
        assert admin.get(key_id).status == 200
        assert admin.verify(key_id).status == 200
    assert admin.delete(admin.create("Short-lived")["id"]).status == 200


def read(clients_of: ClientsOf, store: Store, principal: str, service: str) -> str:
    dynamodb, kms = clients_of(principal)
    return ServiceKeys(store.table, dynamodb_client=dynamodb, kms_client=kms).get(service).id


def spare_values(grant: Grant, fault_proxy: FaultProxy) -> set[str]:
    """Return the values that a grant's conditions list and that no call of the grant had."""
    listed = {
        (key, value)
        for operator, key, values in grant.conditions
        if operator in {"ForAllValues:StringEquals", "StringEquals"}
        for value in values
    }
    seen = {
        (key, value) for access in fault_proxy.used[grant] for key, values in access.context.items() for value in values
    }
    return {value for _, value in listed - seen}


def test_every_grant_is_used_down_to_each_attribute(
    admin: Admin, store: Store, fault_proxy: FaultProxy, policies: Policies, clients_of: ClientsOf
) -> None:
    fault_proxy.used.clear()
    administer(admin, store)
    for service, principal in READERS.items():
        read(clients_of, store, principal, service)
        # Reads without a usage stamp, which the first read wrote.
        read(clients_of, store, "ReadAllKeys", service)
    other = admin.create("Of no known service", service="lastfm")
    assert read(clients_of, store, "ReadAllKeys", "lastfm") == other["id"]

    print(f"\n{'':18}{'grant':44}{'action':22}calls")
    for grant in policies.grants:
        print(f"{grant.principal:18}{grant.sid:44}{grant.action:22}{len(fault_proxy.used.get(grant, [])):5}")
    assert [grant for grant in policies.grants if grant not in fault_proxy.used] == []
    assert {
        (grant.principal, grant.sid): spare for grant in fault_proxy.used if (spare := spare_values(grant, fault_proxy))
    } == {}


# --- forbidden calls, for any code of a function ---------------------------------------------------------------------


def refused(fault_proxy: FaultProxy, call: Any, **request: Any) -> bool:
    """Return True if IAM denies a call."""
    try:
        call(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        fault_proxy.denials.pop()
        return True
    return False


def key_of(key_id: str) -> dict[str, Any]:
    return {"service": {"S": key_id.partition(".")[0]}, "id": {"S": key_id}}


@pytest.mark.parametrize("function", ADMIN_FUNCTIONS)
@pytest.mark.parametrize("service", [*KEYS, "lastfm"])
def test_no_admin_function_but_verify_decrypts(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, function: str, service: str
) -> None:
    """Decrypt as VerifyApiKey the keys of services with a probe, and no others."""
    key = admin.create(key=KEYS.get(service, SECRET), service=service)
    _, kms = clients_of(function)
    ciphertext = store.item(key["id"])["ciphertext"]["B"]
    context = {"service": service, "id": key["id"]}

    may = not refused(fault_proxy, kms.decrypt, CiphertextBlob=ciphertext, EncryptionContext=context)

    assert may == (function == "VerifyApiKey" and service in KEYS)
    # A wrong encryption context is denied as well.
    for wrong in ({}, {"id": key["id"]}, {"Service": "openai", "id": key["id"]}):
        assert refused(fault_proxy, kms.decrypt, CiphertextBlob=ciphertext, EncryptionContext=wrong)


def test_verify_reads_ciphertexts_of_verifiable_services_only(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf
) -> None:
    """Read everything except the ciphertext of a key whose service has no probe."""
    dynamodb, _ = clients_of("VerifyApiKey")
    for service in (*KEYS, "lastfm"):
        key = admin.create(f"Key of {service}", KEYS.get(service, SECRET), service=service)
        address = {"TableName": store.table, "Key": key_of(key["id"])}
        may = not refused(fault_proxy, dynamodb.get_item, **address, ProjectionExpression="ciphertext")
        assert may == (service in KEYS)
        assert refused(fault_proxy, dynamodb.get_item, **address)
        assert not refused(fault_proxy, dynamodb.get_item, **address, ProjectionExpression="verification")


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
def test_only_verify_can_read_a_ciphertext(
    admin: Admin,
    store: Store,
    fault_proxy: FaultProxy,
    clients_of: ClientsOf,
    function: str,
    projection: dict[str, Any],
) -> None:
    """Deny GetItem, Query and Scan of the ciphertext to the other functions."""
    key = admin.create(service="one")
    dynamodb, _ = clients_of(function)
    condition = {
        "KeyConditionExpression": "#service = :service",
        "ExpressionAttributeValues": {":service": {"S": "one"}},
    }
    names = {"ExpressionAttributeNames": {"#service": "service", **projection.get("ExpressionAttributeNames", {})}}

    assert refused(fault_proxy, dynamodb.get_item, TableName=store.table, Key=key_of(key["id"]), **projection)
    assert refused(fault_proxy, dynamodb.query, TableName=store.table, **projection | condition | names)
    assert refused(fault_proxy, dynamodb.scan, TableName=store.table, **projection)


def test_the_index_of_lists_contains_no_ciphertext(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf
) -> None:
    """Project only the attributes of a response."""
    admin.create(service="one")
    dynamodb, _ = clients_of("ListApiKeys")

    (item,) = dynamodb.query(
        TableName=store.table,
        IndexName="all-by-created",
        KeyConditionExpression="#entity = :entity",
        ExpressionAttributeNames={"#entity": "entity"},
        ExpressionAttributeValues={":entity": {"S": "key"}},
    )["Items"]

    assert "ciphertext" not in item
    assert item.keys() <= {*RESPONSE_ATTRIBUTES, "entity"}


# --- attributes that a role can write, by attempt -------------------------------------------------------------------

SERVICE, OTHER_SERVICE = "openai", "lastfm"
PARTITIONS = (*SERVICES, OTHER_SERVICE, NAME_PARTITION, IDEMPOTENCY_PARTITION, "#history", "#x", "#")
ATTRIBUTES = (
    *RESPONSE_ATTRIBUTES[2:],
    *("entity", "ciphertext", "previousCiphertext", "deletedCiphertext", "deletedAt", "deletedBy", "expiresAt", "key"),
    *("unheard-of", "Active", "verification2", "keyUpdatedA"),
)
"""Attributes of every kind of item, of the index, of time to live, of later versions, and unknown ones."""
WRITES = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
Reach = dict[tuple[str, str], set[str]]
"""Attributes that calls name, without the primary key, by partition and action."""


def add_reach(reach: Reach, partition: str, action: str, access: Access) -> None:
    named = set(access.context["dynamodb:Attributes"]) - {"service", "id"}
    reach.setdefault((partition, action), set()).update(named)


def made(fault_proxy: FaultProxy, policies: Policies, principal: str) -> Reach:
    """Return the reach that a principal used; all services count as one partition, ``service``."""
    reach: Reach = {}
    for call in fault_proxy.calls:
        if call.caller == principal and call.operation.startswith("DynamoDB."):
            for access in policies.accesses(call.operation, call.request):
                action = access.action.partition(":")[2]
                if action in WRITES.values():
                    (leading,) = access.context["dynamodb:LeadingKeys"]
                    add_reach(reach, leading if leading.startswith("#") else "service", action, access)
    return reach


def attempts(table: str, partition: str, attribute: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield every way to write an attribute, or to evaluate it in a write: action, operation and request."""
    key = {"service": {"S": partition}, "id": {"S": f"{partition}.0123456789ab"}}
    names: dict[str, Any] = {"ExpressionAttributeNames": {"#a": attribute}}
    value: dict[str, Any] = {"ExpressionAttributeValues": {":x": {"S": "x"}}}
    address = {"TableName": table, "Key": key}
    exists = {"ConditionExpression": "attribute_exists(#a)"} | names
    put = {"TableName": table, "Item": key | {attribute: {"S": "x"}}}
    updates: list[dict[str, Any]] = [
        {"UpdateExpression": "SET #a = :x"} | names | value,
        {"UpdateExpression": "REMOVE #a"} | names,
        {"UpdateExpression": "ADD #a :x"} | names | {"ExpressionAttributeValues": {":x": {"N": "1"}}},
        {"UpdateExpression": "DELETE #a :x"} | names | {"ExpressionAttributeValues": {":x": {"SS": ["x"]}}},
        {"UpdateExpression": "SET #a.#b = :x"} | value | {"ExpressionAttributeNames": {"#a": attribute, "#b": "b"}},
        {"UpdateExpression": "SET #a[0] = :x"} | names | value,
        exists,
    ]
    yield "PutItem", "DynamoDB.PutItem", put
    yield "PutItem", "DynamoDB.PutItem", {"TableName": table, "Item": key} | exists
    yield "PutItem", "DynamoDB.TransactWriteItems", {"TransactItems": [{"Put": put}]}
    for update in updates:
        yield "UpdateItem", "DynamoDB.UpdateItem", address | update
        yield "UpdateItem", "DynamoDB.TransactWriteItems", {"TransactItems": [{"Update": address | update}]}
    legacy = {"AttributeUpdates": {attribute: {"Action": "PUT", "Value": {"S": "x"}}}}
    yield "UpdateItem", "DynamoDB.UpdateItem", address | legacy
    yield "DeleteItem", "DynamoDB.DeleteItem", address | exists
    yield "DeleteItem", "DynamoDB.DeleteItem", address | {"Expected": {attribute: {"Exists": False}}}
    yield "DeleteItem", "DynamoDB.TransactWriteItems", {"TransactItems": [{"Delete": address | exists}]}


def possible(fault_proxy: FaultProxy, table: str, principal: str) -> Reach:
    """Return the reach of a principal, determined by attempts."""
    reach: Reach = {}
    for partition in PARTITIONS:
        for attribute in ATTRIBUTES:
            for action, operation, request in attempts(table, partition, attribute):
                if fault_proxy.iam_denial(Call(operation, request, principal)) is None:
                    reach.setdefault((partition, action), set()).add(attribute)
                else:
                    fault_proxy.denials.pop()
    return reach


def services_of(principal: str) -> set[str]:
    """Return the services of `PARTITIONS` whose keys a principal can write."""
    if principal == "VerifyApiKey":
        return set(SERVICES)
    own = {reader: {service} for service, reader in READERS.items()}
    return own.get(principal, {*SERVICES, OTHER_SERVICE})


def test_a_role_can_write_the_attributes_it_writes_and_no_other(
    admin: Admin, store: Store, fault_proxy: FaultProxy, policies: Policies, clients_of: ClientsOf
) -> None:
    """Compare the attributes that each role can write with those that it writes or evaluates, in every partition.

    IAM does not distinguish evaluated attributes from written ones.
    """
    fault_proxy.clear()
    administer(admin, store)
    for service, principal in READERS.items():
        read(clients_of, store, principal, service)
    for item in store.items():
        if item.pop("lastUsed", None):
            store.put(item)
    read(clients_of, store, "ReadAllKeys", "openai")
    principals = ("Authorizer", *ADMIN_FUNCTIONS, *READERS.values(), "ReadAllKeys")
    used = {grant: list(accesses) for grant, accesses in fault_proxy.used.items()}

    can = {principal: possible(fault_proxy, store.table, principal) for principal in principals}

    fault_proxy.used = used
    for principal in principals:
        does = made(fault_proxy, policies, principal)
        expected = {
            (partition, action): attributes
            for partition in PARTITIONS
            for action in WRITES.values()
            if partition.startswith("#") or partition in services_of(principal)
            if (attributes := does.get((partition if partition.startswith("#") else "service", action)))
        }
        assert can[principal] == expected, principal
    everywhere = {principal: set().union(*reach.values()) for principal, reach in can.items()}
    assert everywhere["VerifyApiKey"] == {"verification", "keyUpdatedAt"}
    assert {everywhere[reader] == {"lastUsed"} for reader in (*READERS.values(), "ReadAllKeys")} == {True}
    assert [name for name in principals if not can[name]] == ["Authorizer", "ListApiKeys", "GetApiKey"]
    assert not [name for name in principals if {"expiresAt", "entity"} & everywhere[name] and name != "CreateApiKey"]


@pytest.mark.slow
@pytest.mark.parametrize("principal", ["Authorizer", *ADMIN_FUNCTIONS, *READERS.values(), "ReadAllKeys"])
def test_a_denied_write_changes_nothing(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, principal: str
) -> None:
    """Send one write of each attribute of a key, a reservation and an idempotency record; apply the allowed ones."""
    body = {"name": "There", "key": KEYS[SERVICE], "service": SERVICE}
    key = admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16).data
    before = {(item["service"]["S"], item["id"]["S"]): item for item in store.items()}
    dynamodb, _ = clients_of(principal)
    allowed: set[tuple[str, str]] = set()
    for (partition, sort), item in before.items():
        address = {"TableName": store.table, "Key": {"service": {"S": partition}, "id": {"S": sort}}}
        for attribute in ATTRIBUTES:
            change = {"UpdateExpression": "REMOVE #a", "ExpressionAttributeNames": {"#a": attribute}}
            if not refused(fault_proxy, dynamodb.update_item, **address, **change):
                allowed.add((partition, attribute))
        for extra in ({"ReturnValues": "ALL_OLD"}, {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}):
            never = {"ConditionExpression": "attribute_not_exists(id)"}
            assert refused(fault_proxy, dynamodb.update_item, **address, **never, **extra)
            assert refused(fault_proxy, dynamodb.delete_item, **address, **never, **extra)
            if (principal, partition) != ("CreateApiKey", IDEMPOTENCY_PARTITION):
                assert refused(fault_proxy, dynamodb.put_item, TableName=store.table, Item=item, **never, **extra)

    update = {*RESPONSE_ATTRIBUTES[2:], "ciphertext"} - {"createdAt", "createdBy"}
    expected = {"UpdateApiKey": update, "VerifyApiKey": {"verification", "keyUpdatedAt"}}
    readers = {READERS[SERVICE]: {"lastUsed"}, "ReadAllKeys": {"lastUsed"}}
    assert allowed == {(SERVICE, attribute) for attribute in (expected | readers).get(principal, ())}
    for place, item in before.items():
        now = store.item(place[1])
        assert {name for name in item if now.get(name) != item[name]} <= {
            name for part, name in allowed if part == place[0]
        }
    assert key["id"] in {sort for _, sort in before}


@pytest.mark.parametrize("function", ["ListApiKeys", "GetApiKey"])
def test_functions_that_read_cannot_write(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, function: str
) -> None:
    """Deny every write to ListApiKeys and GetApiKey."""
    key = admin.create(service="one")
    dynamodb, _ = clients_of(function)
    item = store.item(key["id"])
    address = {"TableName": store.table, "Key": key_of(key["id"])}

    assert refused(fault_proxy, dynamodb.put_item, TableName=store.table, Item=item)
    assert refused(fault_proxy, dynamodb.delete_item, **address)
    assert refused(
        fault_proxy,
        dynamodb.update_item,
        **address,
        UpdateExpression="SET active = :no",
        ExpressionAttributeValues={":no": {"BOOL": False}},
    )
    assert refused(fault_proxy, dynamodb.transact_write_items, TransactItems=[{"Delete": address}])
    assert store.item(key["id"]) == item


@pytest.mark.parametrize("service", SERVICES)
def test_a_consumer_of_one_service_reads_no_other(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, service: str
) -> None:
    ids = {other: admin.create(f"Key of {other}", key, service=other)["id"] for other, key in KEYS.items()}
    dynamodb, kms = clients_of(READERS[service])

    assert read(clients_of, store, READERS[service], service) == ids[service]
    for other in ids.keys() - {service}:
        with pytest.raises(KeyAccessDeniedError, match="IAM policy"):
            read(clients_of, store, READERS[service], other)
        assert f"LeadingKeys={other}" in fault_proxy.denials.pop()
        # A ciphertext from elsewhere is denied as well.
        ciphertext = store.item(ids[other])["ciphertext"]["B"]
        for context in ({"service": other, "id": ids[other]}, {"id": ids[other]}, {}):
            assert refused(fault_proxy, kms.decrypt, CiphertextBlob=ciphertext, EncryptionContext=context)
        assert refused(fault_proxy, dynamodb.get_item, TableName=store.table, Key=key_of(ids[other]))


@pytest.mark.parametrize("principal", [*READERS.values(), "ReadAllKeys"])
def test_a_consumer_writes_only_usage_stamps(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, principal: str
) -> None:
    """Deny every other write, and a stamp that returns the former item."""
    service = next((service for service, reader in READERS.items() if reader == principal), "spotify")
    key = admin.create(f"Key of {service}", KEYS[service], service=service)
    before = store.items()
    dynamodb, kms = clients_of(principal)
    address = {"TableName": store.table, "Key": key_of(key["id"])}
    value = {"ExpressionAttributeValues": {":x": {"S": "x"}}}

    for attribute in ("active", "ciphertext", "maskedKey", "verification", "lastUsed = :x, active"):
        assert refused(fault_proxy, dynamodb.update_item, **address, **value, UpdateExpression=f"SET {attribute} = :x")
    stamp = {"UpdateExpression": "SET lastUsed = :x"} | value
    assert refused(fault_proxy, dynamodb.update_item, **address, **stamp, ReturnValues="ALL_OLD")
    assert refused(fault_proxy, dynamodb.put_item, TableName=store.table, Item=store.item(key["id"]))
    assert refused(fault_proxy, dynamodb.delete_item, **address)
    assert refused(fault_proxy, dynamodb.scan, TableName=store.table)
    assert refused(
        fault_proxy, kms.encrypt, KeyId=store.kms_key, Plaintext=b"x", EncryptionContext={"service": service}
    )
    assert store.items() == before


@pytest.mark.parametrize("principal", [*READERS.values(), "ReadAllKeys"])
def test_a_consumer_reads_only_the_attributes_it_needs(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, principal: str
) -> None:
    """Deny every other attribute, and a Query that names none."""
    service = next((service for service, reader in READERS.items() if reader == principal), "spotify")
    admin.create(f"Key of {service}", KEYS[service], service=service)
    dynamodb, _ = clients_of(principal)
    query: dict[str, Any] = {
        "TableName": store.table,
        "KeyConditionExpression": "#service = :service",
        "ExpressionAttributeValues": {":service": {"S": service}},
    }
    names = {"#service": "service"}
    may = set()
    for attribute in ATTRIBUTES:
        one = {"ProjectionExpression": "#a", "ExpressionAttributeNames": names | {"#a": attribute}}
        if not refused(fault_proxy, dynamodb.query, **query, **one):
            may.add(attribute)
        filtered = {"ProjectionExpression": "id", "FilterExpression": "attribute_exists(#a)"} | {
            "ExpressionAttributeNames": names | {"#a": attribute}
        }
        assert refused(fault_proxy, dynamodb.query, **query, **filtered) == (attribute not in may)
    assert may == set(READER_ATTRIBUTES) - {"id"}
    for select in ({}, {"Select": "ALL_ATTRIBUTES"}, {"Select": "COUNT"}):
        assert refused(fault_proxy, dynamodb.query, **query, **select, ExpressionAttributeNames=names)
    assert refused(fault_proxy, dynamodb.query, **query, IndexName="all-by-created", ExpressionAttributeNames=names)


@pytest.mark.parametrize("principal", [*READERS.values(), "ReadAllKeys"])
@pytest.mark.parametrize("partition", [NAME_PARTITION, IDEMPOTENCY_PARTITION])
def test_a_consumer_reads_no_reservation_and_no_record(
    store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, principal: str, partition: str
) -> None:
    """Deny a Query of name reservations or idempotency records."""
    dynamodb, _ = clients_of(principal)

    assert refused(
        fault_proxy,
        dynamodb.query,
        TableName=store.table,
        KeyConditionExpression="#service = :service",
        ExpressionAttributeNames={"#service": "service"},
        ExpressionAttributeValues={":service": {"S": partition}},
    )


@pytest.mark.parametrize("principal", ["Authorizer", "nobody"])
def test_a_principal_without_grants_is_denied(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf, policies: Policies, principal: str
) -> None:
    """Deny calls of the authorizer and of an unknown principal."""
    key = admin.create(service="one")
    dynamodb, kms = clients_of(principal)

    assert policies.of_principal(principal) == []
    assert refused(fault_proxy, dynamodb.get_item, TableName=store.table, Key=key_of(key["id"]))
    assert refused(fault_proxy, kms.encrypt, KeyId=store.kms_key, Plaintext=b"x")
