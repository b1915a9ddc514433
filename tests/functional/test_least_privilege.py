"""Least privilege: no function lacks a permission, has a spare one, or can make a call that the design forbids.

Every other functional test shows that none is missing, because the fault proxy enforces the policies of template.yaml.
The tests here use every path that calls AWS, to show that none is spare, and then try the forbidden calls.
"""

import base64
import dataclasses
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.stack import LocalStack
from local.template import Template
from service_keys.admin.services import SERVICES, VERIFIABLE_SERVICES
from service_keys.errors import KeyAccessDeniedError
from service_keys.store.consumer_items import READER_ATTRIBUTES
from service_keys.store.items import HISTORY_PARTITION, IDEMPOTENCY_PARTITION, NAME_PARTITION, RESPONSE_ATTRIBUTES
from tests.functional.conftest import (
    COLLECTION,
    SECRET,
    SPOTIFY_KEY,
    Admin,
    ClientsOf,
    ConsumerOf,
    HttpAdmin,
    Store,
)
from tests.support.example_keys import KEYS
from tests.support.fault_proxy import Call, FaultProxy
from tests.support.iam import Grant, Policies
from tests.support.key_fields import METADATA
from tests.support.processes import ROOT
from tools.generate_template import reader_policy

Denied = Callable[..., bool]
READERS = {service: reader_policy(service) for service in SERVICES}
CONSUMERS = {**{reader: service for service, reader in READERS.items()}, "ReadAllKeys": "spotify"}
"""A service that each principal may read."""
ADMIN_FUNCTIONS = (
    *("CreateApiKey", "ListApiKeys", "GetApiKey", "UpdateApiKey", "VerifyApiKey"),
    *("DeleteApiKey", "RollbackApiKey", "RestoreApiKey", "GetApiKeyHistory", "ListServices"),
)
PRINCIPALS = ("Authorizer", "WebConsole", *ADMIN_FUNCTIONS, READERS["openai"], READERS["deezer"], "ReadAllKeys")
"""The generated policies differ in the service only; `test_each_consumer_policy_covers_one_service` tries all."""
SOME_CONSUMERS = [(name, CONSUMERS[name]) for name in PRINCIPALS if name in CONSUMERS]
CIPHERTEXTS = ("ciphertext", "previousCiphertext", "deletedCiphertext")
READ_BY_QUERY = {READERS["openai"]: {"Query"}, "ReadAllKeys": {"Query"}}


@pytest.fixture
def admin(stack: LocalStack, store: Store) -> Admin:
    """An administrator of an empty table, whose token has a readable name."""
    admin = HttpAdmin(stack)
    admin.token = stack.issuer.token(sub=admin.sub, email="ada@example.com")
    return admin


@pytest.fixture
def policies(fault_proxy: FaultProxy) -> Policies:
    assert fault_proxy.policies is not None
    return fault_proxy.policies


def administer(admin: Admin, store: Store) -> None:
    """Use every path of the admin functions that has a different call to AWS."""
    body = METADATA | {"name": "Idempotent", "key": SECRET}
    for _ in range(2):
        assert admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16).status == 201
    ids = [admin.create(f"Key of {service}", key, service=service)["id"] for service, key in KEYS.items()]
    for query in ({}, {"active": "true"}, {"verification": "none"}, {"verification": "valid"}, {"deleted": "true"}):
        for service in ({}, {"service": "spotify"}):
            assert admin.listing(**query, **service).status == 200
    assert admin.update(ids[0], METADATA | {"key": SPOTIFY_KEY}).status == 200
    assert admin.update(ids[0], {"description": None}, If_Match='"2"').status == 200
    store.put(store.item(ids[0]) | FALSE_VALUES)
    for active in (False, True):
        assert admin.update(ids[0], {"active": active}).status == 200
    for key_id in ids:
        assert admin.get(key_id).status == 200
        assert admin.verify(key_id).status == (200 if key_id.partition(".")[0] in VERIFIABLE_SERVICES else 400)
    store.put(store.item(ids[0]) | FALSE_VALUES)
    assert admin.rollback(ids[0], If_Match='"5"').status == 200
    assert admin.update(ids[0], {"keepPrevious": False}).status == 200
    store.put(store.item(ids[0]) | FALSE_VALUES)
    assert admin.delete(ids[0]).status == 200
    store.put(store.item(ids[0]) | FALSE_VALUES)
    assert admin.restore(ids[0], {"name": "Restored"}).status == 200
    assert admin.history(ids[0]).status == 200
    assert admin.services().status == 200
    assert admin.call("DELETE", f"{COLLECTION}/{admin.create('Short-lived')['id']}", query={"permanent": "true"}).data


