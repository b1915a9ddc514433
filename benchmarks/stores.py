"""The product's table and KMS key, created from template.yaml in moto's server or in DynamoDB Local."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import benchmarks.report  # noqa: F401 - makes the layer importable
from local.aws import DYNAMODB_ENDPOINT, MotoServer, client, create_resources
from local.template import EXAMPLE_PARAMETERS, Template

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stores(NamedTuple):
    """URLs of moto and of the server with the table (moto or DynamoDB Local), the table's name, the KMS key's id."""

    moto: str
    dynamodb: str
    table_name: str
    kms_key: str


@contextmanager
def stores(*, allow_dynamodb_local: bool = False) -> Iterator[Stores]:
    """Start moto's server, create the table and the key, and remove the table at the end.

    Args:
        allow_dynamodb_local: True to create the table at the URL in AWS_ENDPOINT_URL_DYNAMODB, if set.
    """
    name = f"service-keys-bench-{secrets.token_hex(4)}"
    with MotoServer() as moto:
        url = (os.environ.get(DYNAMODB_ENDPOINT) if allow_dynamodb_local else None) or moto.url
        created = create_resources(
            Template.load(EXAMPLE_PARAMETERS), table_name=name, kms_url=moto.url, dynamodb_url=url
        )
        try:
            yield Stores(moto.url, url, name, created.resolve({"Ref": created.single_resource("AWS::KMS::Key")}))
        finally:
            dynamodb = client("dynamodb", url)
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
            dynamodb.delete_table(TableName=name)
