"""Use the client that openapi-python-client generates: `make test-clients` checks its types and runs it.

SERVICE_KEYS_URL is the address of the API without `/api/v1/admin`, SERVICE_KEYS_TOKEN an administrator's token.
"""

from __future__ import annotations

import json
import os
import sys

from service_keys_client import AuthenticatedClient
from service_keys_client.api.api_keys import (
    create_api_key,
    delete_api_key,
    get_api_key,
    list_api_keys,
    restore_api_key,
    update_api_key,
)
from service_keys_client.models import (
    ApiKey,
    ApiKeyListResponse,
    CreateApiKey,
    CreatedApiKeyResponse,
    DeletedApiKeyResponse,
    EffectiveApiKeyResponse,
    ErrorResponse,
    RestoreApiKey,
    SecretFields,
    UnknownServiceWarning,
    UpdateApiKey,
    UpdatedApiKeyResponse,
)
from service_keys_client.types import UNSET


def create(client: AuthenticatedClient, name: str, key: str | SecretFields) -> tuple[ApiKey, str, list[str | None]]:
    """Store an inactive key; return it, its ETag, and the known services that its name resembles."""
    response = create_api_key.sync_detailed(client=client, body=CreateApiKey(name=name, key=key, active=False))
    if not isinstance(response.parsed, CreatedApiKeyResponse):
        raise TypeError(response.parsed)
    similar = [
        warning.similar for warning in response.parsed.warnings or [] if isinstance(warning, UnknownServiceWarning)
    ]
    return response.parsed.data, response.headers["ETag"], similar


def listed(client: AuthenticatedClient) -> list[str]:
    """Return the names of all keys, read in pages of two."""
    names: list[str] = []
    cursor: str | None = None
    while True:
        page = list_api_keys.sync(client=client, limit=2, cursor=cursor or UNSET)
        if not isinstance(page, ApiKeyListResponse):
            raise TypeError(page)
        names += [key.name for key in page.data]
        cursor = page.pagination.next_cursor
        if cursor is None:
            return names


def refusal(parsed: object) -> str:
    """Return the code of an error, and the fields that it names."""
    if not isinstance(parsed, ErrorResponse):
        raise TypeError(parsed)
    return " ".join([parsed.error.code, *(detail.field for detail in parsed.error.details or [])])


def main() -> None:
    """Create, list, update, delete and restore keys; print the results as JSON."""
    with AuthenticatedClient(os.environ["SERVICE_KEYS_URL"], os.environ["SERVICE_KEYS_TOKEN"]) as client:
        fields = SecretFields.from_dict({"appId": "made-up-app", "secret": "made-up-secret"})
        key, etag, similar = create(client, "Spotfy in Python", fields)
        others = [create(client, f"Weather {number}", f"made-up-value-{number}")[0] for number in range(4)]
        names = listed(client)
        body = UpdateApiKey(description="Made up.")
        changed = update_api_key.sync(key.id, client=client, body=body, if_match=etag)
        stale = update_api_key.sync(key.id, client=client, body=body, if_match=etag)
        invalid = create_api_key.sync(client=client, body=CreateApiKey(name="x", key="short"))
        deleted = [delete_api_key.sync(each.id, client=client, permanent=True) for each in others]
        delete_api_key.sync(key.id, client=client)
        absent = get_api_key.sync(key.id, client=client)
        restored = restore_api_key.sync(key.id, client=client, body=RestoreApiKey(name="Spotify in Python"))
        delete_api_key.sync(key.id, client=client, permanent=True)
    if not (isinstance(changed, UpdatedApiKeyResponse) and isinstance(restored, EffectiveApiKeyResponse)):
        raise TypeError(changed, restored)
    json.dump(
        {
            "mask": key.masked_key if isinstance(key.masked_key, str) else key.masked_key.to_dict(),
            "similar": similar,
            "listed": names,
            "created": key.created_at.tzname(),
            "version": changed.data.version,
            "refusals": [refusal(stale), refusal(invalid), refusal(absent)],
            "deleted": sum(isinstance(each, DeletedApiKeyResponse) for each in deleted),
            "restored": restored.data.name,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
