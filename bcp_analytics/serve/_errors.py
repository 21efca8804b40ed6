"""Refusals, and how the JSON routes say them: {"error": {"message": ..., "hint": ...}}."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

# Until a client should come again, in seconds.
RETRY_AFTER = 1


class Refused(Exception):  # noqa: N818 - a refusal is no fault of the server's
    """A request that is not served: `status` is that of HTTP, and `message` and `hint` are for the client.

    Neither repeats what the client sent.
    """

    def __init__(
        self, status: int, message: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Keep the parts."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})


class StoreAway(Refused):
    """The database cannot be reached, or was lost: nothing of this request is known to be stored."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(
            503,
            "The database cannot be reached.",
            hint="Send the request again: nothing that was not answered 200 is lost by that.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )


class Busy(Refused):
    """No connection to the database came free in time, most likely because requests that run use all."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(
            503,
            "No connection to the database is free.",
            hint="Send the request again, and fewer at the same time.",
            headers={"Retry-After": str(RETRY_AFTER)},
        )


async def refusal(_: Request, error: Exception) -> Response:
    """Answer a `Refused` as JSON."""
    assert isinstance(error, Refused)  # noqa: S101 - registered for no other
    return in_json(error)


def in_json(error: Refused) -> Response:
    """Return the answer to a request that is not served."""
    said = {"message": error.message} | ({"hint": error.hint} if error.hint else {})
    return JSONResponse({"error": said}, error.status, error.headers)
