"""The types of errors of AWS calls by their cause, for each kind of client. `aws_errors` classifies with them."""

from __future__ import annotations

import sys

from service_keys.store.direct import errors as direct

TYPE_CHECKING = False
if TYPE_CHECKING:
    Types = tuple[type[Exception], ...]


class ErrorKinds:
    """The types of one kind of client. A subclass names its own."""

    every: Types = ()
    """The base classes."""
    responses: Types = ()
    """Error responses: with ``response`` and ``operation_name``."""
    connection: Types = ()
    """A call without a complete response."""
    unreadable: Types = ()
    """A response that cannot be parsed."""
    no_credentials: Types = ()
    """The source of the credentials failed or has none."""
    self_explanatory: Types = ()
    """Errors whose text names the wrong setting and contains no secret value of a setting."""
    wrappers: Types = ()
    """Errors that hide another one, in ``kwargs["error"]``."""
    reads_credentials: frozenset[str] = frozenset()
    """Modules that only read credentials: errors that pass through them have no type of their own."""
    reads_responses: frozenset[str] = frozenset()
    """Modules that only parse responses; likewise."""


class _DirectKinds(ErrorKinds):
    every = (direct.DirectError,)
    responses = (direct.ResponseError,)
    connection = (direct.TransportError,)
    unreadable = (direct.UnreadableResponseError,)
    no_credentials = (direct.NoCredentialsError,)


def kinds_of(error: Exception) -> type[ErrorKinds]:
    """Return the types of the client that may have raised the error.

    Does not import botocore: without it, no error can be one of botocore's.
    """
    if isinstance(error, direct.DirectError):
        return _DirectKinds
    if "botocore" not in sys.modules:
        return ErrorKinds
    from service_keys.store.botocore_errors import BotocoreKinds

    return BotocoreKinds
