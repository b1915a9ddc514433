"""Generate docs/services.md: ``python -m tools.generate_services_doc``, or ``make docs``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from service_keys.admin.services import SERVICES
from tools.generate_template import reader_policy

if TYPE_CHECKING:
    from service_keys.admin.services.definition import KeyField, ServiceDefinition

_HEAD: Final = """\
<!-- Made by `make docs` from layers/service_keys/service_keys/admin/services. Change that, then make it again. -->
# Known services

Service Keys knows the format of these services' keys and checks it when a key is stored. Keys of any other service are
stored as they are; [consumers.md](consumers.md#a-service-that-has-no-policy) has the policy for their readers. "Verify"
says if `POST …/verify` can ask the service whether it accepts a key. A field in brackets can be left out.

| service | title | key | verify | policy for readers |
| --- | --- | --- | --- | --- |
"""


def document() -> str:
    """Return the Markdown text."""
    return _HEAD + "".join(
        f"| `{name}` | {service.title} | {_key(service)} | {'yes' if service.verifiable else 'no'} "
        f"| `{reader_policy(name)}` |\n"
        for name, service in SERVICES.items()
    )


def _key(service: ServiceDefinition) -> str:
    if service.fields[0].name is not None:
        return _object(service.fields)
    return f"a string, or {_object(service.object_fields)}" if service.object_fields else "a string"


def _object(fields: tuple[KeyField, ...]) -> str:
    return "an object: " + ", ".join(f"`{field.name}`" if field.required else f"(`{field.name}`)" for field in fields)


if __name__ == "__main__":
    sys.stdout.write(document())
