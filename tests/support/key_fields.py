"""The fields of a key, as administrators see them: the only list in the tests, written by hand to check the product."""

from typing import Final

RESPONSE_FIELDS: Final = (
    "id",
    "name",
    "service",
    "description",
    "active",
    "maskedKey",
    "createdAt",
    "createdBy",
    "createdByName",
    "updatedAt",
    "updatedBy",
    "updatedByName",
    "keyUpdatedAt",
    "lastUsed",
    "version",
    "verification",
    "previousKey",
)
CREATE_FIELDS: Final = "name, service, description, active, key"
"""The fields of a create request, as error messages list them."""
UPDATE_FIELDS: Final = "name, description, active, key, keepPrevious"
"""The fields of an update request, as error messages list them."""
METADATA: Final = {"name": "Renamed", "description": "Described", "active": True}
"""A value for each field that administrators can change, except for the secret value."""
SIMILAR: Final = {
    "active": ["isActive", "is_active", "enabled", "Active", "activ"],
    "key": ["apiKey", "api_key", "KEY", "keys", "secret", "value", "credentials"],
    "name": ["names", "keyName", "title"],
    "description": ["descripton", "Description", "note"],
}
"""Unknown field names, by the field that they resemble."""
