"""Which headers of HTTP pass, and which are about one connection alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bcp_analytics.mcp._proxy._bodies import READABLE_CODINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

# RFC 9110, 7.6.1. Expect is answered by the server of this side.
_OF_ONE_CONNECTION = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer "
    b"transfer-encoding upgrade expect host".split()
)


def request_headers(headers: list[tuple[bytes, bytes]]) -> tuple[list[tuple[str, str]], bool]:
    """Return the headers for the server, and whether they say how long the body is.

    The server is asked for no compression but that which the recording can undo.
    """
    passed = []
    sized = False
    for name, value in _of_the_message(headers):
        sized |= name == b"content-length"
        text = value.decode()
        if name == b"accept-encoding":
            codings = [part for part in text.split(",") if _coding(part) in READABLE_CODINGS]
            text = ",".join(codings).strip() or "identity"
        passed.append((name.decode(), text))
    return passed, sized


def _coding(part: str) -> str:
    return part.partition(";")[0].strip().lower()


def response_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers for the client."""
    found = list(headers)
    chunked = any(name.lower() == b"transfer-encoding" for name, _ in found)
    return [
        # Spaces around a value are no part of it, and older versions of aiohttp leave them there.
        (name, value.strip(b" \t"))
        for name, value in _of_the_message(found)
        # Chunks say themselves how long they are: both at once is how requests are smuggled.
        if not (chunked and name.lower() == b"content-length")
    ]


def _of_the_message(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Leave out the headers that are about one connection alone."""
    named = {
        token.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for token in value.split(b",")
    }
    return [pair for pair in headers if pair[0].lower() not in _OF_ONE_CONNECTION | named]
