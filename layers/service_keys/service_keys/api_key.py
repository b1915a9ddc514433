"""The key that consumers receive."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NoReturn

    from service_keys.core.secret_value import SecretValue


class ApiKey:
    """A decrypted key of a service.

    Read a single string as ``key.value``. A key with named fields is a read-only mapping: ``key["clientId"]``, ``in``,
    ``len``, iteration over the names, ``dict(key)``, ``**key``.

    ``repr``, ``str`` and f-strings omit the secret value, and pickle and json reject the object. It is not registered
    as a `collections.abc.Mapping`, because error reporters print the contents of mappings.

    Attributes:
        id: The key's id.
        name: The key's name.
        service: The external service that issued the key.
        version: The number of administrator changes; increases by 1 with each.
    """

    __slots__ = ("_fields", "_text", "id", "name", "service", "version")

    def __init__(self, secret_value: SecretValue, *, id: str, name: str, service: str, version: int) -> None:  # noqa: A002
        self.id = id
        self.name = name
        self.service = service
        self.version = version
        plaintext = secret_value.reveal()
        self._text: str | None = plaintext if isinstance(plaintext, str) else None
        self._fields: dict[str, str] = {} if isinstance(plaintext, str) else plaintext

    @property
    def value(self) -> str:
        """The secret value of a key without fields.

        Raises:
            TypeError: The key has named fields.
        """
        if self._text is None:
            fields, first = ", ".join(self._fields), next(iter(self._fields), "")
            raise TypeError(f"The key of {self.service} has fields ({fields}). Read one of them: key[{first!r}].")
        return self._text

    def __getitem__(self, field: str) -> str:
        if field not in self._fields:
            known = ", ".join(self._fields) or "none: it is one string, key.value"
            raise KeyError(f"The key of {self.service} has no field {field!r}. It has {known}.")
        return self._fields[field]

    def keys(self) -> Iterator[str]:
        """Return the names of the fields."""
        return iter(self._fields)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __contains__(self, field: object) -> bool:
        return field in self._fields

    def __len__(self) -> int:
        return len(self._fields)

    def __bool__(self) -> bool:
        """Return True, also for a key without fields."""
        return True

    def __repr__(self) -> str:
        return f"<ApiKey {self.id} {self.name!r} version {self.version}>"

    def __copy__(self) -> ApiKey:
        return self

    def __deepcopy__(self, _memo: object) -> ApiKey:
        return self

    def __getstate__(self) -> NoReturn:
        raise TypeError("An API key is not to be pickled. Read it where it is needed.")

    def __reduce__(self) -> NoReturn:
        raise TypeError("An API key is not to be pickled. Read it where it is needed.")
