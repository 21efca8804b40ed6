"""Archives: what is past retention as Parquet files, proven before it is dropped, and the way back.

`archive` writes chunks, `restore` brings them back, `query` asks the files with DuckDB, `rewrite` takes rows
out of an archive and `erase` a person out of all, `archives` lists the manifest. docs/reference/archive.md
has the layout of the files.

They need the extra: pip install "bcp_analytics[archive]". All take a psycopg connection in autocommit mode,
because each step is a transaction of its own, and one of a role that has bcp_admin; `query` and `archives`
need bcp_reader only, and `query` does without a connection where it is given a location.
"""

from __future__ import annotations

from bcp_analytics.archive._books import PROVEN, archives
from bcp_analytics.archive._model import Archive, ArchiveFile, Phase, Progress
from bcp_analytics.archive._public import archive, erase, forget_lake, query, restore, rewrite

__all__ = [
    "PROVEN",
    "Archive",
    "ArchiveFile",
    "Phase",
    "Progress",
    "archive",
    "archives",
    "erase",
    "forget_lake",
    "query",
    "restore",
    "rewrite",
]
