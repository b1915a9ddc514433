"""A table and a KMS key in an emulator of AWS, for the tests of consumers (`service_keys.testing`)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from service_keys.core.ids import new_id
from service_keys.core.secret_value import SecretValue
from service_keys.store.encryption import encrypt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef
    from mypy_boto3_kms import KMSClient


def create_key_store(
    dynamodb: DynamoDBClient, kms: KMSClient, table_name: str, keys: Mapping[str, str | Mapping[str, str]]
) -> None:
    """Create the table and a KMS key, and store one active key for each service, named as the service."""
    dynamodb.create_table(
        TableName=table_name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("service", "id")],
        KeySchema=[{"AttributeName": "service", "KeyType": "HASH"}, {"AttributeName": "id", "KeyType": "RANGE"}],
    )
    kms_key = kms.create_key()["KeyMetadata"]["KeyId"]
    for service, value in keys.items():
        key_id = new_id(service, at_ms=time.time_ns() // 1_000_000, random_bits=0)
        attributes: dict[str, AttributeValueTypeDef] = {
            "name": {"S": service},
            "active": {"BOOL": True},
            "ciphertext": {"B": encrypt(kms, kms_key, SecretValue(value), key_id=key_id)},
            "version": {"N": "1"},
        }
        dynamodb.update_item(
            TableName=table_name,
            Key={"service": {"S": service}, "id": {"S": key_id}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in attributes),
            ExpressionAttributeNames={f"#{name}": name for name in attributes},
            ExpressionAttributeValues={f":{name}": attribute for name, attribute in attributes.items()},
        )
