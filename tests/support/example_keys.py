"""A made-up key of each known service, in its format; it contains the canary."""

from __future__ import annotations

from typing import Any, Final

from tests.support.canary import CANARY

_HEX: Final = f"{CANARY}0123456789abcdefcdef"
_TEXT: Final = f"made-up-{CANARY}-0123456789"

KEYS: Final[dict[str, Any]] = {
    "spotify": {"clientId": _HEX, "clientSecret": f"{CANARY}fedcba98765432103210"},
    "openai": f"sk-{_TEXT}",
    "anthropic": f"sk-ant-{_TEXT}",
    "gemini": f"AQ.{_TEXT}",
    "mistral": _TEXT,
    "lastfm": {"apiKey": _HEX, "sharedSecret": _HEX[::-1] + CANARY},
    "genius": _TEXT,
    "youtube": "AI" + f"zaSy{_TEXT}",
    "deezer": {"appId": f"123456-{CANARY}", "secretKey": _TEXT},
}
