"""Where the HTTP proxy listens, whom it listens to, and the one server that it talks to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bcp_analytics.errors import BcpAnalyticsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"http": 80, "https": 443}
_MAX_PORT = 65_535
_PLAIN = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on."""

    host: str
    port: int

    @classmethod
    def read(cls, value: str, *, public: bool) -> Listen:
        """Read HOST:PORT; only with `public` an address that other machines reach.

        Raises `BcpAnalyticsError`.
        """
        host, _, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]").lower()
        if not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
            raise BcpAnalyticsError(
                f"{value!r} is not an address to listen on.", hint="Write HOST:PORT, such as 127.0.0.1:9000."
            )
        if not public and not _is_loopback(host):
            raise BcpAnalyticsError(
                f"Other machines may reach {host}, and the proxy asks nobody who they are.",
                hint="Listen on 127.0.0.1, or add --public if the network may use the server.",
            )
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server whose calls are recorded."""

    origin: str
    path: str
    query: str

    @classmethod
    def read(cls, url: str) -> Upstream:
        """Read a URL; raises `BcpAnalyticsError`, whose text does not repeat what may be secret of it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if not host or not _PLAIN.fullmatch(url) or parts.scheme not in _PORTS:
            raise BcpAnalyticsError(
                "The server's address is not a URL of http or https.",
                hint="Write it as clients do, such as --upstream http://127.0.0.1:8000/mcp.",
            )
        if parts.username is not None or parts.fragment:
            raise BcpAnalyticsError(
                "The server's address has a user or a fragment in it.",
                hint="Leave them out. Passwords belong into the headers of the client, which are passed on.",
            )
        name = f"[{host}]" if ":" in host else host
        suffix = "" if port in {None, _PORTS[parts.scheme]} else f":{port}"
        return cls(f"{parts.scheme}://{name}{suffix}", parts.path or "/", parts.query)

    def url(self, query: str) -> str:
        """Return where to send a request with this query."""
        asked = "&".join(part for part in (self.query, query) if part)
        return f"{self.origin}{self.path}{'?' if asked else ''}{asked}"

    def is_at(self, listen: Listen) -> bool:
        """Whether it is the proxy itself, as far as names tell."""
        parts = urlsplit(self.origin)
        port = parts.port or _PORTS[parts.scheme]
        return port == listen.port and _is_loopback(parts.hostname or "") and _is_loopback(listen.host)


class Guard:
    """Refuses requests that a page in somebody's browser has made: DNS can give its name our address.

    Such a request has the page's name as its Host, and the page's origin as its Origin.
    """

    def __init__(self, listen: Listen, allowed: Iterable[str], path: str) -> None:
        """Let requests pass that are for a local name, for `listen` or for one of `allowed`."""
        self._names = _LOCAL | {listen.host} | {name.lower().strip("[]") for name in allowed}
        self._path = path.encode()

    def refusal(self, scope: Any) -> tuple[int, str] | None:  # noqa: ANN401 - of ASGI
        """Return status and reason why a request is not passed on, None where it is."""
        headers = scope["headers"]
        hosts = [value for name, value in headers if name == b"host"]
        origins = [value for name, value in headers if name == b"origin"]
        if not hosts or not all(self._knows(b"//" + host) for host in hosts):
            return 421, "The request's Host is none of those that the proxy serves: see --allow-host."
        if not all(self._knows(origin) for origin in origins):
            return 403, "The request's Origin is none of those that the proxy serves: see --allow-host."
        if scope["raw_path"] != self._path:
            return 404, f"Nothing is here: the server is at {self._path.decode()}."
        return None

    def _knows(self, url: bytes) -> bool:
        try:
            name = urlsplit(url.decode("ascii")).hostname
        except ValueError:
            return False
        return name is not None and name.removesuffix(".") in self._names


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
