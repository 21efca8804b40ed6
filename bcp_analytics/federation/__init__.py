"""Federation: a head, a migrated database without events, asks stores that each hold some bundles.

`add` makes a database a head and adds a shard, `remove` takes one away, `shards` lists them, `check` says
whether their answers can be added up, and `share_keys` gives all of them one key, so that one person has one
hash. `connections` says where each shard is, for what must be done on each. They need the role that migrated
the head. `missing_shards` says which shards the latest answer lacks,
to whoever asked. docs/how-to/federate.md says how to use them.
"""

from __future__ import annotations

from bcp_analytics.federation._answers import missing_shards
from bcp_analytics.federation._check import Finding, check
from bcp_analytics.federation._keys import share_keys
from bcp_analytics.federation._shards import Shard, add, connections, remove, shards

__all__ = [
    "Finding",
    "Shard",
    "add",
    "check",
    "connections",
    "missing_shards",
    "remove",
    "shards",
    "share_keys",
]
