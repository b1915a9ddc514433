"""Tests of the tests' IAM policy evaluation, which must match that of AWS."""

import base64
from pathlib import Path
from typing import Any

import pytest

from local.template import Template
from tests.support.iam import Access, Grant, Policies, UnsupportedPolicyError, _grants, role_of

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/keys"
POLICIES = Policies((), "eu-west-1", "123456789012")
KEY = {"service": {"S": "spotify"}, "id": {"S": "spotify.1"}}
ALLOW = {"Sid": "Example", "Effect": "Allow", "Action": "dynamodb:Query", "Resource": TABLE}


def grant(**condition: dict[str, Any]) -> Grant:
    (one,) = _grants("Example", {**ALLOW, "Condition": condition})
    return one


def query(*values: str) -> Access:
    return Access("dynamodb:Query", TABLE, {"key": values} if values else {})


OPERATORS = [
    ("StringEquals", "a", ["a"], True),
    ("StringEquals", ["a", "b"], ["b"], True),
    ("StringEquals", "a", ["A"], False),
    ("StringEquals", "a", [], False),
    ("StringEqualsIfExists", "a", [], True),
    ("StringEqualsIfExists", "a", ["b"], False),
    ("StringLike", "*", ["anything"], True),
    ("StringLike", "*", [], False),
    ("StringLike", "a?c", ["abc"], True),
    ("StringLike", "[ab]", ["a"], False),
    ("StringNotLike", "#*", ["#name"], False),
    ("StringNotLike", "#*", ["spotify"], True),
    ("StringNotLike", "#*", [], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "b"], True),
    ("ForAllValues:StringEquals", ["a", "b"], ["a", "c"], False),
    ("ForAllValues:StringEquals", ["a"], [], True),
    ("ForAllValues:StringNotLike", ["#*"], ["a", "#b"], False),
]


@pytest.mark.parametrize(("operator", "given", "values", "allowed"), OPERATORS)
def test_a_condition_operator_matches_as_in_iam(operator: str, given: Any, values: list[str], allowed: object) -> None:
    """Cover missing keys, wildcards and multiple values."""
    assert grant(**{operator: {"key": given}}).allows(query(*values)) is allowed


def test_all_conditions_must_match() -> None:
    """Combine operators with AND."""
    one = grant(StringEquals={"key": "a"}, StringLike={"other": "*"})

    assert not one.allows(query("a"))
    assert one.allows(Access("dynamodb:Query", TABLE, {"key": ("a",), "other": ("b",)}))


@pytest.mark.parametrize(
    ("action", "resource"),
    [("dynamodb:Scan", TABLE), ("dynamodb:query", TABLE), ("dynamodb:Query", f"{TABLE}/index/all-by-created")],
)
def test_another_action_or_resource_is_not_granted(action: str, resource: str) -> None:
    """Compare both exactly."""
    assert not grant().allows(Access(action, resource))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Condition", {"StringNotEquals": {"key": "a"}}), ("Condition", {"Bool": {"aws:SecureTransport": "true"}})),
        *(("Condition", {"ForAnyValue:StringEquals": {"key": "a"}}), ("Effect", "Deny")),
        *(
            ("NotAction", "dynamodb:Scan"),
            ("Action", "dynamodb:*"),
            ("Resource", "*"),
            ("Resource", f"{TABLE}/index/*"),
        ),
    ],
)
def test_an_unsupported_statement_is_an_error(name: str, value: object) -> None:
    """Raise UnsupportedPolicyError rather than allow or deny."""
    with pytest.raises(UnsupportedPolicyError):
        list(_grants("Example", ALLOW | {name: value}))


@pytest.mark.parametrize("role", ["arn:aws:iam::123456789012:role/made-up", {"Ref": "Role"}, {"Fn::GetAtt": ["Role"]}])
def test_a_role_outside_the_template_is_an_error(role: object) -> None:
    """Evaluate no function whose policies are not in the template."""
    resources = {"Resources": {"Function": {"Properties": {"Role": role}}}}

    with pytest.raises(UnsupportedPolicyError, match="role of Function"):
        role_of(Template(Path(), resources, {}), "Function")


def test_multiple_values_require_a_set_operator() -> None:
    """Raise UnsupportedPolicyError."""
    with pytest.raises(UnsupportedPolicyError, match="ForAllValues"):
        grant(StringEquals={"key": "a"}).allows(query("a", "b"))


# --- accesses of calls ----------------------------------------------------------------------------------------------


def only(operation: str, **request: Any) -> Access:
    """Return the one access of a call; a call of DynamoDB has the table, and unless it is a Query the key."""
    named = {"TableName": "keys"} | ({} if operation.endswith(("Query", "Scan")) else {"Key": KEY})
    (access,) = POLICIES.accesses(operation, (named if operation.startswith("DynamoDB.") else {}) | request)
    return access


