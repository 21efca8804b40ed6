"""DuckDB over the files that the manifests say are proven, and over nothing else.

A query may come from somebody who may read the store and not this machine: DuckDB could read any file, fetch
any address, and write over the archive itself.
"""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from obstore.fsspec import FsspecStore

from bcp_analytics.archive._model import MANIFEST_SUFFIX
from bcp_analytics.archive._store import Store, location_url, s3_client_options
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from bcp_analytics.archive._model import Archive

# The order matters: the files that are allowed are named before, then access ends, and the lock comes last.
_LOCKED = (
    "set timezone = 'UTC'",
    "set autoload_known_extensions = false",
    "set allow_community_extensions = false",
    "set allow_persistent_secrets = false",
    # Otherwise a query could name the variables of this program.
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


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a query needs to know of an archive; `location` is a URL."""

    table_name: str
    location: str
    paths: list[str]


def of_archives(archives: Iterable[Archive]) -> list[Manifest]:
    """Return what the database says of archives."""
    return [Manifest(a.table_name, a.location, [file["path"] for file in a.files]) for a in archives]


def of_location(location: str | os.PathLike[str] | None) -> list[Manifest]:
    """Return what stands beside the files of a location.

    A run writes a manifest when the files are proven, and removes it with them when others take their place.
    """
    store = Store(location_url(location))
    return [_read(store, path) for path in store.names(MANIFEST_SUFFIX)]


def _read(store: Store, path: str) -> Manifest:
    content = io.BytesIO()
    store.read(path, content)
    try:
        said = json.loads(content.getvalue())
        return Manifest(str(said["table_name"]), store.url, [str(file["path"]) for file in said["files"]])
    except (ValueError, LookupError, TypeError):
        raise ArchiveError(
            f"{store.url}/{path} is no manifest of an archive.",
            hint="Somebody has changed it, or cut it short.",
        ) from None


def run(manifests: Sequence[Manifest], sql: str) -> pa.Table:
    """Answer a query; see `bcp_analytics.archive.query`."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for manifest in manifests:
        store = Store(manifest.location)
        files[manifest.table_name] += [store.uri(_inside(path)) for path in manifest.paths]
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as db:
        if any(manifest.location.startswith("s3://") for manifest in manifests):
            # DuckDB would have to download its own extension. And AWS_* may have changed since fsspec kept a
            # store, so take a new one.
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
                        f"create view {_identifier(table)} as select * from"  # noqa: S608 - quoted
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


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


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
