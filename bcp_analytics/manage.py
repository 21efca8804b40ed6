"""Upkeep: each function calls the SQL function or procedure of its name.

All take a psycopg connection first, sync or async, and raise psycopg's own errors, such as
`InsufficientPrivilege` for a role that may not.
"""

from __future__ import annotations

from bcp_analytics._function import Arguments, procedure, scalar


@procedure
def refresh_analytics_views() -> Arguments:
    """Bring every continuous aggregate up to the last bucket that is over, now.

    A job does it every five minutes, and answers are fresh without it; but rows that come late, for a time
    that is already aggregated, show only after it. Only the role that migrated the database may. It commits
    along the way, so the connection must be in autocommit mode: raises `InvalidArgument` where it is not.
    """
    return {}


@scalar(int)
def apply_policies() -> Arguments:
    """Carry out bcp.settings and bcp.data_retention_policies; for bcp_admin.

    Returns how many things that changed: 0 where all was as they say.
    """
    return {}


@scalar(int)
def rotate_anonymization_key() -> Arguments:
    """Make a new key for the anonymiser and return its number; for bcp_admin.

    From then on the same person has another hash.
    """
    return {}
