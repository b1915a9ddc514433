"""An evaluator of this stack's IAM policies: the accesses of a call, and the grants that allow them.

It supports exactly the operators, condition keys and calls of the template and the code; any other is an error. The
accesses of a call follow the service authorization references of DynamoDB and KMS:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html and
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
"""

from __future__ import annotations

import base64
import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from local.template import Template

_STATEMENT: Final = {"Sid", "Effect", "Action", "Resource", "Condition"}
_COMPARISONS: Final[dict[str, Callable[[str, tuple[str, ...]], bool]]] = {
    "StringEquals": lambda value, given: value in given,
    "StringLike": lambda value, given: any(_is_like(value, pattern) for pattern in given),
    "StringNotLike": lambda value, given: not any(_is_like(value, pattern) for pattern in given),
}
_LEGACY_MAPS: Final = ("AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter")
"""Parameters of DynamoDB's API without expressions: maps by attribute name."""
_TRANSACTED: Final = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_UNUSED: Final = {
    "BatchGetItem": "BatchGetItem",
    "BatchWriteItem": "BatchWriteItem",
    "ExecuteStatement": "PartiQLSelect",
}
"""Actions of calls that the code does not make. A PartiQL statement counts as a select: tests send no other."""
_NAME: Final = re.compile(r"(?<![:#\w.])(#?[A-Za-z_]\w*)(?!\w*\()")
_WORDS: Final = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"}
_EXECUTION: Final = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
"""Actions of Lambda's runtime on behalf of a function. No function calls them; tests/template checks their scope."""
_KEY_ID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UnsupportedPolicyError(AssertionError):
    """A policy or a call contains an element that this evaluator does not support; add it, with its source."""


@dataclass(frozen=True)
class Access:
    """One access of a call; a transaction has several.

    Attributes:
        action: The action, such as ``dynamodb:PutItem``.
        resource: The ARN; None if the sent ciphertext names no key, so that only AWS could determine it.
        context: Condition keys with the values of the call.
    """

    action: str
    resource: str | None
    context: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        given = ", ".join(f"{name}={'|'.join(values)}" for name, values in sorted(self.context.items()))
        return f"{self.action} on {self.resource} ({given})"


@dataclass(frozen=True)
class Grant:
    """One action of one statement.

    Attributes:
        principal: Logical id of the function, or of the managed policy.
        conditions: Operator, condition key and values of each condition.
    """

    principal: str
    sid: str
    action: str
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def allows(self, access: Access) -> bool:
        """Return True if this grant allows the access; one grant is sufficient."""
        return (
            access.action == self.action
            and (access.resource is None or access.resource in self.resources)
            and all(_holds(operator, access.context.get(key), given) for operator, key, given in self.conditions)
        )


