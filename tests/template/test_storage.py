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


def test_every_admin_function_has_both_layers(template: Template) -> None:
    """The authorizer and the web console have no layer, and consumers get the first one."""
    layers = {name: [layer.name for layer in function.layers] for name, function in template.functions().items()}

    assert (layers.pop("Authorizer"), layers.pop("WebConsole")) == ([], [])
    assert all(folders == ["service_keys", "admin"] for folders in layers.values()), layers
    assert template.consumer_layer() == ROOT / "layers" / "service_keys"


def pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text().splitlines()
    pinned = [re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*])?==([^ ;]+)", line) for line in lines]
    return {match[1].lower().replace("_", "-"): match[2] for match in pinned if match}


def test_deployed_versions_are_tested() -> None:
    """The pinned versions of layer and authorizer are those of the development environment."""
    tested = pins("requirements-dev.txt")
    for path in ("layers/admin/requirements.txt", "functions/authorizer/requirements.txt"):
        deployed = pins(path)
        assert len(deployed) >= 4
        assert deployed == {name: tested.get(name) for name in deployed}, path


def test_only_the_authorizer_bundles_jwt_and_cryptography() -> None:
    """Layer and authorizer share no dependency, and neither bundles boto3."""
    layer, authorizer = pins("layers/admin/requirements.txt"), pins("functions/authorizer/requirements.txt")

    assert {"pyjwt", "cryptography"} <= authorizer.keys()
    assert not layer.keys() & authorizer.keys()
    assert not {"boto3", "botocore"} & (layer.keys() | authorizer.keys())


def test_outputs_and_exports(template: Template) -> None:
    """Other stacks import exports, and read the layer's ARN from an SSM parameter."""
    outputs = template.cloudformation["Outputs"]

    policies = {f"{reader_policy(service)}PolicyArn" for service in (*SERVICES, "all")}
    sign_in = {"SignInIssuer", "SignInClientId", "SignInDomainName", "UserPoolId"}
    resources = {
        "ApiUrl",
        "ConsoleUrl",
        "RestApiId",
        "TableName",
        "LayerArn",
        "EncryptionKeyArn",
        "AlarmTopicArn",
        "Version",
    }
    assert set(outputs) == resources | policies | sign_in
    assert all(output["Description"] for output in outputs.values())
    # The layer's ARN changes with every version, and CloudFormation cannot change an export in use.
    without_export = {name for name, output in outputs.items() if "Export" not in output}
    assert without_export == {"ApiUrl", "ConsoleUrl", "LayerArn", "AlarmTopicArn", "Version"} | sign_in
    name, kind = (template.property("LayerParameter", each) for each in ("Name", "Type"))
    assert (name, kind) == ("/service-keys/layer-arn", "String")
    assert template.cloudformation["Resources"]["LayerParameter"]["Properties"]["Value"] == outputs["LayerArn"]["Value"]


def test_layers_list_their_runtimes_and_architectures(template: Template) -> None:
    """The shared layer serves every runtime and architecture, the other one those of the admin functions."""
    layers = {
        properties["LayerName"]["Fn::Sub"]: (
            properties["CompatibleRuntimes"],
            properties.get("CompatibleArchitectures"),
        )
        for _, properties in template.resources("AWS::Lambda::LayerVersion")
    }

    supported = ["python3.11", "python3.12", "python3.13", "python3.14"]
    assert layers == {
        "${AWS::StackName}-service-keys": (supported, None),
        "${AWS::StackName}-admin": (["python3.13"], [{"Ref": "Architecture"}]),
    }


def test_layer_build_follows_the_architecture() -> None:
    """SAM rebuilds the layer with native modules when the Architecture parameter changes."""
    layer = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]["AdminLayer"]

    assert layer["Metadata"]["BuildArchitecture"] == {"Ref": "Architecture"}
