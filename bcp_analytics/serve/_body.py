"""The body of a request, whole: within bounds before and after it is decompressed."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

from bcp_analytics.serve import _patience
from bcp_analytics.serve._errors import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""What tells zlib which header to expect."""
_MOST_MEMBERS = 100
# A few kilobytes of gzip can be millions of values in JSON, of which the database makes gigabytes.
_MOST_VALUES = 2_000_000


async def read_body(request: Request, *, limit: int, decoded_limit: int) -> bytes:
    """Return the body, decompressed.

    Raises `Refused`: 408 where it takes too long to come, 413 where it is larger than `limit` as sent or than
    `decoded_limit` decompressed, 415 where its encoding is not known, 400 where it cannot be decompressed.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"} and encoding not in _WINDOW_BITS:
        raise Refused(
            415, "The body has a Content-Encoding that is not known.", hint="Send gzip, deflate or none."
        )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async with asyncio.timeout(_patience.BODY_S):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
    except ClientDisconnect:
        raise Refused(400, "The body ended early.") from None
    except TimeoutError:
        raise Refused(408, "The body did not come in time.") from None
    body = b"".join(parts)
    if encoding in {"", "identity"}:
        return body
    return await asyncio.to_thread(_decompressed, body, _WINDOW_BITS[encoding], decoded_limit)


def _decompressed(body: bytes, window_bits: int, limit: int) -> bytes:
    found, rest, members = bytearray(), body, 0
    # A body may be several members in a row, which are one text. Each copies what is left after it, so many
    # empty ones would cost hours.
    while rest:
        members += 1
        if members > _MOST_MEMBERS:
            raise _not_decompressed()
        stream = zlib.decompressobj(window_bits)
        try:
            # One byte more than allowed is enough to know: no more is made of what would become a gigabyte.
            found += stream.decompress(rest, limit + 1 - len(found))
        except zlib.error:
            raise _not_decompressed() from None
        if len(found) > limit:
            raise _too_large(limit, " decompressed")
        if not stream.eof:
            raise _not_decompressed()
        rest = stream.unused_data
    return bytes(found)


def check_values(body: bytes) -> None:
    """Raise `Refused` with 413 where there are too many values in JSON.

    Each but the first of an array or an object has a comma before it.
    """
    if body.count(b",") >= _MOST_VALUES:
        raise too_many(_MOST_VALUES, "values")


def too_many(most: int, what: str) -> Refused:
    return Refused(413, f"The body has more than {most} {what}.", hint="Send fewer events in a request.")


def _not_decompressed() -> Refused:
    return Refused(400, "The body is not what its Content-Encoding says.")


def _too_large(limit: int, how: str = "") -> Refused:
    return Refused(
        413,
        f"The body is larger than {limit} bytes{how}.",
        hint="Send fewer events in a request.",
    )
