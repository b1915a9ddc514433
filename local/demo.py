"""Sample keys of a local run (DEMO=1), stored through the API as administrators do. All values are made up."""

from __future__ import annotations

import json
import secrets
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError

from local import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.fake_services import FakeServices
    from local.stack import LocalStack

_PATH: Final = "/api/v1/admin/api-keys"
_PEM: Final = "-----BEGIN CERTIFICATE-----\nbWFkZSB1cCwgYW5kIG5vIGNlcnRpZmljYXRl\n-----END CERTIFICATE-----\n"


class DemoError(LocalError):
    """A sample key could not be stored."""


class _Administrator:
    def __init__(self, stack: LocalStack, sub: str) -> None:
        self._url = stack.url + stack.base_path + _PATH
        self._token = stack.issuer.token(sub)

    def send(self, method: str, path: str = "", body: object = None, **headers: str) -> Any:
        """Return the `data` of the response.

        Raises:
            DemoError: The API refused the request.
        """
        sent = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **headers}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, sent, method=method)  # noqa: S310 - a loopback URL
        try:
            # Without the proxies of the environment.
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
                return json.load(response)["data"]
        except HTTPError as error:
            message = json.load(error)["error"]["message"]
            raise DemoError(
                f"The sample keys could not be stored: {method} {path} gave {error.code}, {message}"
            ) from None

    def store(self, name: str, service: str, key: str | Mapping[str, str], **fields: object) -> dict[str, Any]:
        created: dict[str, Any] = self.send("POST", body={"name": name, "service": service, "key": key, **fields})
        return created

    def verify(self, key: Mapping[str, Any]) -> None:
        self.send("POST", f"/{key['id']}/verify")


def store_sample_keys(stack: LocalStack, fake_services: FakeServices) -> str:
    """Store keys of several services in every state; none if there are keys already, so that sets are not mixed.

    Returns:
        A line of text: that the keys were stored, or the reason for storing none.

    Raises:
        DemoError: The API refused a request.
    """
    from service_keys import ServiceKeys

    ada, grace = (_Administrator(stack, sub) for sub in ("ada", "grace"))
    # The samples of an earlier run have these results when they are verified again.
    fake_services.chosen |= {"anthropic": "revoked", "mistral": "rate-limited"}
    if ada.send("GET", "?limit=1"):
        return (
            "There are keys already, so no sample keys were stored. "
            "For sample keys alone: make run FRESH=1 DEMO=1, which sets the others aside."
        )
    spotify = ada.store("Spotify production", "spotify", _spotify(), description="Web API, for the playlist importer")
    grace.verify(spotify)
    former = ada.store("OpenAI former project", "openai", _text("sk-"), description="Kept until the migration is done")
    grace.send("PATCH", f"/{former['id']}", {"active": False})
    openai = grace.store("OpenAI production", "openai", _text("sk-"), description="Summaries and tags")
    ada.send("PATCH", f"/{openai['id']}", {"key": _text("sk-")}, **{"If-Match": '"1"'})
    ada.verify(openai)
    ada.verify(ada.store("Anthropic", "anthropic", _text("sk-ant-"), description="Revoked at the service"))
    ada.verify(grace.store("Mistral trial", "mistral", _text(), description="Its verification was inconclusive"))
    gemini = grace.store("Gemini", "gemini", _text("AQ."))
    ada.send("PATCH", f"/{gemini['id']}", {"active": False})
    ada.store("Payment gateway", "payments", {"merchantId": _text(), "certificate": _PEM}, description="Settlements")
    deleted = ada.store("Genius test", "genius", _text())
    grace.send("DELETE", f"/{deleted['id']}")
    for service in ("spotify", "openai"):
        ServiceKeys(stack.table_name).get(service)
    return "Stored sample keys with made-up values."


def _text(prefix: str = "") -> str:
    return f"{prefix}made-up-{secrets.token_hex(20)}"


def _spotify() -> dict[str, str]:
    return {"clientId": secrets.token_hex(16), "clientSecret": secrets.token_hex(16)}
