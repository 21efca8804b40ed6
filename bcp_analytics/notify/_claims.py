"""A message as a notifier claims it, and how an attempt fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

Kind = Literal["webhook", "slack", "email", "alertmanager", "apprise"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of bcp_internal.claim_notifications."""

    delivery_id: UUID
    claim: int
    channel_name: str
    kind: Kind
    config: dict[str, Any]
    secret: str | None
    host: str | None
    reach: Literal["named", "public", "refused"]
    about: Literal["alerts", "digest", "test"]
    payload: dict[str, Any]
    created_at: datetime

    def __repr__(self) -> str:
        """Say which it is, and nothing that it holds: a traceback may show it."""
        return f"<message {self.delivery_id}>"

    @property
    def message_id(self) -> str:
        """The id under which each attempt is sent."""
        return f"msg_{self.delivery_id}"


class NotDelivered(Exception):  # noqa: N818 - an outcome, which is written down
    """An attempt failed. The text is for the log, and has no secret, address or answer in it."""

    def __init__(self, error: str, *, final: bool = False, retry_after: float | None = None) -> None:
        """Keep why, whether no other attempt makes sense, and how many seconds the other side asked for."""
        super().__init__(error)
        self.error = error
        self.final = final
        self.retry_after = retry_after
