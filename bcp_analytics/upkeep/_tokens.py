"""Upkeep of the tokens of `bcp-analytics serve`."""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from bcp_analytics._core.function import Arguments, question, scalar


@scalar(str)
def create_api_token(
    token_name: str,
    role: Literal["ingest", "reader", "admin"],
    *,
    vantage: Literal["server", "client"] | None = None,
    expires_at: datetime | None = None,
) -> Arguments:
    """Makes a token for HTTP, and returns it: keep it, since only its SHA-256 is stored and nobody can show
    it again.

    `role`: ingest may send events and read nothing; reader may ask questions; admin may do both, watch the
    live stream, and change what an administrator may. `vantage`, of ingest alone: server (the default) for a
    sender that runs the tools, client for one that calls them. Without `expires_at` the token does not
    expire. Raises `InvalidArgument` where an argument is out of its bounds or the name is taken. For
    bcp_admin.
    """
    return locals()


@scalar(bool)
def revoke_api_token(token_name: str) -> Arguments:
    """Revokes the token of this name, and returns whether there was one.

    Servers that run refuse it within five seconds, and close streams that it opened within a minute. For
    bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token for HTTP, without the token itself."""

    token_name: str
    role: Literal["ingest", "reader", "admin"]
    vantage: Literal["server", "client"] | None
    state: Literal["valid", "expired", "revoked"]
    """Valid, expired or revoked."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """Within a minute, None where it was never used."""


@question(ApiToken)
def api_tokens() -> Arguments:
    """Which tokens for HTTP are there?

    One row per token, latest first, revoked ones too. state is valid, expired or revoked; last_used_at is
    within a minute, None where it was never used. The tokens themselves are not stored. For bcp_admin.
    """
    return locals()
