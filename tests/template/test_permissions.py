"""IAM permissions of the functions and of the policies for consumers."""

from collections.abc import Iterable
from typing import Any

import pytest

from local.template import Template
from service_keys.admin.services import SERVICES, VERIFIABLE_SERVICES
from service_keys.store.consumer_items import READER_ATTRIBUTES
from service_keys.store.history import _ATTRIBUTES as HISTORY_ATTRIBUTES
from service_keys.store.items import HISTORY_PARTITION, IDEMPOTENCY_PARTITION, NAME_PARTITION, RESPONSE_ATTRIBUTES
from service_keys.store.serving import SERVING_ATTRIBUTES
from tests.support.processes import ROOT
from tests.template.conftest import DEPLOYMENT
from tools import generate_permissions_doc
from tools.generate_template import reader_policy

EVERY_SERVICE, VERIFIABLE, NAMES, REQUESTS, HISTORY = (
    "every service",
    "verifiable services",
    "names",
    "requests",
    "history",
)
INDEX, ALL = "the index", "all"
CONSUMERS = {service: reader_policy(service) for service in (*SERVICES, "all")}

GRANTED = {
    "Authorizer": {},
    "CreateApiKey": {
        "dynamodb:PutItem": [EVERY_SERVICE, NAMES, REQUESTS, HISTORY],
        "dynamodb:Query": [EVERY_SERVICE],
        "kms:Encrypt": [ALL],
    },
    "ListApiKeys": {"dynamodb:Query": [INDEX, EVERY_SERVICE]},
    "GetApiKey": {"dynamodb:GetItem": [EVERY_SERVICE]},
    "UpdateApiKey": {
        "dynamodb:UpdateItem": [EVERY_SERVICE],
        "dynamodb:GetItem": [EVERY_SERVICE],
        "dynamodb:PutItem": [NAMES, HISTORY],
        "dynamodb:DeleteItem": [NAMES],
        "dynamodb:Query": [EVERY_SERVICE],
        "kms:Encrypt": [ALL],
    },
    "VerifyApiKey": {
        "dynamodb:GetItem": [EVERY_SERVICE, VERIFIABLE],
        "dynamodb:UpdateItem": [VERIFIABLE],
        "kms:Decrypt": [VERIFIABLE],
    },
    "DeleteApiKey": {
        "dynamodb:GetItem": [EVERY_SERVICE],
        "dynamodb:UpdateItem": [EVERY_SERVICE],
        "dynamodb:DeleteItem": [EVERY_SERVICE, NAMES],
        "dynamodb:PutItem": [HISTORY],
        "dynamodb:Query": [EVERY_SERVICE],
    },
    "RollbackApiKey": {
        "dynamodb:GetItem": [EVERY_SERVICE],
        "dynamodb:UpdateItem": [EVERY_SERVICE],
        "dynamodb:PutItem": [HISTORY],
    },
    "RestoreApiKey": {
        "dynamodb:GetItem": [EVERY_SERVICE],
        "dynamodb:UpdateItem": [EVERY_SERVICE],
        "dynamodb:PutItem": [NAMES, HISTORY],
        "dynamodb:Query": [EVERY_SERVICE],
    },
    "GetApiKeyHistory": {"dynamodb:Query": [HISTORY]},
    "ListServices": {"dynamodb:Query": [INDEX, EVERY_SERVICE]},
    "WebConsole": {},
}
"""Actions of each role and the items that they cover; log permissions are separate."""

EXECUTION = {"Logs", "Traces"}
"""Names of the policies that Lambda needs to run a function."""


def statements(template: Template, function: str, *, execution: bool = False) -> list[dict[str, Any]]:
    """Return the statements of a function's role: those for its execution, or all others."""
    return [
        statement
        for policy in template.property(f"{function}Role", "Policies")
        if (policy["PolicyName"] in EXECUTION) == execution
        for statement in policy["PolicyDocument"]["Statement"]
    ]


def actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else list(action)


