"""Table, KMS key, log groups, functions, layer and outputs of the template."""

import re

from samtranslator.yaml_helper import yaml_parse

from local.template import Template
from service_keys.admin.services import SERVICES
from service_keys.store.items import ALL_BY_CREATED_INDEX, RESPONSE_ATTRIBUTES
from tests.support.processes import ROOT
from tools.generate_template import reader_policy


def test_table_is_retained_with_backups(template: Template) -> None:
    """The table has retention, point-in-time recovery and deletion protection."""
    resource = template.cloudformation["Resources"]["ApiKeysTable"]
    properties = resource["Properties"]

    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert template.property("ApiKeysTable", "DeletionProtectionEnabled") is True
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert template.table().time_to_live == {"AttributeName": "expiresAt", "Enabled": True}
    assert "TableName" not in properties, "a retained table with a fixed name blocks the next deploy"


def test_index_excludes_the_ciphertexts(template: Template) -> None:
    """The index projects exactly the attributes of responses."""
    table = template.table().create
    (index,) = table["GlobalSecondaryIndexes"]
    keys = {key["AttributeName"] for key in (*table["KeySchema"], *index["KeySchema"])}

    projected = keys | set(index["Projection"]["NonKeyAttributes"])

    assert (index["IndexName"], index["Projection"]["ProjectionType"]) == (ALL_BY_CREATED_INDEX, "INCLUDE")
    assert projected - {"entity"} == set(RESPONSE_ATTRIBUTES)
    assert not [name for name in projected if "ciphertext" in name.lower()]


def test_encryption_key_is_retained_and_rotated(template: Template) -> None:
    """The KMS key survives the stack."""
    resource = template.cloudformation["Resources"]["EncryptionKey"]

    # A failed first deployment deletes its new key. UpdateReplacePolicy does not support RetainExceptOnCreate.
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert resource["Properties"]["EnableKeyRotation"] is True


def test_every_function_logs_to_a_group_with_retention(template: Template) -> None:
    groups = dict(template.resources("AWS::Logs::LogGroup"))

    for function in template.functions():
        config = template.cloudformation["Resources"][function]["Properties"]["LoggingConfig"]
        assert groups[config["LogGroup"]["Ref"]]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert len(groups) == len(template.functions())


def test_functions_share_runtime_and_handler(template: Template) -> None:
    """Runtime, architecture and handler are the same, and the timeout is at most 29 s."""
    for name, function in template.functions().items():
        properties = template.cloudformation["Resources"][name]["Properties"]
        assert properties["Runtime"] == "python3.13"
        assert properties["Architectures"] == [{"Ref": "Architecture"}]
        assert function.handler == "app.handler"
        assert function.timeout <= 29, "API Gateway waits no longer"
        assert (function.code / "app.py").is_file()


def test_only_admin_functions_use_the_layer(template: Template) -> None:
    """The authorizer and the web console have no layer."""
    without = {name for name, function in template.functions().items() if not function.layers}

    assert without == {"Authorizer", "WebConsole"}


def pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text().splitlines()
    pinned = [re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*])?==([^ ;]+)", line) for line in lines]
    return {match[1].lower().replace("_", "-"): match[2] for match in pinned if match}


def test_deployed_versions_are_tested() -> None:
    """The pinned versions of layer and authorizer are those of the development environment."""
    tested = pins("requirements-dev.txt")
    for path in ("layers/service_keys/requirements.txt", "functions/authorizer/requirements.txt"):
        deployed = pins(path)
        assert len(deployed) >= 4
        assert deployed == {name: tested.get(name) for name in deployed}, path


def test_only_the_authorizer_bundles_jwt_and_cryptography() -> None:
    """Layer and authorizer share no dependency, and neither bundles boto3."""
    layer, authorizer = pins("layers/service_keys/requirements.txt"), pins("functions/authorizer/requirements.txt")

    assert {"pyjwt", "cryptography"} <= authorizer.keys()
    assert not layer.keys() & authorizer.keys()
    assert not {"boto3", "botocore"} & (layer.keys() | authorizer.keys())


def test_outputs_and_exports(template: Template) -> None:
    """Other stacks import exports, and read the layer's ARN from an SSM parameter."""
    outputs = template.cloudformation["Outputs"]

    policies = {f"{reader_policy(service)}PolicyArn" for service in (*SERVICES, "all")}
    sign_in = {"SignInIssuer", "SignInClientId", "SignInDomainName", "UserPoolId"}
    resources = {"ApiUrl", "ConsoleUrl", "TableName", "LayerArn", "EncryptionKeyArn", "AlarmTopicArn"}
    assert set(outputs) == resources | policies | sign_in
    assert all(output["Description"] for output in outputs.values())
    # The layer's ARN changes with every version, and CloudFormation cannot change an export in use.
    without_export = {name for name, output in outputs.items() if "Export" not in output}
    assert without_export == {"ApiUrl", "ConsoleUrl", "LayerArn", "AlarmTopicArn"} | sign_in
    name, kind = (template.property("LayerParameter", each) for each in ("Name", "Type"))
    assert (name, kind) == ("/service-keys/layer-arn", "String")
    assert template.cloudformation["Resources"]["LayerParameter"]["Properties"]["Value"] == outputs["LayerArn"]["Value"]


def test_layer_lists_compatible_runtimes(template: Template) -> None:
    """The console hides a layer from functions of other runtimes."""
    (layer,) = (properties for _, properties in template.resources("AWS::Lambda::LayerVersion"))

    assert layer["CompatibleRuntimes"] == ["python3.11", "python3.12", "python3.13", "python3.14"]


def test_layer_build_follows_the_architecture() -> None:
    """SAM rebuilds the layer when the Architecture parameter changes."""
    layer = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]["ServiceKeysLayer"]

    assert layer["Metadata"]["BuildArchitecture"] == {"Ref": "Architecture"}
