"""The last-used stamp: cheap, never a reason for a read to fail, and true to within two minutes.

A reader stamps a key on the first use after each look into the table, and only where the stamp it found there is about
a minute old. A look is good for a minute, so a stamp trails the use by at most two; and since whoever looks later finds
the new stamp, a fleet of thousands writes about once a minute for each key.

A stamp that no reader can have written, for it is malformed or in the future, counts as absent. Each consumer may write
any value, so that a compromised one could otherwise end the stamps of a key for good.

About a minute: with a limit that all shared, every container that looked before the first one's stamp arrived would try
one too, and pay for being refused. Each draws its own, somewhat less than a minute, so that one is well ahead.
"""

from __future__ import annotations

import logging
import random
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from service_keys.core.models import is_past
from service_keys.core.timestamps import format_timestamp
from service_keys.errors import ServiceKeysError

if TYPE_CHECKING:
    from service_keys.core.models import EncryptedKey
    from service_keys.store.repository import KeyRepository

STAMP_INTERVAL_SECONDS: Final = 60
"""How old a stamp is at most before it is renewed."""
STAMP_JITTER_SECONDS: Final = 15
"""How much earlier it may be."""

_logger = logging.getLogger(__name__)


def stamp_if_due(repository: KeyRepository, key: EncryptedKey, *, at: float) -> None:
    """Note that a key is used, if that was not noted in about the last minute.

    Never raises: the next look is time enough to try again.

    Args:
        repository: The table.
        key: The key, as it was just read.
        at: Now, in seconds since the Unix epoch.
    """
    limit = STAMP_INTERVAL_SECONDS - STAMP_JITTER_SECONDS * random.random()  # noqa: S311 - spreads, hides nothing
    at_ms = int(at * 1000)
    used_at, if_older_than = format_timestamp(at_ms), format_timestamp(int((at - limit) * 1000))
    last_used, false_stamp = key.last_used, None
    if last_used is not None and not is_past(last_used, at_ms=at_ms):
        last_used, false_stamp = None, last_used
    if last_used is not None and last_used > if_older_than:
        return
    try:
        repository.stamp_usage(key.id, used_at=used_at, if_older_than=if_older_than, false_stamp=false_stamp)
    except (ServiceKeysError, BotoCoreError, ClientError) as error:
        # By its type alone: a botocore error may quote what it was given.
        reason = str(error) if isinstance(error, ServiceKeysError) else type(error).__name__
        _logger.warning("The last use of %s could not be noted: %s", key.id, reason)
