"""Service definition of Anthropic."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from service_keys.admin.services.definition import (
    KeyField,
    ProbeRequest,
    VerifiableService,
    interpret_by_status,
    nested,
)

if TYPE_CHECKING:
    from service_keys.admin.services.definition import ProbeResponse, ProbeResult
    from service_keys.core.secret_value import SecretValue


class Anthropic(VerifiableService):
    """An API key of an Anthropic workspace.

    Sources: https://docs.anthropic.com/en/api/overview, https://docs.anthropic.com/en/api/models-list,
    https://docs.anthropic.com/en/api/errors
    """

    name = "anthropic"
    title = "Anthropic"
    fields = (
        KeyField(
            None,
            "API key",
            "^sk-ant-[!-~]+$",
            "an Anthropic key is a string that begins with sk-ant- and has no white space; copy it from the console",
        ),
    )

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return a request for the list of models, which is free of charge."""
        headers = {"x-api-key": str(secret_value.reveal()), "anthropic-version": "2023-06-01"}
        return ProbeRequest("GET", "api.anthropic.com", "/v1/models", headers)

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Interpret ``error.type`` (https://platform.claude.com/docs/en/api/errors).

        - 401 ``authentication_error`` means that the key is malformed, revoked or expired: rejected.
        - 403 ``permission_error`` concerns the resource, 403 ``forbidden`` the region
          (https://github.com/corbt/agent.exe/issues/15), 402 ``billing_error`` and
          400 ``invalid_request_error`` payment and limits: inconclusive. So are 429, 5xx and 529 (overload).
        """
        if (
            response.status == HTTPStatus.OK
            and response.json is not None
            and isinstance(response.json.get("data"), list)
        ):
            return "valid", "Anthropic listed its models for the key."
        kind = nested(response, "error", "type")
        if response.status == HTTPStatus.UNAUTHORIZED and kind == "authentication_error":
            return "rejected", "Anthropic refuses the key (401): it is wrong, or was revoked."
        if response.status in (HTTPStatus.BAD_REQUEST, PAYMENT_REQUIRED) and kind == "billing_error":
            return "inconclusive", f"Anthropic: a problem with billing ({response.status}). See the billing details."
        return interpret_by_status(response, "Anthropic")


PAYMENT_REQUIRED: Final = 402
