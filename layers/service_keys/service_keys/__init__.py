"""Service Keys: the API keys of external services, for the functions that use them.

    from service_keys import get_api_key

    openai = OpenAI(api_key=get_api_key("openai").value)
    spotify = get_api_key("spotify")  # spotify["clientId"], spotify["clientSecret"]

What is exported here is for other functions; the rest of the package is the admin API's.
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