def attributes(access: Access) -> tuple[str, ...]:
    return access.context["dynamodb:Attributes"]


def test_a_read_accesses_its_key_and_its_projection() -> None:
    """Resolve attribute names and paths."""
    names = {"#n": "name", "#s": "status"}
    projection = "#n, active, verification.#s"

    access = only("DynamoDB.GetItem", ProjectionExpression=projection, ExpressionAttributeNames=names)

    assert (access.action, access.resource) == ("dynamodb:GetItem", TABLE)
    assert access.context["dynamodb:LeadingKeys"] == ("spotify",)
    assert attributes(access) == ("active", "id", "name", "service", "verification")
    assert access.context["dynamodb:Select"] == ("SPECIFIC_ATTRIBUTES",)


def test_a_read_without_a_projection_accesses_all_attributes() -> None:
    """Set dynamodb:Select to ALL_ATTRIBUTES."""
    assert only("DynamoDB.GetItem").context["dynamodb:Select"] == ("ALL_ATTRIBUTES",)
    assert only("DynamoDB.Scan").context["dynamodb:Select"] == ("ALL_ATTRIBUTES",)


def test_an_index_query_accesses_the_index() -> None:
    """Include the attributes of key condition and filter."""
    access = only(
        "DynamoDB.Query",
        IndexName="all-by-created",
        KeyConditionExpression="#entity = :entity",
        FilterExpression="attribute_not_exists(#v) AND (size(description) > :n OR NOT begins_with(#l, :entity))",
        ExpressionAttributeNames={"#entity": "entity", "#v": "verification", "#l": "name"},
        ExpressionAttributeValues={":entity": {"S": "key"}, ":n": {"N": "1"}},
    )

    assert access.resource == f"{TABLE}/index/all-by-created"
    assert access.context == {
        "dynamodb:LeadingKeys": ("key",),
        "dynamodb:Attributes": ("description", "entity", "name", "verification"),
        "dynamodb:Select": ("ALL_PROJECTED_ATTRIBUTES",),
    }


@pytest.mark.parametrize("values", [None, ()])
def test_null_rejects_a_request_without_the_condition_key(values: tuple[str, ...] | None) -> None:
    """Close the gap of ForAllValues, which allows a request whose key is missing or empty."""
    context = {} if values is None else {"key": values}
    without = Access("dynamodb:Query", TABLE, context)
    named = {"ForAllValues:StringEquals": {"key": "a"}}

    assert grant(**named).allows(without)
    assert not grant(**named, Null={"key": "false"}).allows(without)
    assert grant(**named, Null={"key": "false"}).allows(query("a"))
    assert grant(Null={"key": "true"}).allows(without)


@pytest.mark.parametrize("parameter", ["ReturnValues", "ReturnValuesOnConditionCheckFailure"])
@pytest.mark.parametrize("other", [{}, {"ReturnValues": "NONE"}, {"ReturnValuesOnConditionCheckFailure": "NONE"}])
def test_values_returned_by_a_failure_are_returned_values(parameter: str, other: dict[str, str]) -> None:
    """Evaluate both parameters alike, in a call and in an element of a transaction."""
    request = {"TableName": "keys", "Key": KEY} | other | {parameter: "ALL_OLD"}

    for kind, name in (("Update", "UpdateItem"), ("Delete", "DeleteItem"), ("Put", "PutItem")):
        element = request | ({"Item": KEY} if kind == "Put" else {})
        (within,) = POLICIES.accesses("DynamoDB.TransactWriteItems", {"TransactItems": [{kind: element}]})
        for access in (within, only(f"DynamoDB.{name}", **element)):
            assert access.context["dynamodb:ReturnValues"] == ("ALL_OLD",)


def test_a_write_without_return_values_has_none() -> None:
    """Use NONE for a missing parameter, as DynamoDB does."""
    access = only("DynamoDB.DeleteItem")

    assert access.context["dynamodb:ReturnValues"] == ("NONE",)


@pytest.mark.parametrize(
    "parameter", ["AttributeUpdates", "Expected", "AttributesToGet", "KeyConditions", "QueryFilter", "ScanFilter"]
)
def test_legacy_parameters_access_attributes_too(parameter: str) -> None:
    """Include attributes of parameters older than expressions, so that none escapes the policies."""
    legacy = {parameter: ["active"] if parameter == "AttributesToGet" else {"active": {}}}
    access = only("DynamoDB.UpdateItem", **legacy)

    assert attributes(access) == ("active", "id", "service")


def test_a_read_transaction_accesses_each_element() -> None:
    """Evaluate its elements as GetItem calls."""
    elements = [{"Get": {"TableName": "keys", "Key": KEY, "ProjectionExpression": "ciphertext"}}]

    (access,) = POLICIES.accesses("DynamoDB.TransactGetItems", {"TransactItems": elements})

    assert access.action == "dynamodb:GetItem"
    assert attributes(access) == ("ciphertext", "id", "service")
    assert access.context["dynamodb:Select"] == ("SPECIFIC_ATTRIBUTES",)


