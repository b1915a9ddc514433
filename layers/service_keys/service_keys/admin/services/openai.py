"""Service definition of OpenAI."""

from __future__ import annotations

import dataclasses
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final

from service_keys.admin.services.definition import (
    VISIBLE_ASCII,
    KeyField,
    ProbeRequest,
    VerifiableService,
    foreign_keys,
    interpret_by_status,
    nested,
    visible_ascii_without,
)

if TYPE_CHECKING:
    from service_keys.admin.services.definition import ProbeResponse, ProbeResult
    from service_keys.core.secret_value import SecretValue


_FOREIGN: Final = foreign_keys("OpenAI", "an Anthropic key")


class OpenAI(VerifiableService):
    """An OpenAI API key, optionally with organization and project.

    Sources: https://platform.openai.com/docs/api-reference/authentication,
    https://platform.openai.com/docs/guides/error-codes
    """

    name = "openai"
    title = "OpenAI"
    fields = (
        KeyField(
            None,
            "API key",
            visible_ascii_without(_FOREIGN, prefix="sk-"),
            "an OpenAI key begins with sk- and has no white space; copy it from the dashboard",
            foreign=_FOREIGN,
        ),
    )
    expected = "an OpenAI key is a string, or an object with apiKey and optionally organization and project"
    object_fields = (
        dataclasses.replace(fields[0], name="apiKey"),
        *(
            KeyField(
                name,
                name.title(),
                VISIBLE_ASCII,
                "use visible ASCII characters, as in the id that the dashboard shows",
                secret=False,
                required=False,
            )
            for name in ("organization", "project")
        ),
    )
    _OPTIONS: ClassVar[dict[str, str]] = {"organization": "OpenAI-Organization", "project": "OpenAI-Project"}
    _ORGANIZATION: ClassVar[ProbeResult] = (
        "inconclusive",
        "OpenAI does not accept the key for the organization or project that is stored with it (401).",
    )
    _STATEMENTS: ClassVar[dict[tuple[int, str], ProbeResult]] = {
        (401, "invalid_api_key"): ("rejected", "OpenAI refuses the key (401): it is wrong, or was revoked."),
        (401, "account_deactivated"): ("rejected", "OpenAI has deactivated the account of the key (401)."),
        (401, "no_organization"): _ORGANIZATION,
        (401, "mismatched_organization"): _ORGANIZATION,
        (403, "unsupported_country_region_territory"): (
            "inconclusive",
            "OpenAI does not serve the region that this function runs in (403).",
        ),
    }

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return a request for the list of models, which is free of charge."""
        value = secret_value.reveal()
        fields = {"apiKey": value} if isinstance(value, str) else value
        headers = {"Authorization": f"Bearer {fields['apiKey']}"}
        headers |= {header: fields[option] for option, header in self._OPTIONS.items() if option in fields}
        return ProbeRequest("GET", "api.openai.com", "/v1/models", headers)

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Interpret ``error.code``; the status alone is ambiguous.

        - 401 ``invalid_api_key`` ("Incorrect API key provided") means that the key is wrong or revoked: rejected. So is
          401 ``account_deactivated``, which invalidates all keys of the account
          (https://github.com/songquanpeng/one-api/issues/271).
        - 401 ``no_organization`` (https://github.com/abi/screenshot-to-code/issues/9) and ``mismatched_organization``
          (https://github.com/openai/codex/issues/1000) concern the organization in the request: inconclusive. So is
          401 "IP not authorized", which concerns this function's address.
        - "Missing scopes: api.model.read" has the status 403 or 401 and no code: a restricted key can still be valid
          for its purpose (https://github.com/bytedance/trae-agent/issues/162): inconclusive, as are all other responses
          without a known code, including a proxy's HTML page.
        - 403 ``unsupported_country_region_territory`` and 429: inconclusive.
        """
        if (
            response.status == HTTPStatus.OK
            and response.json is not None
            and isinstance(response.json.get("data"), list)
        ):
            return "valid", "OpenAI listed its models for the key."
        code = nested(response, "error", "code")
        if isinstance(code, str) and (response.status, code) in self._STATEMENTS:
            return self._STATEMENTS[response.status, code]
        if response.status == HTTPStatus.TOO_MANY_REQUESTS and "insufficient_quota" in (
            code,
            nested(response, "error", "type"),
        ):
            return "inconclusive", "OpenAI: the quota is exhausted (429). See the plan and billing details."
        return interpret_by_status(response, "OpenAI")
