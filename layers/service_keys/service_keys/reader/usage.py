"""The usage stamp of a read: decide if `lastUsed` is due, and write it.

`lastUsed` is accurate to two minutes, and a failed write never fails a read.

The first use of a key after each refresh writes the stamp, unless the snapshot holds one younger than about a minute. A
snapshot is fresh for a minute, so `lastUsed` lags by at most two minutes. Later refreshes of other containers read the
new stamp, so a fleet of thousands writes about once a minute per key.

A malformed or future stamp counts as absent: every consumer can write any value, and a compromised one could otherwise
stop the usage stamps of a key permanently.

The interval is jittered (45-60 s) per attempt. Otherwise all containers would attempt the same conditional write at
once and pay for the failed ones.
"""

from __future__ import annotations

import random

from service_keys.core.timestamps import format_timestamp, is_past
from service_keys.errors import ServiceKeysError
from service_keys.store.aws_errors import any_failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from service_keys.core.consumer_models import EncryptedKey
    from service_keys.store.consumer_repository import ConsumerRepository

STAMP_INTERVAL_SECONDS: Final = 60
"""Maximum age of a stamp before a use renews it."""
STAMP_JITTER_SECONDS: Final = 15
"""Maximum reduction of the interval, chosen at random."""


def stamp_if_due(repository: ConsumerRepository, key: EncryptedKey, *, at: float) -> None:
    """Write the usage stamp of a key, if the stored one is older than about a minute.

    Logs errors of AWS instead of raising them; the next refresh retries.

    Args:
        repository: The repository of keys.
        key: The key, as just read.
        at: The current time, in seconds since the Unix epoch.
    """
    limit = STAMP_INTERVAL_SECONDS - STAMP_JITTER_SECONDS * random.random()  # noqa: S311 - jitter, not security
    at_ms = int(at * 1000)
    used_at, if_older_than = format_timestamp(at_ms), format_timestamp(int((at - limit) * 1000))
    last_used, false_stamp = key.last_used, None
    if last_used is not None and not is_past(last_used, at_ms=at_ms):
        last_used, false_stamp = None, last_used
    if last_used is not None and last_used > if_older_than:
        return
    try:
        with any_failure("DynamoDB"):
            repository.stamp_usage(key.id, used_at=used_at, if_older_than=if_older_than, false_stamp=false_stamp)
    except ServiceKeysError as error:
        # Lambda has imported it; elsewhere it costs a third of the imports of a first read.
        import logging

        logging.getLogger(__name__).warning("The usage stamp of %s could not be written: %s", key.id, error)
