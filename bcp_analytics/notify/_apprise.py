"""Sending by Apprise, for what has no kind of its own. It connects by itself, to where nobody checks."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING

from bcp_analytics.notify._claims import Claim, NotDelivered
from bcp_analytics.notify._texts import texts

if TYPE_CHECKING:
    from typing import Any

_WHOLE = 40.0


def _send(apprise: Any, claim: Claim) -> bool:  # noqa: ANN401 - a package that may not be there
    target = apprise.Apprise()
    title, lines = texts(claim)
    return bool(target.add(claim.secret)) and bool(
        target.notify(title=title, body="\n".join(lines), body_format="text", interpret_escapes=False)
    )


async def send(claim: Claim) -> None:
    """Send a message; raises `NotDelivered`."""
    if claim.reach != "named":
        raise NotDelivered("the setting notification_hosts does not allow this service of Apprise")
    try:
        apprise = import_module("apprise")
    except ImportError:
        raise NotDelivered('Apprise is not installed: pip install "bcp_analytics[apprise]"') from None
    # What it logs has parts of URLs in it, and answers.
    logging.getLogger("apprise").disabled = True
    try:
        async with asyncio.timeout(_WHOLE):
            delivered = await asyncio.to_thread(_send, apprise, claim)
    except TimeoutError:
        raise NotDelivered("no answer in time") from None
    except Exception as error:  # noqa: BLE001 - it calls the code of a hundred services
        raise NotDelivered(f"Apprise failed: {type(error).__name__}") from None
    if not delivered:
        raise NotDelivered("Apprise could not deliver it")
