"""DuckDB over the files that the manifest says are proven."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
from obstore.fsspec import FsspecStore

from bcp_analytics.archive._store import Store, s3_client_options
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bcp_analytics.archive._model import Archive


def run(archives: Sequence[Archive], sql: str) -> pa.Table:
    """Answer a query; see `bcp_analytics.archive.query`."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for archive in archives:
        store = Store(archive.location)
        files[archive.table_name] += [store.uri(file["path"]) for file in archive.files]
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as db:
        if any(archive.location.startswith("s3://") for archive in archives):
            # Not DuckDB's own extension, which it would have to download; nor a store that fsspec has kept:
            # AWS_* may name another now.
            db.register_filesystem(
                FsspecStore("s3", client_options=s3_client_options(), skip_instance_cache=True)  # type: ignore[call-overload]
            )
        try:
            db.execute("set timezone = 'UTC'")
            for table, paths in files.items():
                if paths:
                    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
                    db.execute(
                        f'create view "{table}" as select * from'  # noqa: S608 - names of our own tables
                        f" read_parquet([{listed}], hive_partitioning = true, union_by_name = true)"
                    )
            found = db.sql(sql)
            return found.to_arrow_table() if found is not None else pa.table({})
        except duckdb.Error as error:
            names = ", ".join(sorted(table for table, paths in files.items() if paths)) or "none"
            raise ArchiveError(
                f"DuckDB refused the query: {str(error).strip()}",
                hint=f"The tables there are archives of: {names}.",
            ) from error
