"""What a reader gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service_keys.core.secret_value import SecretValue


class ApiKey:
    """A service's key, ready to use.

    A key that is one string is ``key.value``. A key of named parts is a read-only mapping: ``key["clientId"]``, ``in``,
    ``len``, iteration over the names, ``dict(key)``, ``**key``.

    It shows its secret only where it is asked for it: ``repr``, ``str`` and f-strings do not, and neither pickle nor
    json takes it. It is not registered as a `collections.abc.Mapping`, for error reporters walk into those.

    Attributes:
        id: The key's id.
        name: The key's descriptive name.
        service: The service it is for.
        version: Grows by 1 with every change that an administrator makes.
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
        """The key.

        Raises:
            TypeError: The key has named parts.
        """
        if self._text is None:
            fields, first = ", ".join(self._fields), next(iter(self._fields), "")
            raise TypeError(f"The key of {self.service} has parts ({fields}). Read one of them: key[{first!r}].")
        return self._text

    def __getitem__(self, field: str) -> str:
        if field not in self._fields:
            known = ", ".join(self._fields) or "none: it is one string, key.value"
            raise KeyError(f"The key of {self.service} has no part {field!r}. It has {known}.")
        return self._fields[field]

    def keys(self) -> Iterator[str]:
        """Return the names of the parts."""
        return iter(self._fields)

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __contains__(self, field: object) -> bool:
        return field in self._fields

    def __len__(self) -> int:
        return len(self._fields)

    def __bool__(self) -> bool:
        """Every key counts as true, the one without parts as well."""
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