def leading_keys(statement: dict[str, Any]) -> str:
    """Return the items that a statement covers."""
    if statement["Resource"].endswith("/index/all-by-created"):
        return INDEX
    condition = statement.get("Condition", {})
    if statement["Resource"] == "arn:key":
        given = condition.get("StringEquals", {}).get("kms:EncryptionContext:service")
        return {None: ALL, tuple(VERIFIABLE_SERVICES): VERIFIABLE}[given and tuple(given)]
    if condition.get("ForAllValues:StringNotLike") == {"dynamodb:LeadingKeys": ["#*"]}:
        return EVERY_SERVICE
    given = condition["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
    partitions = {NAME_PARTITION: NAMES, IDEMPOTENCY_PARTITION: REQUESTS, HISTORY_PARTITION: HISTORY}
    return VERIFIABLE if tuple(given) == tuple(VERIFIABLE_SERVICES) else partitions["".join(given)]


def every_statement(template: Template) -> list[tuple[str, dict[str, Any]]]:
    """Return the statements on the table itself, of all roles and of all policies for consumers."""
    found = [(name, one) for name in GRANTED for one in statements(template, name)]
    for name, _ in template.resources("AWS::IAM::ManagedPolicy"):
        found += [(name, one) for one in template.property(name, "PolicyDocument")["Statement"]]
    return [(name, one) for name, one in found if one["Resource"] == "arn:table"]


def test_every_statement_names_partitions_and_attributes(template: Template) -> None:
    """Deny a request that lacks either key, because IAM's ForAllValues is true for a missing key."""
    for name, statement in every_statement(template):
        condition = statement["Condition"]
        assert condition["Null"] == {"dynamodb:LeadingKeys": "false", "dynamodb:Attributes": "false"}, name
        for_all = {key for operator in condition if "ForAll" in operator for key in condition[operator]}
        assert for_all == {"dynamodb:LeadingKeys", "dynamodb:Attributes"}, name


def test_writes_return_no_old_values(template: Template) -> None:
    """Allow ReturnValues NONE only, except for idempotency records, which hold no ciphertext."""
    for name, statement in every_statement(template):
        if not {action.partition(":")[2] for action in actions(statement)} & {"GetItem", "Query"}:
            returned = statement["Condition"].get("StringEqualsIfExists")
            remembers = statement["Sid"] == "PutIdempotencyRecord"
            assert returned == (None if remembers else {"dynamodb:ReturnValues": "NONE"}), name


def test_the_console_may_write_its_log_and_nothing_else(template: Template) -> None:
    """One statement for its own log group; no layer, no variable of the stack, no other policy."""
    (policy,) = Template.load(DEPLOYMENT | {"Tracing": "Active"}, template.references).property(
        "WebConsoleRole", "Policies"
    )

    assert policy["PolicyDocument"]["Statement"] == [
        {
            "Sid": "WriteLogs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": "arn:WebConsoleLog:*",
        }
    ]
    function = template.functions()["WebConsole"]
    assert function.layers == ()
    assert {name for name in function.environment if not name.startswith("POWERTOOLS_")} == set()


def test_each_function_has_its_own_role(template: Template) -> None:
    """Roles have no names, so that CAPABILITY_IAM suffices to deploy."""
    assert set(template.functions()) == set(GRANTED)
    for name in GRANTED:
        role = template.cloudformation["Resources"][name]["Properties"]["Role"]
        assert role == {"Fn::GetAtt": [f"{name}Role", "Arn"]}
        properties = template.cloudformation["Resources"][f"{name}Role"]["Properties"]
        assert properties.keys() == {"AssumeRolePolicyDocument", "PermissionsBoundary", "Policies"}
    assert 'capabilities = "CAPABILITY_IAM"' in (ROOT / "samconfig.toml").read_text()


@pytest.mark.parametrize("function", GRANTED)
def test_function_permissions(template: Template, function: str) -> None:
    """A role grants exactly the actions in GRANTED."""
    granted = {(action, leading_keys(one)) for one in statements(template, function) for action in actions(one)}

    assert granted == {(action, items) for action, covered in GRANTED[function].items() for items in covered}


@pytest.mark.parametrize("function", GRANTED)
def test_no_statement_is_wider_than_one_table_or_key(template: Template, function: str) -> None:
    for statement in statements(template, function):
        assert statement["Effect"] == "Allow"
        assert not [action for action in actions(statement) if "*" in action]
        assert statement["Resource"] in {"arn:table", "arn:table/index/all-by-created", "arn:key"}
        assert {"arn:key": "kms:"}.get(statement["Resource"], "dynamodb:") in actions(statement)[0]


OWN_KEY = "arn:aws:kms:eu-west-1:123456789012:key/0123"


def authorizer_with_a_secret(template: Template, name: str, own_key: str = "") -> list[dict[str, Any]]:
    """Return the authorizer's statements with a shared secret in the SSM parameter of this name."""
    given = {"JwksUrl": "", "JwtSecretParameter": name, "JwtSecretKmsKeyArn": own_key}
    return statements(template.with_parameters(given), "Authorizer")


@pytest.mark.parametrize("name", ["/service-keys/jwt-secret", "service-keys/jwt-secret"])
def test_authorizer_reads_only_its_secret_parameter(template: Template, name: str) -> None:
    """In secret mode the authorizer may read its SSM parameter only."""
    (read,) = authorizer_with_a_secret(template, name)

    assert (read["Effect"], read["Action"]) == ("Allow", "ssm:GetParameter")
    assert read["Resource"] == "arn:aws:ssm:eu-west-1:123456789012:parameter/service-keys/jwt-secret"


def test_custom_kms_key_decrypts_only_the_parameter(template: Template) -> None:
    """The grant on the deployer's KMS key is limited to SSM and this parameter."""
    read, decrypt = authorizer_with_a_secret(template, "/jwt-secret", OWN_KEY)

    assert (decrypt["Effect"], decrypt["Action"], decrypt["Resource"]) == ("Allow", "kms:Decrypt", OWN_KEY)
    assert decrypt["Condition"] == {
        "StringEquals": {
            "kms:ViaService": "ssm.eu-west-1.amazonaws.com",
            "kms:EncryptionContext:PARAMETER_ARN": read["Resource"],
        }
    }


def test_only_verify_and_consumers_read_ciphertexts(template: Template) -> None:
    """Each read lists its attributes; `ciphertext` is for VerifyApiKey and consumers, other ciphertexts for neither."""
    secret: dict[str, tuple[str, ...]] = {"VerifyApiKey": ("id", "ciphertext", "keyUpdatedAt")}
    secret |= dict.fromkeys(CONSUMERS.values(), READER_ATTRIBUTES)
    others: dict[tuple[str, str], tuple[str, ...]] = {("GetApiKeyHistory", "QueryHistory"): HISTORY_ATTRIBUTES}
    changing = ("CreateApiKey", "UpdateApiKey", "DeleteApiKey", "RestoreApiKey")
    others |= {(name, "QueryServingKey"): SERVING_ATTRIBUTES for name in changing}
    with_ciphertext = set()
    for name, statement in every_statement(template):
        if set(actions(statement)) & {"dynamodb:GetItem", "dynamodb:Query"}:
            condition = statement["Condition"]
            assert condition["StringEquals"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
            readable = set(condition["ForAllValues:StringEquals"]["dynamodb:Attributes"])
            if ciphertexts(readable):
                with_ciphertext.add(name)
                assert readable == {"service", *secret[name]}
            else:
                assert readable == {"service", *others.get((name, statement["Sid"]), RESPONSE_ATTRIBUTES)}
    assert with_ciphertext == {"VerifyApiKey", *CONSUMERS.values()}


def test_each_role_moves_only_its_ciphertexts(template: Template) -> None:
    """The attributes with a ciphertext in the writes of each role."""
    moved: dict[str, set[str]] = {}
    for name, statement in every_statement(template):
        if set(actions(statement)) & {"dynamodb:PutItem", "dynamodb:UpdateItem"}:
            named = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]
            moved.setdefault(name, set()).update(ciphertexts(named))

    assert {name: names for name, names in moved.items() if names} == {
        "CreateApiKey": {"ciphertext"},
        "UpdateApiKey": {"ciphertext", "previousCiphertext"},
        "RollbackApiKey": {"ciphertext", "previousCiphertext"},
        "DeleteApiKey": {"ciphertext", "deletedCiphertext"},
        "RestoreApiKey": {"ciphertext", "deletedCiphertext"},
    }


def ciphertexts(attributes: Iterable[str]) -> set[str]:
    return {name for name in attributes if "ciphertext" in name.lower()}


@pytest.mark.parametrize("function", GRANTED)
def test_a_function_writes_to_its_own_log_group_only(template: Template, function: str) -> None:
    """Grant two actions on one log group; a managed policy would grant them on all."""
    (logs,) = statements(template, function, execution=True)

    assert (logs["Effect"], logs["Action"]) == ("Allow", ["logs:CreateLogStream", "logs:PutLogEvents"])
    assert logs["Resource"] == f"arn:{function}Log:*"
    assert template.property(function, "LoggingConfig")["LogGroup"] == function, "the log group of that name"


@pytest.mark.parametrize("function", GRANTED)
def test_only_lambda_assumes_function_roles(template: Template, function: str) -> None:
    """Trust the Lambda service, and no account or user."""
    (trust,) = template.property(f"{function}Role", "AssumeRolePolicyDocument")["Statement"]

    assert trust == {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


@pytest.mark.parametrize(("service", "policy"), CONSUMERS.items())
def test_consumer_policy(template: Template, service: str, policy: str) -> None:
    """Consumers may query, decrypt and stamp keys of their service, and reach no internal partition."""
    document = template.property(policy, "PolicyDocument")
    granted = {statement["Action"]: statement for statement in document["Statement"]}

    assert {action: statement["Resource"] for action, statement in granted.items()} == {
        "dynamodb:Query": "arn:table",
        "dynamodb:UpdateItem": "arn:table",
        "kms:Decrypt": "arn:key",
    }
    stamp = granted["dynamodb:UpdateItem"]["Condition"]
    assert stamp["ForAllValues:StringEquals"]["dynamodb:Attributes"] == ["service", "id", "lastUsed"]
    assert stamp["StringEqualsIfExists"] == {"dynamodb:ReturnValues": "NONE"}
    for action in ("dynamodb:Query", "dynamodb:UpdateItem"):
        condition = granted[action]["Condition"]
        if service == "all":
            assert condition["ForAllValues:StringNotLike"] == {"dynamodb:LeadingKeys": ["#*"]}
        else:
            assert condition["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"] == [service]
    if service != "all":
        assert granted["kms:Decrypt"]["Condition"] == {"StringEquals": {"kms:EncryptionContext:service": service}}


def test_internal_partitions_have_a_prefix() -> None:
    """The policies exclude name reservations, idempotency records and history entries by this prefix."""
    assert {partition[0] for partition in (NAME_PARTITION, IDEMPOTENCY_PARTITION, HISTORY_PARTITION)} == {"#"}


def test_permissions_page_is_current() -> None:
    """docs/permissions.md is the output of `make docs`."""
    written = (ROOT / "docs" / "permissions.md").read_text()

    assert written == generate_permissions_doc.document(), "make docs"


def test_only_roles_and_consumer_policies_grant(template: Template) -> None:
    """There are no other IAM resources, and the key policy only delegates to IAM."""
    resources = template.cloudformation["Resources"].items()
    iam = {(resource["Type"], name) for name, resource in resources if resource["Type"].startswith("AWS::IAM::")}

    roles = {("AWS::IAM::Role", f"{name}Role") for name in GRANTED}
    assert iam == roles | {("AWS::IAM::ManagedPolicy", policy) for policy in CONSUMERS.values()}
    key_policy = template.property("EncryptionKey", "KeyPolicy")["Statement"]
    assert [statement["Sid"] for statement in key_policy] == ["DelegateToIamPolicies"]
