"""The product's table and KMS key, from template.yaml, in moto's server or in DynamoDB Local."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.report import LAYER

sys.path.insert(0, str(LAYER))

from local.aws import CREDENTIALS, DYNAMODB_ENDPOINT, Moto, client, create_resources
from local.template import REGION, Template
from service_keys import naming
from service_keys.encryption import encrypt
from service_keys.material import KeyMaterial
from service_keys.models import Change, StoredKey
from service_keys.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

CHANGE = Change(at_ms=1_780_000_000_000, principal="admin-1", request_id="made-up")
_PARAMETERS = {
    "JwtIssuer": "https://issuer.example.com/",
    "JwtAudience": "service-keys",
    "JwksUrl": "https://issuer.example.com/jwks.json",
    "AdminClaimRule": "role=admin",
    "AllowedOrigin": "https://admin.example.com",
}


@dataclass(frozen=True)
class Stores:
    """Where the table and the key are.

    Attributes:
        moto: URL of moto's server.
        dynamodb: URL of what holds the table: that, or DynamoDB Local.
        table_name: The table.
        kms_key: The KMS key's id.
    """

    moto: str
    dynamodb: str
    table_name: str
    kms_key: str

    @property
    def local(self) -> bool:
        """Tell whether the table is in DynamoDB Local."""
        return self.dynamodb != self.moto

    def settings(self, service: str) -> dict[str, Any]:
        """Return a client's arguments."""
        return {
            "endpoint_url": self.dynamodb if service == "dynamodb" else self.moto,
            "region_name": REGION,
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }

    def client(self, service: str) -> Any:
        """Return a botocore client."""
        return client(service, self.settings(service)["endpoint_url"])


@contextmanager
def stores(*, anywhere: bool = False) -> Iterator[Stores]:
    """Start moto's server, and make the table and the key; the table is removed at the end.

    Args:
        anywhere: Whether the table may be in what AWS_ENDPOINT_URL_DYNAMODB names.
    """
    template = Template.load(_PARAMETERS)
    name = f"service-keys-bench-{secrets.token_hex(4)}"
    with Moto() as moto:
        dynamodb_url = os.environ.get(DYNAMODB_ENDPOINT, "") if anywhere else ""
        found = Stores(moto.url, dynamodb_url or moto.url, name, "")
        made = create_resources(template, table_name=name, kms_url=found.moto, dynamodb_url=found.dynamodb)
        key = made.resolve({"Ref": made.only("AWS::KMS::Key")})
        try:
            yield Stores(found.moto, found.dynamodb, name, key)
        finally:
            dynamodb = found.client("dynamodb")
            dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)
            dynamodb.delete_table(TableName=name)


def new_key(service: str, number: int, *, active: bool = True) -> StoredKey:
    """Make up a key; the higher its number, the newer it is."""
    at_ms = CHANGE.at_ms + number
    now = naming.timestamp(at_ms)
    return StoredKey(
        id=naming.new_id(service, at_ms=at_ms, random_bits=number % 2**naming.RANDOM_BITS),
        name=f"{service} production {number}",
        description="For the assistant of the editorial team",
        active=active,
        masked_key="••••cdef",
        created_at=now,
        created_by=CHANGE.principal,
        updated_at=now,
        updated_by=CHANGE.principal,
        key_updated_at=now,
    )


def store(at: Stores, key: StoredKey, secret: str) -> None:
    """Encrypt and write one key, as the function that creates keys does."""
    ciphertext = encrypt(at.client("kms"), at.kms_key, KeyMaterial(secret), key_id=key.id)
    Table(at.client("dynamodb"), at.table_name).create(key, ciphertext, CHANGE)
