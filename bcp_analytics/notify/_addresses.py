"""Which address a message may go to: whoever sets up a channel must not reach what only this machine can."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Literal

from bcp_analytics.notify._claims import NotDelivered

if TYPE_CHECKING:
    from bcp_analytics.notify._claims import Claim

_PATIENCE = 5.0
_MOST = 4
# Addresses of IPv6 that lead to one of IPv4, in their last 32 bits.
_NAT64 = IPv6Network("64:ff9b::/96")
# The rest of IPv6 is special, reserved, or was of somebody's own network once, such as fec0::/10.
_GLOBAL = IPv6Network("2000::/3")

Address = tuple[Literal[socket.AddressFamily.AF_INET, socket.AddressFamily.AF_INET6], str]


def is_public(text: str) -> bool:
    """Return whether everybody can reach an address, so that it is nobody's own."""
    address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is None and address not in _GLOBAL:
            return False
        address = inner or address
    return address.is_global and not address.is_multicast and not address.is_reserved


async def resolve(claim: Claim, port: int) -> list[Address]:
    """Return the addresses to connect to; raises `NotDelivered` where the setting does not allow them.

    The connection is made to one of these: to resolve the name again could give others.
    """
    if claim.host is None or claim.reach == "refused":
        raise NotDelivered("the setting notification_hosts does not allow the host")
    try:
        async with asyncio.timeout(_PATIENCE):
            found = await asyncio.get_running_loop().getaddrinfo(
                claim.host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
            )
    except (OSError, UnicodeError, TimeoutError):
        raise NotDelivered("the name of the host has no address") from None
    addresses: list[Address] = []
    for family, _, _, _, where in found:
        if family in {socket.AF_INET, socket.AF_INET6}:
            addresses.append((family, str(where[0])))
    if not addresses:
        raise NotDelivered("the name of the host has no address")
    if claim.reach != "named" and not all(is_public(address) for _, address in addresses):
        raise NotDelivered("the host has a private address, and notification_hosts does not name it")
    return addresses[:_MOST]
