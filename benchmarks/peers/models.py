"""What the peers take and show: pydantic models, as both frameworks document them."""
# ruff: noqa: N815 - the names are those of the JSON

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=2, max_length=100)]
Service = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
Key = Annotated[str, StringConstraints(min_length=8, max_length=4000)] | dict[str, str]


class CreateKey(BaseModel):
    """A new key."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    service: Service
    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    active: bool = True
    key: Key


class UpdateKey(BaseModel):
    """What to change."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Annotated[str, StringConstraints(max_length=500)] | None = None
    active: bool | None = None
    key: Key | None = None


class Verification(BaseModel):
    """The result of the last check."""

    status: str
    checkedAt: str
    detail: str


class ShownKey(BaseModel):
    """A key, masked."""

    id: str
    name: str
    service: str
    description: str | None = None
    active: bool
    maskedKey: str | dict[str, str]
    createdAt: str
    createdBy: str
    updatedAt: str
    updatedBy: str
    keyUpdatedAt: str
    lastUsed: str | None = None
    version: int
    verification: Verification | None = None


class Pagination(BaseModel):
    """Where the next page begins."""

    limit: int
    nextCursor: str | None


class Shown(BaseModel):
    """The answer about one key."""

    success: bool = True
    data: ShownKey
    requestId: str


class Listed(BaseModel):
    """The answer of a list."""

    success: bool = True
    data: list[ShownKey]
    pagination: Pagination
    requestId: str


class Deleted(BaseModel):
    """The answer of a delete."""

    success: bool = True
    message: str = "API key deleted successfully"
    requestId: str


Limit = Annotated[int, Field(ge=1, le=100)]
