"""What is stored, kept and built."""

import re
from pathlib import Path

from samtranslator.yaml_helper import yaml_parse

from local.template import Template
from service_keys.admin.services import SERVICES
from service_keys.store.items import ALL_BY_CREATED_INDEX, RESPONSE_ATTRIBUTES

ROOT = Path(__file__).parents[2]


def test_the_table_is_kept_and_can_be_restored(template: Template) -> None:
    resource = template.cloudformation["Resources"]["ApiKeysTable"]
    properties = resource["Properties"]

    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")
    assert properties["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert template.property("ApiKeysTable", "DeletionProtectionEnabled") is True
    assert properties["BillingMode"] == "PAY_PER_REQUEST"
    assert "TableName" not in properties, "a retained table with a fixed name blocks the next deploy"


def test_the_index_lists_everything_but_the_ciphertext(template: Template) -> None:
    (index,) = template.table().create["GlobalSecondaryIndexes"]
    table_keys = {key["AttributeName"] for key in template.table().create["KeySchema"]}
    index_keys = {key["AttributeName"] for key in index["KeySchema"]}

    shown = table_keys | index_keys | set(index["Projection"]["NonKeyAttributes"])

    assert index["IndexName"] == ALL_BY_CREATED_INDEX
    assert index["Projection"]["ProjectionType"] == "INCLUDE"
    assert shown - {"entity"} == set(RESPONSE_ATTRIBUTES)
    assert "ciphertext" not in shown


def test_memories_of_requests_expire(template: Template) -> None:
    assert template.table().time_to_live == {"AttributeName": "expiresAt", "Enabled": True}


def test_the_encryption_key_is_kept_and_rotates(template: Template) -> None:
    resource = template.cloudformation["Resources"]["EncryptionKey"]

    # Not with the deployment that made it, if that fails; and RetainExceptOnCreate is no UpdateReplacePolicy.
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert resource["Properties"]["EnableKeyRotation"] is True


def test_every_function_logs_to_a_group_with_retention(template: Template) -> None:
    groups = dict(template.resources("AWS::Logs::LogGroup"))

    for function in template.functions():
        config = template.cloudformation["Resources"][function]["Properties"]["LoggingConfig"]
        assert groups[config["LogGroup"]["Ref"]]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert len(groups) == len(template.functions())


def test_every_function_runs_the_same_way(template: Template) -> None:
    for name, function in template.functions().items():
        properties = template.cloudformation["Resources"][name]["Properties"]
        assert properties["Runtime"] == "python3.13"
        assert properties["Architectures"] == [{"Ref": "Architecture"}]
        assert function.handler == "app.handler"
        assert function.timeout <= 29, "API Gateway waits no longer"
        assert (function.code / "app.py").is_file()


def test_only_the_admin_functions_carry_the_layer(template: Template) -> None:
    assert {name for name, function in template.functions().items() if not function.layers} == {"Authorizer"}


def pins(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text().splitlines()
    pinned = [re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*])?==([^ ;]+)", line) for line in lines]
    return {match[1].lower().replace("_", "-"): match[2] for match in pinned if match}


def test_what_is_deployed_is_pinned_to_what_is_tested() -> None:
    tested = pins("requirements-dev.txt")
    for path in ("layers/service_keys/requirements.txt", "functions/authorizer/requirements.txt"):
        deployed = pins(path)
        assert len(deployed) >= 4
        assert deployed == {name: tested.get(name) for name in deployed}, path


def test_jwt_and_cryptography_travel_with_the_authorizer_alone() -> None:
    layer, authorizer = pins("layers/service_keys/requirements.txt"), pins("functions/authorizer/requirements.txt")

    assert {"pyjwt", "cryptography"} <= authorizer.keys()
    assert not layer.keys() & authorizer.keys()
    assert not {"boto3", "botocore"} & (layer.keys() | authorizer.keys())


def test_what_other_stacks_need_is_exported(template: Template) -> None:
    outputs = template.cloudformation["Outputs"]

    policies = {f"Read{service.title()}KeysPolicyArn" for service in (*SERVICES, "all")}
    assert set(outputs) == {"ApiUrl", "TableName", "LayerArn", "EncryptionKeyArn", "AlarmTopicArn"} | policies
    assert all(output["Description"] for output in outputs.values())
    # A layer has a new ARN with every version, and CloudFormation does not change an export that is in use.
    assert {name for name, output in outputs.items() if "Export" not in output} == {
        "ApiUrl",
        "LayerArn",
        "AlarmTopicArn",
    }
    parameter = template.property("LayerParameter", "Name")
    assert (parameter, template.property("LayerParameter", "Type")) == ("/service-keys/layer-arn", "String")
    assert template.cloudformation["Resources"]["LayerParameter"]["Properties"]["Value"] == outputs["LayerArn"]["Value"]


def test_the_layer_names_every_runtime_that_it_runs_on(template: Template) -> None:
    """The console hides a layer from functions of other runtimes."""
    (layer,) = (properties for _, properties in template.resources("AWS::Lambda::LayerVersion"))

    assert layer["CompatibleRuntimes"] == ["python3.11", "python3.12", "python3.13", "python3.14"]


def test_the_layer_is_built_anew_for_another_architecture() -> None:
    layer = yaml_parse((ROOT / "template.yaml").read_text())["Resources"]["ServiceKeysLayer"]

    assert layer["Metadata"]["BuildArchitecture"] == {"Ref": "Architecture"}
