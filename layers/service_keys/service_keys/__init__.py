"""Service Keys: read the API keys of external services.

    from service_keys import get_api_key

    openai = OpenAI(api_key=get_api_key("openai").value)
    spotify = get_api_key("spotify")  # spotify["clientId"], spotify["clientSecret"]

Consumers use the exported names; the rest of the package belongs to the admin API.
"""

from service_keys.api_key import ApiKey
from service_keys.errors import (
    ConfigurationError,
    KeyAccessDeniedError,
    KeyCorruptedError,
    KeyDisabledError,
    KeyNotFoundError,
    KeyStoreUnavailableError,
    ServiceKeysError,
)
from service_keys.reader.client import ServiceKeys
from service_keys.reader.default_client import get_api_key

__version__ = "1.0.0"

__all__ = [
    "ApiKey",
    "ConfigurationError",
    "KeyAccessDeniedError",
    "KeyCorruptedError",
    "KeyDisabledError",
    "KeyNotFoundError",
    "KeyStoreUnavailableError",
    "ServiceKeys",
    "ServiceKeysError",
    "get_api_key",
]
