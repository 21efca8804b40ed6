"""How a server is set up."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What `bcp-analytics serve` is told. Sizes are in bytes, times in seconds."""

    dsn: str
    """Of a role that has bcp_admin: each request then runs as bcp_writer, bcp_reader or bcp_admin."""
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
    """How many connections to the database there may be."""
    tick: float = 1.0
    """How often the stream tells what is new."""
    max_watchers: int = 500
    """How many may watch the stream at the same time."""
    access_log: bool = True

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