FALSE_VALUES: dict[str, Any] = {"lastUsed": {"S": "x"}, "keyUpdatedAt": {"S": "x"}, "verification": {"M": {}}}
"""Attributes as a compromised consumer or VerifyApiKey can write them; the next change replaces them."""


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
    admin: Admin, store: Store, fault_proxy: FaultProxy, policies: Policies, consumer_of: ConsumerOf
) -> None:
    """Use every path, and find no unused grant and no unused value of a condition."""
    fault_proxy.used.clear()
    administer(admin, store)
    for service, principal in READERS.items():
        consumer_of(principal).get(service)
    # Reads without a usage stamp, which the first read wrote.
    consumer_of().get("openai")
    other = admin.create("Of no known service", service="soundcloud")
    assert consumer_of().get("soundcloud").id == other["id"]

    spare = {(grant.principal, grant.sid): spare_values(grant, fault_proxy) for grant in fault_proxy.used}

    print(f"\n{'':18}{'grant':44}{'action':22}calls")
    for grant in policies.grants:
        print(f"{grant.principal:18}{grant.sid:44}{grant.action:22}{len(fault_proxy.used.get(grant, [])):5}")
    assert [grant for grant in policies.grants if grant not in fault_proxy.used] == []
    assert {grant: values for grant, values in spare.items() if values} == {}


# --- forbidden calls, for any code of a function ---------------------------------------------------------------------


