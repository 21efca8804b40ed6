"""What a client is told where the store takes nothing in."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

import psycopg

from bcp_analytics.errors import AnonymizerFailed, BcpAnalyticsError
from bcp_analytics.serve._errors import RETRY_AFTER, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_FLOOD = "53400"
_FLOOD_ENDS = 60
# Deadlocks and failed serialisations, lack of resources, locks that others hold, and a database that takes
# nothing in, as a standby before it takes over: another try may succeed.
_PASSES = ("40", "53", "55P03", "25006")


@contextlib.contextmanager
def told_apart() -> Iterator[None]:
    """Raise `Refused` for what the store raises: whether to send the same again, and when.

    Messages of the database other than the store's own are not passed on: they may repeat a value.
    """
    try:
        yield
    except AnonymizerFailed:
        log.exception("nothing is stored, because the anonymiser cannot work")
        raise _later("The store takes nothing in: its anonymiser cannot work.") from None
    except BcpAnalyticsError as error:
        raise Refused(400, error.message, hint=error.hint) from None
    except psycopg.Error as error:
        if error.sqlstate == _FLOOD:
            raise Refused(
                429,
                "The store takes no more from this sender now: too many new names.",
                headers={"Retry-After": str(_FLOOD_ENDS)},
            ) from None
        if error.sqlstate is not None and error.sqlstate.startswith(_PASSES):
            raise _later("The store is busy.") from None
        raise


def _later(message: str) -> Refused:
    return Refused(503, message, headers={"Retry-After": str(RETRY_AFTER)})
