"""IAM, as far as this stack's policies use it: what a call does, and which statement allows that.

Exactly the operators, condition keys and calls that the template and the code use; anything else is an error, so that
nothing passes unjudged. What a call does follows the service authorization references of DynamoDB and KMS:
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
"""Parameters of DynamoDB's API before it had expressions: maps by attribute name."""
_TRANSACTED: Final = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
_NAME: Final = re.compile(r"(?<![:#\w.])(#?[A-Za-z_]\w*)(?!\w*\()")
_WORDS: Final = {"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "BETWEEN", "IN"}
_EXECUTION: Final = {"logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
"""Actions of Lambda's runtime on behalf of a function. No call of ours uses them; tests/template checks their scope."""
_KEY_ID: Final = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class UnsupportedPolicyError(AssertionError):
    """A policy or a call has something that this evaluator was not taught; teach it, with its source."""


@dataclass(frozen=True)
class Access:
    """One thing that a call does: a transaction does several.

    Attributes:
        action: Such as ``dynamodb:PutItem``.
        resource: The ARN; None where only AWS could tell, because what was sent is no ciphertext of any key.
        context: Condition keys with the values that the call gives them.
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
        principal: Logical id of the function, or of the managed policy, that has it.
        conditions: Operator, condition key and values of each.
    """

    principal: str
    sid: str
    action: str
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def allows(self, access: Access) -> bool:
        """Tell whether it does; of several grants one is enough."""
        return (
            access.action == self.action
            and (access.resource is None or access.resource in self.resources)
            and all(_holds(operator, access.context.get(key), given) for operator, key, given in self.conditions)
        )


@dataclass(frozen=True)
class Policies:
    """The policies of a stack: of each function's role, and those that other functions attach."""

    grants: tuple[Grant, ...]
    region: str
    account: str

    @classmethod
    def of(cls, template: Template) -> Policies:
        """Read them from a translated template, in which everything they refer to is known.

        Raises:
            UnsupportedPolicyError: One of them holds what cannot be evaluated here.
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
        for name, _ in template.resources("AWS::IAM::ManagedPolicy"):
            documents.append((name, template.property(name, "PolicyDocument")))
        grants = [
            grant
            for principal, document in documents
            for statement in document["Statement"]
            if not _EXECUTION.issuperset(_as_tuple(statement["Action"]))
            for grant in _grants(principal, statement)
        ]
        return cls(tuple(grants), region, account)

    def of_principal(self, principal: str) -> list[Grant]:
        """Return what a function may do, or who attaches a managed policy."""
        return [grant for grant in self.grants if grant.principal == principal]

    def accesses(self, operation: str, request: Mapping[str, Any]) -> list[Access]:
        """Return what a call does.

        Raises:
            UnsupportedPolicyError: It is a call that cannot be judged here.
        """
        service, _, name = operation.partition(".")
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
        raise UnsupportedPolicyError(f"What does {operation} need? Teach tests/support/iam.py.")

    def _kms(self, name: str, request: Mapping[str, Any]) -> Access:
        context = request.get("EncryptionContext", {})
        values = {f"kms:EncryptionContext:{key}": (value,) for key, value in context.items()}
        # Decrypt names no key: the ciphertext does. moto's begins with the key's id.
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
    """Return the logical id of a function's role, which the same template declares.

    Raises:
        UnsupportedPolicyError: The role is of another kind.
    """
    role = template.cloudformation["Resources"][function]["Properties"]["Role"]
    match role:
        case {"Fn::GetAtt": [str(logical_id), "Arn"]}:
            return logical_id
    raise UnsupportedPolicyError(f"The role of {function} is {role!r}. Teach tests/support/iam.py.")


def _leading_keys(request: Mapping[str, Any], key: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the partition that a request is about: its own, or the one its key condition names; none for a Scan."""
    if key:
        return (key["service"]["S"],)
    condition = request.get("KeyConditionExpression")
    if condition is None:
        return ()
    match = re.fullmatch(r"#(?:service|entity) = (:\w+)", condition)
    if match is None:
        raise UnsupportedPolicyError(f"Which partition is {condition!r}? Teach tests/support/iam.py.")
    return (request["ExpressionAttributeValues"][match[1]]["S"],)


def _returned(request: Mapping[str, Any]) -> str:
    """Return the values that a write may return, whether it is made or its condition fails.

    ``dynamodb:ReturnValues`` is documented for the first of the two parameters, with ``NONE`` if it is not given. For
    the second, which returns whole items too, nothing is documented: both are judged alike, so that no code of ours
    depends on a policy that forbids the one and allows the other.
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
    """Take an operator apart: whether it is about each value, the comparison, and whether a missing key passes."""
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
        # "true": the key must not be there; "false": it must, and not be empty.
        return given == (str(not values).lower(),)
    compare = _COMPARISONS[name]
    if for_all:
        # Also where there is no value at all: https://docs.aws.amazon.com/IAM/latest/UserGuide/
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
