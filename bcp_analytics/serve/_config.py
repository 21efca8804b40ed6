"""How a server is set up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from pathlib import Path

_HOST = re.compile(r"[^\s:/@\[\]]+|\[[0-9a-fA-F:.]+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What `bcp-analytics serve` is told. Sizes are in bytes, times in seconds."""

    dsn: str
    """Of a role that has bcp_admin: each request then runs as bcp_writer, bcp_reader or bcp_admin."""
    read_dsn: str | None = None
    """Of a standby, which answers questions in place of `dsn`; of the same role."""
    host: str = "127.0.0.1"
    port: int = 8787
    allowed_hosts: tuple[str, ...] = ()
    """Names in the header Host that are answered, beside those of this machine's loopback and `host`."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_body: int = 4 * 1024 * 1024
    """Of a request's body as it was sent."""
    max_decoded_body: int = 16 * 1024 * 1024
    """Of a request's body once it is decompressed."""
    statement_timeout: float = 30.0
    """How long one statement may run in the database."""
    connections: int = 8
    """How many connections to the database there may be, and as many to the standby."""
    tick: float = 1.0
    """How often the stream tells what is new."""
    max_watchers: int = 500
    """How many may watch the stream at the same time."""
    access_log: bool = True
    allow_resolve: bool = False
    """Whether agents with the token of an administrator may resolve issues, by /mcp."""
    notify: bool = True
    """Whether it sends alerts to the channels of the store, as `bcp-analytics notify` does."""

    def __post_init__(self) -> None:
        """Raise `BcpAnalyticsError` for what no request could ever match."""
        for proxy in self.trusted_proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise BcpAnalyticsError(
                    f"{proxy!r} is no address of a proxy.",
                    hint="Write an address, such as 127.0.0.1, or a network, such as 10.0.0.0/8.",
                ) from None
        for name in self.allowed_hosts:
            if not _HOST.fullmatch(name):
                raise BcpAnalyticsError(
                    f"{name!r} is no name of a host.",
                    hint="Write it without scheme, port and path, such as bcp.example.com or [::1].",
                )

    @property
    def public(self) -> bool:
        """Whether others than this machine can reach it."""
        try:
            return not ip_address(self.host).is_loopback
        except ValueError:
            return self.host != "localhost"

    @property
    def hosts(self) -> frozenset[str]:
        """All names in the header Host that are answered, in lower case and without a port."""
        own = {"localhost", "127.0.0.1", "[::1]", f"[{self.host}]" if ":" in self.host else self.host}
        return frozenset(name.lower() for name in own | set(self.allowed_hosts))
