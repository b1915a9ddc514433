"""The error for a missing dependency of the admin API. Consumers need none of these packages."""

from __future__ import annotations


def missing(error: ImportError) -> ImportError:
    """Return the error that states how to install the packages of the admin API, for a failed import of one."""
    return ImportError(
        f"service_keys.admin needs pydantic and Powertools, which cannot be imported ({error}). In a Lambda function "
        "attach the stack's AdminLayer, which is for python3.13 and the stack's architecture; elsewhere run "
        "pip install 'service-keys[admin]'. To read keys, import service_keys, which needs neither.",
        name=error.name,
        path=error.path,
    )
