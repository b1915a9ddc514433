"""What AWS charges, and how many requests a second it takes: the one place where fleet.py has them from.

List prices of us-east-1 in US dollars, without free tiers, savings plans or taxes, as known in 2025 from the pages
named here. They were not fetched from those pages when this was written: look there before you rely on a figure.
"""

from __future__ import annotations

from typing import Final, NamedTuple

AS_OF: Final = "2025"
REGION: Final = "us-east-1"
HOURS_A_MONTH: Final = 730
MILLION: Final = 1_000_000


class Price(NamedTuple):
    """Dollars for so many of something."""

    dollars: float
    per: int
    of: str
    source: str

    def of_so_many(self, count: float) -> float:
        """Return what so many cost."""
        return self.dollars * count / self.per

    def row(self) -> tuple[str, ...]:
        """Return the line of a table."""
        return self.of, f"{self.dollars:g} / {self.per:,}", self.source


class Quota(NamedTuple):
    """Requests a second that AWS takes, for an account and region, or for what is named."""

    per_second: int
    of: str
    source: str

    def row(self) -> tuple[str, ...]:
        """Return the line of a table."""
        return self.of, f"{self.per_second:,} a second", self.source


_DYNAMODB = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_KMS = "https://aws.amazon.com/kms/pricing/"
_SECRETS_MANAGER = "https://aws.amazon.com/secrets-manager/pricing/"
_SYSTEMS_MANAGER = "https://aws.amazon.com/systems-manager/pricing/"

DYNAMODB_READ = Price(0.125, MILLION, "DynamoDB on demand, read request units (Standard class)", _DYNAMODB)
DYNAMODB_WRITE = Price(0.625, MILLION, "DynamoDB on demand, write request units (Standard class)", _DYNAMODB)
KMS_REQUEST = Price(0.03, 10_000, "KMS, requests of symmetric keys", _KMS)
KMS_KEY = Price(1.00, 1, "KMS, customer managed key, a month", _KMS)
SECRET = Price(0.40, 1, "Secrets Manager, secret, a month", _SECRETS_MANAGER)
SECRETS_MANAGER_CALL = Price(0.05, 10_000, "Secrets Manager, API calls", _SECRETS_MANAGER)
PARAMETER_ADVANCED = Price(0.05, 1, "Parameter Store, advanced parameter, a month", _SYSTEMS_MANAGER)
PARAMETER_INTERACTION = Price(
    0.05, 10_000, "Parameter Store, interactions: higher throughput, or advanced parameters", _SYSTEMS_MANAGER
)
PRICES = (
    DYNAMODB_READ,
    DYNAMODB_WRITE,
    KMS_REQUEST,
    KMS_KEY,
    SECRET,
    SECRETS_MANAGER_CALL,
    PARAMETER_ADVANCED,
    PARAMETER_INTERACTION,
)

DYNAMODB_PARTITION = Quota(
    3_000,
    "DynamoDB, strongly consistent reads of up to 4 KiB in one partition",
    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html",
)
GET_SECRET_VALUE = Quota(
    10_000,
    "Secrets Manager, GetSecretValue",
    "https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html",
)
_PARAMETER_STORE = "https://docs.aws.amazon.com/general/latest/gr/ssm.html"
GET_PARAMETER = Quota(40, "Parameter Store, GetParameter, standard throughput", _PARAMETER_STORE)
GET_PARAMETER_HIGHER = Quota(10_000, "Parameter Store, GetParameter, higher throughput", _PARAMETER_STORE)
QUOTAS = (DYNAMODB_PARTITION, GET_SECRET_VALUE, GET_PARAMETER, GET_PARAMETER_HIGHER)
