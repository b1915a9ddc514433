"""Base class of the services behind Google's API keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Final

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

_ACCESS_TOKEN: Final = "this is an OAuth access token, which expires within an hour; give an API key"  # noqa: S105
_FOREIGN: Final = (*foreign_keys("Google", "an Anthropic key", "an OpenAI key"), ("ya29.", _ACCESS_TOKEN))
_INVALID: Final[ProbeResult] = ("rejected", "Google refuses the key (400): it is wrong, has expired, or was deleted.")
_LEAKED: Final[ProbeResult] = (
    "rejected",
    "Google has blocked the key, because it was published (403). Create another one.",
)
_OTHER_CALLERS: Final[ProbeResult] = (
    "inconclusive",
    "Google: the key is restricted to other addresses, websites or apps (403), so that this check cannot use it.",
)
_DISABLED: Final[ProbeResult] = ("inconclusive", "Google: this API is not enabled in the key's project (403).")
_QUOTA: Final[ProbeResult] = ("inconclusive", "Google: the quota of the key's project is exhausted (403).")


class GoogleService(VerifiableService):
    """An API key of Google Cloud or Google AI Studio.

    Google documents no format: standard keys begin with ``AIza``, authorization keys of AI Studio with ``AQ.``
    (https://ai.google.dev/gemini-api/docs/api-key), and others are possible. One key can serve several APIs. The key
    goes into the header ``X-Goog-Api-Key`` (https://cloud.google.com/apis/docs/system-parameters), not into the URL.
    """

    fields = (
        KeyField(
            None,
            "API key",
            visible_ascii_without(_FOREIGN),
            "a Google API key is a string without white space; copy it from Google AI Studio or the Cloud console",
            foreign=_FOREIGN,
        ),
    )
    host: ClassVar[str]
    path: ClassVar[str]
    """A list that is free of charge."""
    items: ClassVar[str]
    """The member of the response that has the list."""
    _STATEMENTS: ClassVar[dict[tuple[int, str], ProbeResult]] = {
        (400, "API_KEY_INVALID"): _INVALID,
        (400, "keyInvalid"): _INVALID,
        (400, "keyExpired"): _INVALID,
        (400, "API key not valid. Please pass a valid API key."): _INVALID,
        (400, "API key expired. Please renew the API key."): _INVALID,
        (403, "Your API key was reported as leaked. Please use another API key."): _LEAKED,
        (403, "CONSUMER_SUSPENDED"): ("rejected", "Google has suspended the key or its project (403)."),
        (401, "ACCESS_TOKEN_TYPE_UNSUPPORTED"): (
            "inconclusive",
            "Google does not accept this type of key for the API (401). Gemini needs an authorization key.",
        ),
        (403, "API_KEY_SERVICE_BLOCKED"): ("inconclusive", "Google: the key is restricted to other APIs (403)."),
        (403, "API_KEY_HTTP_REFERRER_BLOCKED"): _OTHER_CALLERS,
        (403, "API_KEY_IP_ADDRESS_BLOCKED"): _OTHER_CALLERS,
        (403, "API_KEY_ANDROID_APP_BLOCKED"): _OTHER_CALLERS,
        (403, "API_KEY_IOS_APP_BLOCKED"): _OTHER_CALLERS,
        (403, "SERVICE_DISABLED"): _DISABLED,
        (403, "accessNotConfigured"): _DISABLED,
        (403, "quotaExceeded"): _QUOTA,
        (403, "dailyLimitExceeded"): _QUOTA,
    }

    def build_probe(self, secret_value: SecretValue) -> ProbeRequest:
        """Return a request for a list that is free of charge."""
        return ProbeRequest("GET", self.host, self.path, {"X-Goog-Api-Key": str(secret_value.reveal())})

    def interpret(self, response: ProbeResponse) -> ProbeResult:
        """Interpret the reason of ``google.rpc.ErrorInfo``, that of the older form ``error.errors``, or the message.

        Reasons: https://github.com/googleapis/googleapis/blob/master/google/api/error_reason.proto; older ones:
        https://developers.google.com/youtube/v3/docs/core_errors

        - 400 ``API_KEY_INVALID``: "it may be in a bad format, cannot be found, or has been expired": rejected. Gemini
          returns it for standard keys too, since it has ceased to accept them. YouTube may give the message alone, with
          the reason ``badRequest`` (https://github.com/trizen/youtube-viewer/issues/308).
        - 403 "Your API key was reported as leaked" has no reason
          (https://github.com/continuedev/continue/issues/11541); Google blocks such keys for good
          (https://ai.google.dev/gemini-api/docs/troubleshooting): rejected. So is 403 ``CONSUMER_SUSPENDED``.
        - 401 ``ACCESS_TOKEN_TYPE_UNSUPPORTED`` also occurs for keys that work elsewhere
          (https://github.com/google-gemini/gemini-cli/issues/28538): inconclusive. So are restrictions of the key, an
          API that is not enabled, quotas, and 400 ``FAILED_PRECONDITION``, which concerns this function's region.
        """
        title = self.title
        if response.status == HTTPStatus.OK and isinstance(nested(response, self.items), list):
            return "valid", f"{title} gave a list for the key."
        for statement in _statements(response):
            if (response.status, statement) in self._STATEMENTS:
                return self._STATEMENTS[response.status, statement]
        if response.status == HTTPStatus.BAD_REQUEST and nested(response, "error", "status") == "FAILED_PRECONDITION":
            return "inconclusive", f"{title} does not serve the region that this function runs in (400)."
        return interpret_by_status(response, title)


def _statements(response: ProbeResponse) -> list[str]:
    """Return the reasons of an error, of both forms, and its message."""
    lists = [nested(response, "error", name) for name in ("details", "errors")]
    entries = [entry for many in lists if isinstance(many, list) for entry in many if isinstance(entry, dict)]
    found = [*(entry.get("reason") for entry in entries), nested(response, "error", "message")]
    return [statement for statement in found if isinstance(statement, str)]
