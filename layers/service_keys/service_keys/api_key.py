"""What a reader gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service_keys.material import KeyMaterial


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

    __slots__ = ("_parts", "_text", "id", "name", "service", "version")

    def __init__(self, material: KeyMaterial, *, id: str, name: str, service: str, version: int) -> None:  # noqa: A002
        self.id = id
        self.name = name
        self.service = service
        self.version = version
        plaintext = material.reveal()
        self._text: str | None = plaintext if isinstance(plaintext, str) else None
        self._parts: dict[str, str] = {} if isinstance(plaintext, str) else plaintext

    @property
    def value(self) -> str:
        """The key.

        Raises:
            TypeError: The key has named parts.
        """
        if self._text is None:
            parts, first = ", ".join(self._parts), next(iter(self._parts), "")
            raise TypeError(f"The key of {self.service} has parts ({parts}). Read one of them: key[{first!r}].")
        return self._text

    def __getitem__(self, part: str) -> str:
        if part not in self._parts:
            known = ", ".join(self._parts) or "none: it is one string, key.value"
            raise KeyError(f"The key of {self.service} has no part {part!r}. It has {known}.")
        return self._parts[part]

    def keys(self) -> Iterator[str]:
        """Return the names of the parts."""
        return iter(self._parts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __contains__(self, part: object) -> bool:
        return part in self._parts

    def __len__(self) -> int:
        return len(self._parts)

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
