"""The types of errors of AWS calls by their cause, for each kind of client. `aws_errors` classifies with them."""

from __future__ import annotations

import sys

from service_keys.store.direct import errors as direct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Types = tuple[type[Exception], ...]


class ErrorKinds:
    """The types of one kind of client.

    Attributes:
        every: The base classes.
        responses: Error responses: with ``response`` and ``operation_name``.
        connection: A call without a complete response.
        unreadable: A response that cannot be parsed.
        no_credentials: The source of the credentials failed or has none.
        self_explanatory: Errors whose text names the wrong setting and contains no secret value of a setting.
        wrappers: Errors that hide another one, in ``kwargs["error"]``.
        reads_credentials: Modules that only read credentials: errors that pass through them have no type of their own.
        reads_responses: Modules that only parse responses; likewise.
    """

    __slots__ = (
        "connection",
        "every",
        "no_credentials",
        "reads_credentials",
        "reads_responses",
        "responses",
        "self_explanatory",
        "unreadable",
        "wrappers",
    )

    def __init__(
        self,
        *,
        every: Types = (),
        responses: Types = (),
        connection: Types = (),
        unreadable: Types = (),
        no_credentials: Types = (),
        self_explanatory: Types = (),
        wrappers: Types = (),
        reads_credentials: frozenset[str] = frozenset(),
        reads_responses: frozenset[str] = frozenset(),
    ) -> None:
        self.every = every
        self.responses = responses
        self.connection = connection
        self.unreadable = unreadable
        self.no_credentials = no_credentials
        self.self_explanatory = self_explanatory
        self.wrappers = wrappers
        self.reads_credentials = reads_credentials
        self.reads_responses = reads_responses


_DIRECT: Final = ErrorKinds(
    every=(direct.DirectError,),
    responses=(direct.ResponseError,),
    connection=(direct.TransportError,),
    unreadable=(direct.UnreadableResponseError,),
    no_credentials=(direct.NoCredentialsError,),
)
_NONE: Final = ErrorKinds()


def kinds_of(error: Exception) -> ErrorKinds:
    """Return the types of the client that may have raised the error.

    Does not import botocore: without it, no error can be one of botocore's.
    """
    if isinstance(error, direct.DirectError):
        return _DIRECT
    if "botocore" not in sys.modules:
        return _NONE
    from service_keys.store.botocore_errors import BOTOCORE

    return BOTOCORE