@dataclass(frozen=True)
class Policies:
    """The policies of a stack: those of each function's role, and those for consumers."""

    grants: tuple[Grant, ...]
    region: str
    account: str

    @classmethod
    def of(cls, template: Template) -> Policies:
        """Read the policies of a translated template with known references.

        Raises:
            UnsupportedPolicyError: A policy contains an unsupported element.
        """
        region, account = (str(template.resolve({"Ref": name})) for name in ("AWS::Region", "AWS::AccountId"))
        groups = [name for name, _ in template.resources("AWS::Logs::LogGroup")]
        template = template.with_references(
            {f"{name}.Arn": f"arn:aws:logs:{region}:{account}:log-group:{name}:*" for name in groups}
        )
        documents = [
            (name, policy["PolicyDocument"])
            for name, _ in template.resources("AWS::Lambda::Function")
            for policy in template.property(role_of(template, name), "Policies")
        ]
        managed = [name for name, _ in template.resources("AWS::IAM::ManagedPolicy")]
        documents += [(name, template.property(name, "PolicyDocument")) for name in managed]
        grants = [
            grant
            for principal, document in documents
            for statement in document["Statement"]
            if not _EXECUTION.issuperset(_as_tuple(statement["Action"]))
            for grant in _grants(principal, statement)
        ]
        return cls(tuple(grants), region, account)

    def of_principal(self, principal: str) -> list[Grant]:
        """Return the grants of a function or a managed policy."""
        return [grant for grant in self.grants if grant.principal == principal]

    def accesses(self, operation: str, request: Mapping[str, Any]) -> list[Access]:
        """Return the accesses of a call.

        Raises:
            UnsupportedPolicyError: The call is not supported.
        """
        service, _, name = operation.partition(".")
        if operation == "KMS.ReEncrypt":
            source = {"CiphertextBlob": request["CiphertextBlob"]}
            source |= {"EncryptionContext": request.get("SourceEncryptionContext", {})}
            target = {"KeyId": request["DestinationKeyId"]}
            target |= {"EncryptionContext": request.get("DestinationEncryptionContext", {})}
            return [self._kms("ReEncryptFrom", source), self._kms("ReEncryptTo", target)]
        if service == "KMS":
            return [self._kms(name, request)]
        if operation == "SSM.GetParameter":
            parameter = f"arn:aws:ssm:{self.region}:{self.account}:parameter/{request['Name'].removeprefix('/')}"
            return [Access("ssm:GetParameter", parameter)]
        if service == "DynamoDB" and name in {"TransactWriteItems", "TransactGetItems"}:
            return [
                self._dynamodb(_TRANSACTED[kind], element, within=name)
                for item in request["TransactItems"]
                for kind, element in item.items()
            ]
        if service == "DynamoDB" and name in {"GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "Scan"}:
            return [self._dynamodb(name, request)]
        if service == "DynamoDB" and name in _UNUSED:
            # No statement allows one of these actions, on any condition, so the resource and the context do not matter.
            return [Access(f"dynamodb:{_UNUSED[name]}", None)]
        raise UnsupportedPolicyError(f"The accesses of {operation} are unknown. Teach tests/support/iam.py.")

    def _kms(self, name: str, request: Mapping[str, Any]) -> Access:
        context = request.get("EncryptionContext", {})
        values = {f"kms:EncryptionContext:{key}": (value,) for key, value in context.items()}
        # Decrypt names no key, but the ciphertext does: moto's begins with the key's id.
        named = request.get("KeyId")
        if named is None:
            found = _KEY_ID.match(base64.b64decode(request["CiphertextBlob"]))
            named = found and found[0].decode()
        if named and not named.startswith("arn:"):
            named = f"arn:aws:kms:{self.region}:{self.account}:key/{named}"
        return Access(f"kms:{name}", named, values)

    def _dynamodb(self, name: str, request: Mapping[str, Any], *, within: str | None = None) -> Access:
        table = f"arn:aws:dynamodb:{self.region}:{self.account}:table/{request['TableName']}"
        index = request.get("IndexName")
        key = request.get("Key") or request.get("Item") or {}
        attributes = {*key, *_attributes(request)}
        context = {
            "dynamodb:LeadingKeys": _leading_keys(request, key),
            "dynamodb:Attributes": tuple(sorted(attributes)),
        }
        if within:
            context["dynamodb:EnclosingOperation"] = (within,)
        if name in {"GetItem", "Query", "Scan"}:
            all_of_it = "ALL_PROJECTED_ATTRIBUTES" if index else "ALL_ATTRIBUTES"
            named = "SPECIFIC_ATTRIBUTES" if "ProjectionExpression" in request else all_of_it
            context["dynamodb:Select"] = (request.get("Select", named),)
        elif name != "ConditionCheckItem":
            context["dynamodb:ReturnValues"] = (_returned(request),)
        return Access(f"dynamodb:{name}", f"{table}/index/{index}" if index else table, context)


def role_of(template: Template, function: str) -> str:
    """Return the logical id of a function's role.

    Raises:
        UnsupportedPolicyError: The role is not declared in the same template.
    """
    role = template.cloudformation["Resources"][function]["Properties"]["Role"]
    match role:
        case {"Fn::GetAtt": [str(logical_id), "Arn"]}:
            return logical_id
    raise UnsupportedPolicyError(f"The role of {function} is {role!r}. Teach tests/support/iam.py.")


def _leading_keys(request: Mapping[str, Any], key: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the partition of a request: the one in its key or key condition; none for a Scan."""
    if key:
        return (key["service"]["S"],)
    condition = request.get("KeyConditionExpression")
    if condition is None:
        return ()
    match = re.fullmatch(r"#(?:service|entity) = (:\w+)(?: AND #id BETWEEN :\w+ AND :\w+)?", condition)
    if match is None:
        raise UnsupportedPolicyError(f"The partition of {condition!r} is unknown. Teach tests/support/iam.py.")
    return (request["ExpressionAttributeValues"][match[1]]["S"],)


def _returned(request: Mapping[str, Any]) -> str:
    """Return the kind of values that a write can return on success or if its condition fails.

    ``dynamodb:ReturnValues`` is documented for the first parameter, with ``NONE`` as its default. For the second, which
    returns whole items too, no rule is documented: both are evaluated alike, so that no code depends on a policy that
    forbids the one and allows the other.
    """
    asked = (request.get("ReturnValues", "NONE"), request.get("ReturnValuesOnConditionCheckFailure", "NONE"))
    return next((value for value in asked if value != "NONE"), "NONE")


def _attributes(request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the top-level attributes that a request reads, writes or evaluates."""
    yield from request.get("AttributesToGet", ())
    for parameter in _LEGACY_MAPS:
        yield from request.get(parameter, {})
    names = request.get("ExpressionAttributeNames", {})
    for parameter, expression in request.items():
        if parameter.endswith("Expression"):
            for found in _NAME.findall(expression):
                if found not in _WORDS:
                    yield names[found] if found.startswith("#") else found


def _grants(principal: str, statement: Mapping[str, Any]) -> Iterator[Grant]:
    if unknown := statement.keys() - _STATEMENT:
        raise UnsupportedPolicyError(f"{principal}: a statement has {sorted(unknown)}. Teach tests/support/iam.py.")
    if statement["Effect"] != "Allow":
        raise UnsupportedPolicyError(f"{principal}: only Allow is known here.")
    resources = _as_tuple(statement["Resource"])
    actions = _as_tuple(statement["Action"])
    if wide := [given for given in (*resources, *actions) if "*" in given or "?" in given]:
        raise UnsupportedPolicyError(f"{principal}: {wide} is wider than one table, index or key.")
    conditions = tuple(
        (operator, key, _as_tuple(values))
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )
    for operator, _, _ in conditions:
        _parsed(operator)
    for action in actions:
        yield Grant(principal, statement["Sid"], action, resources, conditions)


def _parsed(operator: str) -> tuple[bool, str, bool]:
    """Split an operator: True for each value of a set, the comparison, and True if a missing key passes."""
    if operator == "Null":
        return False, operator, False
    bare = operator.removeprefix("ForAllValues:")
    comparison = bare.removesuffix("IfExists")
    if comparison not in _COMPARISONS:
        raise UnsupportedPolicyError(f"The operator {operator} is not known here. Teach tests/support/iam.py.")
    return bare != operator, comparison, comparison != bare


def _holds(operator: str, values: tuple[str, ...] | None, given: tuple[str, ...]) -> bool:
    for_all, name, if_exists = _parsed(operator)
    if name == "Null":
        # "true" requires a missing key; "false" a present, non-empty one.
        return given == (str(not values).lower(),)
    compare = _COMPARISONS[name]
    if for_all:
        # True for an empty set as well: https://docs.aws.amazon.com/IAM/latest/UserGuide/
        # reference_policies_condition-single-vs-multi-valued-context-keys.html
        return all(compare(value, given) for value in values or ())
    if values is None:
        return if_exists or "Not" in name
    if len(values) != 1:
        raise UnsupportedPolicyError(f"{operator} on several values has no meaning; use ForAllValues.")
    return compare(values[0], given)


def _is_like(value: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


def _as_tuple(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