def test_a_query_with_an_unclear_partition_is_an_error() -> None:
    """Raise UnsupportedPolicyError for OR in a key condition."""
    with pytest.raises(UnsupportedPolicyError, match="partition"):
        only("DynamoDB.Query", KeyConditionExpression="service = :a OR service = :b")


def test_an_update_accesses_all_attributes_of_its_expressions() -> None:
    """Include set, removed and compared attributes."""
    access = only(
        "DynamoDB.UpdateItem",
        UpdateExpression="SET #a = :a, version = version + :one REMOVE verification",
        ConditionExpression="attribute_exists(id) AND ciphertext = :of",
        ExpressionAttributeNames={"#a": "active"},
        ReturnValues="ALL_OLD",
    )

    assert attributes(access) == ("active", "ciphertext", "id", "service", "verification", "version")
    assert access.context["dynamodb:ReturnValues"] == ("ALL_OLD",)


def test_each_transaction_element_is_its_own_action() -> None:
    """Set dynamodb:EnclosingOperation."""
    elements = [
        {"Put": {"TableName": "keys", "Item": KEY | {"key": {"S": "x"}}, "ConditionExpression": "expiresAt < :now"}},
        {"Update": {"TableName": "keys", "Key": KEY, "UpdateExpression": "SET active = :a"}},
        {"Delete": {"TableName": "keys", "Key": KEY}},
        {"ConditionCheck": {"TableName": "other", "Key": KEY, "ConditionExpression": "attribute_exists(id)"}},
    ]

    accesses = POLICIES.accesses("DynamoDB.TransactWriteItems", {"TransactItems": elements})

    names = [access.action.partition(":")[2] for access in accesses]
    assert names == ["PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem"]
    assert attributes(accesses[0]) == ("expiresAt", "id", "key", "service")
    assert accesses[3].resource == TABLE.replace("keys", "other")
    assert {access.context["dynamodb:EnclosingOperation"] for access in accesses} == {("TransactWriteItems",)}


def test_a_kms_call_accesses_a_key_with_its_encryption_context() -> None:
    """Resolve the key from an ARN, an id and a ciphertext."""
    key_id = "01234567-89ab-cdef-0123-456789abcdef"
    arn = f"arn:aws:kms:eu-west-1:123456789012:key/{key_id}"
    context = {"EncryptionContext": {"service": "spotify"}}
    ciphertext = base64.b64encode(key_id.encode() + b"and so on").decode()

    for access in (
        only("KMS.Encrypt", KeyId=arn, **context),
        only("KMS.Encrypt", KeyId=key_id, **context),
        only("KMS.Decrypt", CiphertextBlob=ciphertext, **context),
    ):
        assert access.resource == arn
        assert access.context == {"kms:EncryptionContext:service": ("spotify",)}


@pytest.mark.parametrize("name", ["/made-up/secret", "made-up/secret"])
def test_a_parameter_arn_has_one_slash(name: str) -> None:
    """Accept names with and without a leading slash."""
    access = only("SSM.GetParameter", Name=name, WithDecryption=True)

    arn = "arn:aws:ssm:eu-west-1:123456789012:parameter/made-up/secret"
    assert (access.action, access.resource) == ("ssm:GetParameter", arn)


def test_an_unsupported_call_is_an_error() -> None:
    """Raise UnsupportedPolicyError."""
    with pytest.raises(UnsupportedPolicyError, match="DescribeTable"):
        POLICIES.accesses("DynamoDB.DescribeTable", {})


def test_a_reencryption_needs_both_keys() -> None:
    """Access the key of the ciphertext and the destination, each with its encryption context."""
    key_id = "01234567-89ab-cdef-0123-456789abcdef"
    request = {
        "CiphertextBlob": base64.b64encode(key_id.encode()).decode(),
        "DestinationKeyId": key_id,
        "SourceEncryptionContext": {"service": "spotify"},
    }

    source, destination = POLICIES.accesses("KMS.ReEncrypt", request)

    assert (source.action, destination.action) == ("kms:ReEncryptFrom", "kms:ReEncryptTo")
    assert source.resource == destination.resource
    assert (len(source.context), len(destination.context)) == (1, 0)


@pytest.mark.parametrize("operation", ["BatchGetItem", "BatchWriteItem", "ExecuteStatement"])
def test_an_unused_call_is_an_action_of_its_own(operation: str) -> None:
    """No grant of an item's action allows it."""
    (access,) = POLICIES.accesses(f"DynamoDB.{operation}", {})

    assert not [name for name in ("GetItem", "PutItem", "Query") if access.action == f"dynamodb:{name}"]
