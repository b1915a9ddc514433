"""Service definition of Mistral AI."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from service_keys.admin.services.definition import (
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

_FOREIGN: Final = foreign_keys("Mistral", "an Anthropic key", "an OpenAI key", "a Google key")


class Mistral(VerifiableService):
    """An API key of a Mistral workspace. Mistral documents no format.

    Sources: https://docs.mistral.ai/api (authentication, list of models),
    https://docs.mistral.ai/resources/error-glossary
    """

    name = "mistral"
    title = "Mistral AI"
    fields = (
        KeyField(
            None,
            "API key",
            visible_ascii_without(_FOREIGN),
            "a Mistral key is a string without white space; copy it from the console",
            foreign=_FOREIGN,
        ),
    )

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return a request for the list of models, which is free of charge."""
        headers = {"Authorization": f"Bearer {secret_value.reveal()}"}
        return ProbeRequest("GET", "api.mistral.ai", "/v1/models", headers)

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Interpret the body of 401, whose only documented meaning is a missing, invalid or expired key.

        - 401 ``{"detail": "Unauthorized"}`` (https://github.com/nextcloud/integration_openai/issues/332) or
          ``{"message": "Unauthorized", "request_id": ...}`` (https://github.com/cline/cline/issues/1734): rejected. The
          latter report is of a key for Codestral, which this API does not accept.
        - 401 with another body, such as a proxy's, 402 and 403 (the plan or the workspace lacks access): inconclusive.
        """
        if response.status == HTTPStatus.OK and isinstance(nested(response, "data"), list):
            return "valid", "Mistral listed its models for the key."
        statements = (nested(response, "detail"), nested(response, "message"))
        if response.status == HTTPStatus.UNAUTHORIZED and "Unauthorized" in statements:
            return "rejected", "Mistral refuses the key (401): it is wrong, expired, revoked, or for Codestral only."
        if response.status == HTTPStatus.PAYMENT_REQUIRED:
            return "inconclusive", "Mistral: a problem with billing (402). See the billing details."
        return interpret_by_status(response, "Mistral")
