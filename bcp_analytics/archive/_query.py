"""DuckDB over the files that the manifest says are proven, and over nothing else.

A query may come from somebody who may read the store and not this machine: DuckDB could read any file, fetch
any address, and write over the archive itself.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from obstore.fsspec import FsspecStore

from bcp_analytics.archive._store import Store, s3_client_options
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bcp_analytics.archive._model import Archive

# The order matters: what is allowed is named before access ends, and the lock comes last.
_LOCKED = (
    "set timezone = 'UTC'",
    "set autoload_known_extensions = false",
    "set allow_community_extensions = false",
    "set allow_persistent_secrets = false",
    # Or a query could name the variables of this program.
    "set python_enable_replacements = false",
    "set enable_external_access = false",
    "set lock_configuration = true",
)
_WRITES = re.compile("COPY|INSERT|UPDATE|DELETE|MERGE|CREATE|EXPORT|ATTACH")


class _ReadOnly(FsspecStore):
    """The bucket, of which nothing is changed."""

    def _open(self, path: str, mode: str = "rb", *rest: Any, **options: Any) -> Any:  # noqa: ANN401 - fsspec's
        if mode != "rb":
            raise PermissionError("a query changes nothing in an archive")
        return super()._open(path, mode, *rest, **options)


def run(archives: Sequence[Archive], sql: str) -> pa.Table:
    """Answer a query; see `bcp_analytics.archive.query`."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for archive in archives:
        store = Store(archive.location)
        files[archive.table_name] += [store.uri(_inside(file["path"])) for file in archive.files]
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as db:
        if any(archive.location.startswith("s3://") for archive in archives):
            # Not DuckDB's own extension, which it would have to download; nor a store that fsspec has kept:
            # AWS_* may name another now.
            db.register_filesystem(
                _ReadOnly("s3", client_options=s3_client_options(), skip_instance_cache=True)  # type: ignore[call-overload]
            )
        try:
            db.execute(f"set allowed_paths = [{_listed(path for paths in files.values() for path in paths)}]")
            for setting in _LOCKED:
                db.execute(setting)
            for table, paths in files.items():
                if paths:
                    db.execute(
                        f'create view "{table}" as select * from'  # noqa: S608 - names of our own tables
                        f" read_parquet([{_listed(paths)}], hive_partitioning = true, union_by_name = true)"
                    )
            _check(db, sql)
            found = db.sql(sql)
            return found.to_arrow_table() if found is not None else pa.table({})
        except duckdb.Error as error:
            names = ", ".join(sorted(table for table, paths in files.items() if paths)) or "none"
            raise ArchiveError(
                f"DuckDB refused the query: {str(error).strip()}",
                hint=f"The tables there are archives of: {names}.",
            ) from error


def _inside(path: str) -> str:
    """Return a file's path within the location; raises `ArchiveError` where it leads out of it."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ArchiveError("The manifest names a file outside of its archive's location.")
    return path


def _listed(paths: Iterable[str]) -> str:
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths)


def _check(db: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise `ArchiveError` for anything but one query that only reads.

    A COPY may be inside of a SELECT, and the archive's own files are open to it: so what DuckDB would do is
    looked at, not what the query looks like.
    """
    statements = db.extract_statements(sql)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise _only_reads()
    [(_, plan)] = db.execute(f"explain (format json) {statements[0].query}").fetchall()
    if any(map(_WRITES.search, _operators(json.loads(plan)))):
        raise _only_reads()


def _operators(plan: list[dict[str, Any]]) -> Iterable[str]:
    for operator in plan:
        yield operator["name"]
        yield from _operators(operator["children"])


def _only_reads() -> ArchiveError:
    return ArchiveError(
        "An archive takes one SELECT at a time, and nothing that writes.",
        hint="WITH, VALUES, DESCRIBE, SUMMARIZE and PIVOT ... IN (...) are of that kind, too.",
    )
