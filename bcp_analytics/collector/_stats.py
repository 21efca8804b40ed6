"""What a collector says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - as in the models, the types are to be read
from typing import Literal

State = Literal["ok", "retrying", "spooling", "blocked", "closed", "failed", "dead"]


@dataclass(frozen=True, slots=True)
class CollectorStats:
    """Counts in events since the collector was made; in a forked child, since the fork.

    Nothing goes missing between them, at any time:
    recorded + adopted = stored + duplicates + rejected + spooled + buffered + dropped + corrupt.
    """

    recorded: int
    """Given to record(), record_error(), metric(), touch_session() and end_session()."""
    sent: int
    """Of those and the adopted: answered for by the database."""
    stored: int
    """Became rows."""
    duplicates: int
    """Had been taken in before, such as by a commit whose answer was lost."""
    rejected: int
    """In bcp.rejected_events; or, where the database refused a whole batch, in a .rejected file."""
    spooled: int
    """On disk now and not known to be in the database; with durable=True that is all that is under way."""
    dropped: int
    """Lost, for want of room in the spool or in memory, or recorded after close()."""
    buffered: int
    """In memory only: lost if the process is killed now."""
    adopted: int
    """Found in the spools of collectors that had ended, and taken over."""
    corrupt: int
    """Were in the spool and could not be read back; their bytes are in a .corrupt file."""
    batches: int
    """Batches that the database answered for."""
    retries: int
    """Attempts to send that failed and will be, or were, made again."""
    spooled_bytes: int
    """Size of the spool's files."""
    damaged: int
    """Places in spool files that could not be read: torn ends, flipped bits."""
    state: State
    """ok: the latest batch arrived, or none was sent yet. retrying: an attempt failed, the next is soon.
    spooling: the database is away, events go to disk. blocked: and the disk takes no more. failed: as
    spooling, for a reason that somebody must mend, such as a wrong password or a missing migration; still
    tried, now and then. dead: the thread that sends has ended, or could not be started; what is recorded is
    kept until close() or flush() writes it to the spool. closed: after close()."""
    error: str | None
    """What is wrong now: class and SQLSTATE, such as "ReadOnlySqlTransaction 25006", or the system's code, as
    in "OSError ENOSPC". None while nothing is."""
    last_error: str | None
    """The latest error, which may be over; None before the first."""
    last_error_at: datetime | None
    """When that was."""
