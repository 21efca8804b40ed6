"""What a head's answers leave out.

The function calls the SQL function of its name, and takes a psycopg connection first, sync or async.
"""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from bcp_analytics._core.function import Arguments, scalar


@scalar(list[str])
def missing_shards() -> Arguments:
    """Which shards are not in the latest answer of this session?

    Their names; empty where the answer is whole, and in a database that is no head. Shards are left out only
    where the session has said set bcp.partial = on; otherwise a shard that does not answer is an error.
    """
    return locals()