@pytest.fixture
def denied(store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf) -> Denied:
    """Return True if IAM denies a principal's call to KMS or to the table."""

    def denied(principal: str, method: str, **request: Any) -> bool:
        dynamodb, kms = clients_of(principal)
        try:
            if hasattr(kms, method):
                getattr(kms, method)(**request)
            else:
                getattr(dynamodb, method)(TableName=store.table, **request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise
            fault_proxy.denials.pop()
            return True
        return False

    return denied


def query(service: str, projection: str | None = None, **names: str) -> dict[str, Any]:
    """Return the parameters of a Query of a service's partition."""
    parameters = {
        "KeyConditionExpression": "#service = :service",
        "ExpressionAttributeNames": {"#service": "service"} | {f"#{name}": value for name, value in names.items()},
        "ExpressionAttributeValues": {":service": {"S": service}},
    }
    return parameters | ({"ProjectionExpression": projection} if projection else {})


def key_of(key_id: str) -> dict[str, Any]:
    return {"service": {"S": key_id.partition(".")[0]}, "id": {"S": key_id}}


@pytest.mark.slow
@pytest.mark.parametrize("service", ["openai", "deezer", "soundcloud"])
def test_each_principal_has_its_kms_calls_only(admin: Admin, store: Store, denied: Denied, service: str) -> None:
    """Deny every other call, and a decryption with a wrong encryption context."""
    key = admin.create(key=KEYS.get(service, SECRET), service=service)
    ciphertext = store.item(key["id"])["ciphertext"]["B"]
    context = {"service": service, "id": key["id"]}
    named, sealed = {"KeyId": store.kms_key}, {"CiphertextBlob": ciphertext}
    calls: dict[str, dict[str, Any]] = {
        "encrypt": named | {"Plaintext": b"x", "EncryptionContext": context},
        "decrypt": sealed | {"EncryptionContext": context},
        "generate_data_key": named | {"KeySpec": "AES_256", "EncryptionContext": context},
        "generate_data_key_without_plaintext": named | {"KeySpec": "AES_256", "EncryptionContext": context},
        "re_encrypt": sealed | {"DestinationKeyId": store.kms_key, "SourceEncryptionContext": context},
        "describe_key": named,
    }

    allowed = {
        principal: {name for name in calls if not denied(principal, name, **calls[name])} for principal in PRINCIPALS
    }

    expected = {"CreateApiKey": {"encrypt"}, "UpdateApiKey": {"encrypt"}, "ReadAllKeys": {"decrypt"}}
    if service in READERS:
        expected[READERS[service]] = {"decrypt"}
    if service in VERIFIABLE_SERVICES:
        expected["VerifyApiKey"] = {"decrypt"}
    assert {principal: names for principal, names in allowed.items() if names} == expected
    for principal in PRINCIPALS:
        for wrong in ({}, {"id": key["id"]}, {"Service": "openai", "id": key["id"]}):
            assert denied(principal, "decrypt", CiphertextBlob=ciphertext, EncryptionContext=wrong)


@pytest.mark.parametrize("service", [*KEYS, "soundcloud"])
def test_verify_reads_ciphertexts_of_verifiable_services_only(admin: Admin, denied: Denied, service: str) -> None:
    """Read everything except the ciphertext of a key whose service has no probe."""
    key = key_of(admin.create(key=KEYS.get(service, SECRET), service=service)["id"])

    refused = service not in VERIFIABLE_SERVICES
    assert denied("VerifyApiKey", "get_item", Key=key, ProjectionExpression="ciphertext") == refused
    assert denied("VerifyApiKey", "get_item", Key=key)
    assert not denied("VerifyApiKey", "get_item", Key=key, ProjectionExpression="verification")


def reads(table: str, partition: str, attribute: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every call that could return an attribute of an item of the partition: operation and request."""
    names = {"ExpressionAttributeNames": {"#a": attribute}}
    key = {"service": {"S": partition}, "id": {"S": f"{partition}.0123456789ab"}}
    address = {"TableName": table, "Key": key}
    for selected in ({}, {"ProjectionExpression": attribute}, {"ProjectionExpression": "#a"} | names):
        yield "GetItem", address | selected
        yield "TransactGetItems", {"TransactItems": [{"Get": address | selected}]}
        yield "BatchGetItem", {"RequestItems": {table: {"Keys": [key]} | selected}}
        yield "Scan", {"TableName": table} | selected
    filtered = query(partition, "id", a=attribute) | {"FilterExpression": "attribute_exists(#a)"}
    for request in (query(partition), query(partition, "#a", a=attribute), filtered):
        yield "Query", {"TableName": table} | request
    yield "ExecuteStatement", {"Statement": f'SELECT "{attribute}" FROM "{table}"'}
    update = address | {"UpdateExpression": "SET #a = #a"} | names
    for values in ("ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"):
        yield "UpdateItem", update | {"ReturnValues": values}
    failing = {"ConditionExpression": "attribute_not_exists(id)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    put = {"TableName": table, "Item": key}
    for kind, write in (("Update", update), ("Delete", address), ("Put", put), ("ConditionCheck", address)):
        yield "TransactWriteItems", {"TransactItems": [{kind: write | failing}]}
        if kind != "ConditionCheck":
            yield f"{kind}Item", write | failing
            yield f"{kind}Item", write | {"ReturnValues": "ALL_OLD"}


def readable(fault_proxy: FaultProxy, table: str, partition: str, attribute: str) -> set[tuple[str, str]]:
    """Return the principals that can read an attribute of the partition, with the operations."""
    return {
        (principal, operation)
        for principal in PRINCIPALS
        for operation, request in reads(table, partition, attribute)
        if is_allowed(fault_proxy, Call(f"DynamoDB.{operation}", request, principal))
    }


def is_allowed(fault_proxy: FaultProxy, call: Call) -> bool:
    allowed = fault_proxy.iam_denial(call) is None
    if not allowed:
        fault_proxy.denials.pop()
    return allowed


@pytest.mark.parametrize(
    ("partition", "attribute", "expected"),
    [
        ("openai", "ciphertext", {"VerifyApiKey": {"GetItem", "TransactGetItems"}, **READ_BY_QUERY}),
        ("deezer", "ciphertext", {READERS["deezer"]: {"Query"}, "ReadAllKeys": {"Query"}}),
        *((name, "ciphertext", {"ReadAllKeys": {"Query"}}) for name in ("soundcloud", "opena", "openai2")),
        ("openai", "previousCiphertext", {}),
        ("openai", "deletedCiphertext", {}),
        (NAME_PARTITION, "key", {}),
        # It returns the record of a repeated request, which holds no secret.
        (IDEMPOTENCY_PARTITION, "key", {"CreateApiKey": {"PutItem", "TransactWriteItems"}}),
        (HISTORY_PARTITION, "after", {"GetApiKeyHistory": {"Query"}}),
    ],
)
def test_who_can_read_an_attribute_by_any_call(
    fault_proxy: FaultProxy, store: Store, partition: str, attribute: str, expected: dict[str, set[str]]
) -> None:
    """Try each call that could return a ciphertext, a reservation, a record or a history entry."""
    found = readable(fault_proxy, store.table, partition, attribute)

    assert found == {(principal, operation) for principal, operations in expected.items() for operation in operations}


def test_the_history_function_reads_no_key(fault_proxy: FaultProxy, store: Store) -> None:
    """Deny every attribute of a key, by any call."""
    for attribute in ATTRIBUTES:
        readers = {principal for principal, _ in readable(fault_proxy, store.table, SERVICE, attribute)}
        assert "GetApiKeyHistory" not in readers, attribute


@pytest.mark.parametrize(
    ("function", "source", "target"),
    [
        ("UpdateApiKey", "ciphertext", "description"),
        ("UpdateApiKey", "previousCiphertext", "maskedKey"),
        ("RollbackApiKey", "previousCiphertext", "maskedKey"),
        ("DeleteApiKey", "ciphertext", "deletedBy"),
        ("RestoreApiKey", "deletedCiphertext", "name"),
    ],
)
def test_a_copied_ciphertext_stays_encrypted(
    admin: Admin, store: Store, denied: Denied, function: str, source: str, target: str
) -> None:
    """IAM cannot deny a copy to a readable attribute in a write that may name both; KMS denies the decryption."""
    key_id = admin.create(key=KEYS[SERVICE], service=SERVICE)["id"]
    ciphertext = store.item(key_id)["ciphertext"]
    store.put(store.item(key_id) | {source: ciphertext})
    names = {"#target": target}
    update = {"UpdateExpression": f"SET #target = {source}", "ExpressionAttributeNames": names}

    assert not denied(function, "update_item", Key=key_of(key_id), **update)

    assert store.item(key_id)[target] == ciphertext
    context = {"service": SERVICE, "id": key_id}
    assert denied(function, "decrypt", CiphertextBlob=ciphertext["B"], EncryptionContext=context)
    item = {name: value for name, value in store.item(key_id).items() if name not in {*CIPHERTEXTS, target}}
    store.put(item)


def test_the_index_of_lists_contains_no_ciphertext(
    admin: Admin, store: Store, fault_proxy: FaultProxy, clients_of: ClientsOf
) -> None:
    """Project only the attributes of a response, for keys and for deleted keys."""
    ids = [admin.create(name, service="one")["id"] for name in ("One", "Another")]
    for key_id in ids:
        assert admin.update(key_id, {"key": f"{SECRET}2"}).status == 200
    assert admin.delete(ids[0]).status == 200
    dynamodb, _ = clients_of("ListApiKeys")

    for entity in ("key", "deleted"):
        (item,) = dynamodb.query(
            TableName=store.table,
            IndexName="all-by-created",
            KeyConditionExpression="#entity = :entity",
            ExpressionAttributeNames={"#entity": "entity"},
            ExpressionAttributeValues={":entity": {"S": entity}},
        )["Items"]
        assert item.keys() <= {*RESPONSE_ATTRIBUTES, "entity"}
        assert not [name for name in item if "ciphertext" in name.lower()]


# --- attributes that a role can write, by attempt -------------------------------------------------------------------

SERVICE, OTHER_SERVICE = "openai", "soundcloud"
INTERNAL_PARTITIONS = (NAME_PARTITION, IDEMPOTENCY_PARTITION, HISTORY_PARTITION)
PARTITIONS = (SERVICE, "spotify", "deezer", OTHER_SERVICE, *INTERNAL_PARTITIONS, "#x", "#")
ATTRIBUTES = (
    *(*RESPONSE_ATTRIBUTES[2:], *CIPHERTEXTS, "entity", "expiresAt", "key"),
    *("change", "fields", "at", "by", "byName", "requestId", "before", "after"),
    *("unheard-of", "Active", "verification2", "keyUpdatedA"),
)
"""Attributes of every kind of item, of the index, of time to live, and unknown ones."""
WRITES = ("PutItem", "UpdateItem", "DeleteItem")
Reach = dict[tuple[str, str], set[str]]
"""Attributes that calls name, without the primary key, by partition and action."""


def used_reach(fault_proxy: FaultProxy, policies: Policies, principal: str) -> Reach:
    """Return the reach that a principal used; all services count as one partition, ``service``."""
    reach: Reach = {}
    for call in fault_proxy.calls:
        if call.caller == principal and call.operation.startswith("DynamoDB."):
            for access in policies.accesses(call.operation, call.request):
                action = access.action.partition(":")[2]
                if action in WRITES:
                    (leading,) = access.context["dynamodb:LeadingKeys"]
                    named = set(access.context["dynamodb:Attributes"]) - {"service", "id"}
                    partition = leading if leading.startswith("#") else "service"
                    reach.setdefault((partition, action), set()).update(named)
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
                if is_allowed(fault_proxy, Call(operation, request, principal)):
                    reach.setdefault((partition, action), set()).add(attribute)
    return reach


def services_of(principal: str) -> set[str]:
    """Return the services of `PARTITIONS` whose keys a principal can write."""
    if principal == "VerifyApiKey":
        return {SERVICE, "spotify"}
    every = {partition for partition in PARTITIONS if not partition.startswith("#")}
    return {CONSUMERS[principal]} if principal in READERS.values() else every


@pytest.mark.slow
def test_a_role_can_write_the_attributes_it_writes_and_no_other(
    admin: Admin, store: Store, fault_proxy: FaultProxy, policies: Policies, consumer_of: ConsumerOf
) -> None:
    """Compare the attributes that each role can write with those that it writes or evaluates, in every partition.

    IAM does not distinguish evaluated attributes from written ones.
    """
    fault_proxy.clear()
    administer(admin, store)
    for principal in READERS["openai"], READERS["deezer"]:
        consumer_of(principal).get(CONSUMERS[principal])
    for item in store.items():
        if item.pop("lastUsed", None):
            store.put(item)
    consumer_of().get("openai")
    used = {grant: list(accesses) for grant, accesses in fault_proxy.used.items()}

    can = {principal: possible(fault_proxy, store.table, principal) for principal in PRINCIPALS}

    fault_proxy.used = used
    for principal in PRINCIPALS:
        does = used_reach(fault_proxy, policies, principal)
        expected = {
            (partition, action): attributes
            for partition in PARTITIONS
            for action in WRITES
            if partition.startswith("#") or partition in services_of(principal)
            if (attributes := does.get((partition if partition.startswith("#") else "service", action)))
        }
        assert can[principal] == expected, principal
    everywhere = {principal: set().union(*reach.values()) for principal, reach in can.items()}
    assert everywhere["VerifyApiKey"] == {"verification", "keyUpdatedAt"}
    assert all(everywhere[name] == {"lastUsed"} for name in PRINCIPALS if name in CONSUMERS)
    assert [name for name in PRINCIPALS if not can[name]] == [
        *("Authorizer", "WebConsole", "ListApiKeys", "GetApiKey", "GetApiKeyHistory", "ListServices"),
    ]
    of_keys = {name: set().union(*(can[name].get((SERVICE, action), set()) for action in WRITES)) for name in can}
    assert {name for name in can if "expiresAt" in of_keys[name]} == {"DeleteApiKey", "RestoreApiKey"}
    assert {name for name in can if "entity" in of_keys[name]} == {"CreateApiKey", "DeleteApiKey", "RestoreApiKey"}
    of_history = {(name, action) for name in can for partition, action in can[name] if partition == HISTORY_PARTITION}
    changing = ("CreateApiKey", "UpdateApiKey", "DeleteApiKey", "RollbackApiKey", "RestoreApiKey")
    assert of_history == {(name, "PutItem") for name in changing}


REPLACED = {
    *("ciphertext", "previousCiphertext", "maskedKey", "previousKey", "keyUpdatedAt", "verification", "lastUsed"),
    *("updatedAt", "updatedBy", "updatedByName", "version"),
}
DELETED = {
    *("ciphertext", "deletedCiphertext", "entity", "deletedAt", "deletedBy", "recoverableUntil", "expiresAt"),
    *("version", "keyUpdatedAt", "lastUsed", "verification"),
}
UPDATABLE = {
    "UpdateApiKey": REPLACED | {"name", "description", "active"},
    "VerifyApiKey": {"verification", "keyUpdatedAt"},
    "DeleteApiKey": DELETED,
    "RollbackApiKey": REPLACED,
    "RestoreApiKey": DELETED | REPLACED - {"previousCiphertext", "maskedKey", "previousKey"} | {"name"},
    READERS[SERVICE]: {"lastUsed"},
    "ReadAllKeys": {"lastUsed"},
}
"""The attributes of a key of `SERVICE` that each principal may update or evaluate."""


@pytest.mark.slow
@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_denied_write_changes_nothing(admin: Admin, store: Store, denied: Denied, principal: str) -> None:
    """Send one write of each attribute of an item of each kind; apply the allowed ones."""
    body = {"name": "There", "key": KEYS[SERVICE], "service": SERVICE}
    key = admin.send("POST", COLLECTION, body, Idempotency_Key="k" * 16).data
    before = {(item["service"]["S"], item["id"]["S"]): item for item in store.items()}
    allowed: set[tuple[str, str]] = set()
    for (partition, _), item in before.items():
        address = {name: item[name] for name in ("service", "id")}
        for attribute in ATTRIBUTES:
            change = {"UpdateExpression": "REMOVE #a", "ExpressionAttributeNames": {"#a": attribute}}
            if not denied(principal, "update_item", Key=address, **change):
                allowed.add((partition, attribute))
        for name in ("ReturnValues", "ReturnValuesOnConditionCheckFailure"):
            never = {"ConditionExpression": "attribute_not_exists(id)", name: "ALL_OLD"}
            assert denied(principal, "update_item", Key=address, **never)
            assert denied(principal, "delete_item", Key=address, **never)
            if (principal, partition) != ("CreateApiKey", IDEMPOTENCY_PARTITION):
                assert denied(principal, "put_item", Item=item, **never)

    assert allowed == {(SERVICE, attribute) for attribute in UPDATABLE.get(principal, ())}
    for (partition, sort), item in before.items():
        now = store.item(sort)
        changed = {(partition, name) for name in item if now.get(name) != item[name]}
        assert changed <= allowed
    assert key["id"] in {sort for _, sort in before}


def neighbours(service: str) -> tuple[str, ...]:
    """Return partitions whose names resemble that of a service, with the wildcards of IAM."""
    longer = (f"{service}2", f"{service}-eu", f"x{service}", f"{service} ")
    return (
        service[:-1],
        service[1:],
        service.upper(),
        *longer,
        f"{service[:3]}*",
        f"{service[:-1]}?",
        "*",
        f"#{service}",
    )


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES)
def test_a_consumer_of_one_service_reads_no_other(
    admin: Admin, store: Store, fault_proxy: FaultProxy, consumer_of: ConsumerOf, denied: Denied, service: str
) -> None:
    """Deny the read, a decryption and a GetItem of the keys of another service, and of one with a longer name."""
    names = [*SERVICES, *SERVICES]
    others = names[names.index(service) + 1], f"{service}2", f"{service}-eu", service[:-1]
    ids = {
        name: admin.create(f"Key of {name}", KEYS.get(name, SECRET), service=name)["id"] for name in (service, *others)
    }
    consumer = consumer_of(READERS[service])

    assert consumer.get(service).id == ids[service]
    for other in others:
        with pytest.raises(KeyAccessDeniedError, match="IAM policy"):
            consumer.get(other)
        assert f"LeadingKeys={other}" in fault_proxy.denials.pop()
        ciphertext = store.item(ids[other])["ciphertext"]["B"]
        for context in ({"service": other, "id": ids[other]}, {"id": ids[other]}, {}):
            assert denied(READERS[service], "decrypt", CiphertextBlob=ciphertext, EncryptionContext=context)
        assert denied(READERS[service], "get_item", Key=key_of(ids[other]))


@pytest.mark.parametrize("service", SERVICES)
def test_each_consumer_policy_covers_one_service(fault_proxy: FaultProxy, store: Store, service: str) -> None:
    """Deny reads, stamps and decryptions for every other service, similar names and internal partitions."""
    assert_covers_one_service(fault_proxy, store, READERS[service], service)


@pytest.fixture
def documented_policy(
    stack: LocalStack, store: Store, fault_proxy: FaultProxy, policies: Policies, tmp_path: Path
) -> Iterator[str]:
    """Add the policy for a service that is not known, as docs/consumers.md has it, to the enforced ones."""
    page = (ROOT / "docs" / "consumers.md").read_text()
    (declared,) = (block for block in page.split("```yaml\n")[1:] if block.startswith("ReadSoundcloudKeys:"))
    header = "Transform: AWS::Serverless-2016-10-31\nResources:\n"
    path = tmp_path / "template.yaml"
    path.write_text(header + textwrap.indent(declared.partition("```")[0], "  "))
    exports = {"service-keys-TableName": store.table}
    exports["service-keys-EncryptionKeyArn"] = stack.template.resolve({"Fn::GetAtt": ["EncryptionKey", "Arn"]})
    documented = Policies.of(Template.load(path=path, references=exports))
    fault_proxy.policies = dataclasses.replace(policies, grants=policies.grants + documented.grants)
    yield "ReadSoundcloudKeys"
    fault_proxy.policies = policies


def test_a_documented_policy_covers_one_unknown_service(
    admin: Admin, store: Store, fault_proxy: FaultProxy, consumer_of: ConsumerOf, documented_policy: str
) -> None:
    """Read the keys of the service of the page, and of no other; write usage stamps only."""
    key_id = admin.create("Of no known service", service=OTHER_SERVICE)["id"]
    admin.create("Another", service=f"{OTHER_SERVICE}2")
    consumer = consumer_of(documented_policy)

    assert consumer.get(OTHER_SERVICE).value == SECRET
    assert "lastUsed" in store.item(key_id)
    with pytest.raises(KeyAccessDeniedError, match="IAM policy"):
        consumer.get(f"{OTHER_SERVICE}2")
    fault_proxy.denials.clear()
    assert_covers_one_service(fault_proxy, store, documented_policy, OTHER_SERVICE)


def assert_covers_one_service(fault_proxy: FaultProxy, store: Store, principal: str, service: str) -> None:
    """Try the calls of a consumer for every partition, and every write of its own partition."""
    allowed: dict[str, set[str]] = {"DynamoDB.Query": set(), "DynamoDB.UpdateItem": set(), "KMS.Decrypt": set()}
    sealed = {"CiphertextBlob": base64.b64encode(store.kms_key.rpartition("/")[2].encode()).decode()}
    projection = ", ".join(f"#{name}" for name in READER_ATTRIBUTES)
    for partition in (*SERVICES, OTHER_SERVICE, service, *neighbours(service), *INTERNAL_PARTITIONS, "#", ""):
        address = {"TableName": store.table, "Key": {"service": {"S": partition}, "id": {"S": f"{partition}.0"}}}
        stamp = {"UpdateExpression": "SET lastUsed = :x", "ConditionExpression": "attribute_exists(id)"}
        read = query(partition, projection, **dict(zip(READER_ATTRIBUTES, READER_ATTRIBUTES, strict=True)))
        context = {"EncryptionContext": {"service": partition, "id": f"{service}.0"}}
        requests: dict[str, dict[str, Any]] = {
            "DynamoDB.Query": {"TableName": store.table} | read,
            "DynamoDB.UpdateItem": address | stamp | {"ExpressionAttributeValues": {":x": {"S": "x"}}},
            "KMS.Decrypt": sealed | context,
        }
        for operation, request in requests.items():
            if is_allowed(fault_proxy, Call(operation, request, principal)):
                allowed[operation].add(partition)
    written = {
        (action, attribute)
        for attribute in ATTRIBUTES
        for action, operation, request in attempts(store.table, service, attribute)
        if is_allowed(fault_proxy, Call(operation, request, principal))
    }

    assert allowed == {operation: {service} for operation in allowed}
    assert written == {("UpdateItem", "lastUsed")}


@pytest.mark.parametrize(("principal", "service"), SOME_CONSUMERS)
def test_a_consumer_writes_only_usage_stamps(
    admin: Admin, store: Store, denied: Denied, principal: str, service: str
) -> None:
    """Deny every other write, and a stamp that returns the former item."""
    key_id = admin.create(f"Key of {service}", KEYS[service], service=service)["id"]
    before = store.items()
    update = {"Key": key_of(key_id), "ExpressionAttributeValues": {":x": {"S": "x"}}}

    for attribute in ("active", "ciphertext", "maskedKey", "verification", "lastUsed = :x, active"):
        assert denied(principal, "update_item", **update, UpdateExpression=f"SET {attribute} = :x")
    for source in CIPHERTEXTS:
        assert denied(principal, "update_item", Key=key_of(key_id), UpdateExpression=f"SET lastUsed = {source}")
    assert denied(principal, "update_item", **update, UpdateExpression="SET lastUsed = :x", ReturnValues="ALL_OLD")
    assert denied(principal, "put_item", Item=store.item(key_id))
    assert denied(principal, "delete_item", Key=key_of(key_id))
    assert denied(principal, "scan")
    assert denied(principal, "encrypt", KeyId=store.kms_key, Plaintext=b"x", EncryptionContext={"service": service})
    assert store.items() == before


@pytest.mark.slow
@pytest.mark.parametrize(("principal", "service"), SOME_CONSUMERS)
def test_a_consumer_reads_only_the_attributes_it_needs(
    admin: Admin, denied: Denied, principal: str, service: str
) -> None:
    """Deny every other attribute, and a Query that names none."""
    admin.create(f"Key of {service}", KEYS[service], service=service)
    allowed = set()
    for attribute in ATTRIBUTES:
        if not denied(principal, "query", **query(service, "#a", a=attribute)):
            allowed.add(attribute)
        filtered = query(service, "id", a=attribute) | {"FilterExpression": "attribute_exists(#a)"}
        assert denied(principal, "query", **filtered) == (attribute not in allowed)
    assert allowed == set(READER_ATTRIBUTES) - {"id"}
    for select in ({}, {"Select": "ALL_ATTRIBUTES"}, {"Select": "COUNT"}):
        assert denied(principal, "query", **query(service), **select)
    assert denied(principal, "query", **query(service), IndexName="all-by-created")


@pytest.mark.parametrize("principal", ["Authorizer", "unknown"])
def test_a_principal_without_grants_is_denied(
    admin: Admin, store: Store, denied: Denied, policies: Policies, principal: str
) -> None:
    """Deny calls of the authorizer and of an unknown principal."""
    key = admin.create(service="one")

    assert policies.of_principal(principal) == []
    assert denied(principal, "get_item", Key=key_of(key["id"]))
    assert denied(principal, "encrypt", KeyId=store.kms_key, Plaintext=b"x")
