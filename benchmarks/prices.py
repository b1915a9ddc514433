"""AWS prices for fleet.py.

List prices of us-east-1 in US dollars, without free tiers, savings plans or taxes, as of 2025. They were
not fetched from the linked pages: check them before you rely on a figure.
"""

from __future__ import annotations

from typing import Final, NamedTuple

HOURS_A_MONTH: Final = 730


class Price(NamedTuple):
    """Dollars for a number of units."""

    subject: str
    dollars: float
    units: int
    page: str

    def of(self, count: float) -> float:
        """Return the price of a number of units."""
        return self.dollars * count / self.units

    def row(self) -> tuple[str, ...]:
        """Return the row of the price table."""
        return self.subject, f"{self.dollars:g} / {self.units:,}", f"https://aws.amazon.com/{self.page}/"


_ON_DEMAND = "dynamodb/pricing/on-demand"
DYNAMODB_READ = Price("DynamoDB on demand, read request units (Standard class)", 0.125, 1_000_000, _ON_DEMAND)
DYNAMODB_WRITE = Price("DynamoDB on demand, write request units (Standard class)", 0.625, 1_000_000, _ON_DEMAND)
KMS_REQUEST = Price("KMS, requests of symmetric keys", 0.03, 10_000, "kms/pricing")
KMS_KEY = Price("KMS, customer managed key, a month", 1.00, 1, "kms/pricing")
SECRET = Price("Secrets Manager, secret, a month", 0.40, 1, "secrets-manager/pricing")
SECRETS_MANAGER_CALL = Price("Secrets Manager, API calls", 0.05, 10_000, "secrets-manager/pricing")
PARAMETER_CALL = Price("Parameter Store, calls of higher throughput", 0.05, 10_000, "systems-manager/pricing")
PRICES = (DYNAMODB_READ, DYNAMODB_WRITE, KMS_REQUEST, KMS_KEY, SECRET, SECRETS_MANAGER_CALL, PARAMETER_CALL)
