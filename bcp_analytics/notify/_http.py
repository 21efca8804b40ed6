"""Sending by HTTP: to a checked address, without redirects, within bounds of time and size."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from bcp_analytics.notify._addresses import Address, resolve
from bcp_analytics.notify._bodies import http_message
from bcp_analytics.notify._claims import Claim, NotDelivered

if TYPE_CHECKING:
    import socket

_TIMEOUT = aiohttp.ClientTimeout(total=15, connect=10)
# Of an answer so much is read, for the connection's sake, and nothing of it is kept.
_MOST = 4096
_GONE = 410
_BUSY = {429, 503}


class _Checked(AbstractResolver):
    """Answers with the addresses that were checked."""

    def __init__(self, addresses: list[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = 0,  # type: ignore[assignment]
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)
            for kind, address in self._addresses
            if family in {0, kind}
        ]

    async def close(self) -> None:
        pass


def _why(error: Exception) -> str:
    """Say in a few words what went wrong, without what the other side said."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return "TLS: the certificate is not valid for the host"
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return "TLS: the connection could not be secured"
    if isinstance(error, aiohttp.ClientConnectorError):
        # Its own text names the address.
        number = error.os_error.errno
        return f"no connection: {os.strerror(number) if number else 'refused'}"
    if isinstance(error, aiohttp.ServerDisconnectedError | ConnectionError):
        return "the connection broke"
    return f"HTTP failed: {type(error).__name__}"


def _retry_after(headers: Any) -> float | None:  # noqa: ANN401 - aiohttp's own
    value = headers.get("retry-after", "")
    return float(value) if value.isdecimal() and len(value) < 7 else None  # noqa: PLR2004


async def send(claim: Claim) -> None:
    """Send a message; raises `NotDelivered`."""
    text, body, headers = http_message(claim, datetime.now(UTC))
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        url, port = URL(), None
    # The database has read the host of the URL, and checked it: what reads another one is wrong.
    if port is None or (url.host or "").lower() != claim.host or url.user is not None:
        raise NotDelivered("the URL cannot be read", final=True)
    if url.scheme == "http" and claim.reach != "named":
        raise NotDelivered("without TLS only a host goes that notification_hosts names")
    addresses = await resolve(claim, port)
    connector = aiohttp.TCPConnector(resolver=_Checked(addresses), use_dns_cache=False, force_close=True)
    try:
        async with (
            aiohttp.ClientSession(
                connector=connector,
                timeout=_TIMEOUT,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            ) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
        ):
            await answer.content.read(_MOST)
            status, said = answer.status, answer.headers
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise NotDelivered(_why(error)) from None
    if 200 <= status < 300:  # noqa: PLR2004
        return
    if 300 <= status < 400:  # noqa: PLR2004
        raise NotDelivered(f"HTTP {status}: a redirect, which is not followed")
    # Standard Webhooks: 410 says that nobody wants this any more.
    raise NotDelivered(
        f"HTTP {status}", final=status == _GONE, retry_after=_retry_after(said) if status in _BUSY else None
    )
