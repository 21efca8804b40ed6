"""What is done to Iceberg's tables and catalogues, by pyiceberg."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

from pyiceberg.catalog import Catalog as AnyCatalog
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
    ValidationException,
)
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.io.pyarrow import parquet_files_to_data_files
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)
from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError

from bcp_analytics.archive import _columns
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from psycopg import Connection
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

    from bcp_analytics.archive._model import Archive

STORE = "store"
NAMESPACE = "bcp"
FOLDER = "_iceberg"
_RAISED = (CommitFailedException, RESTError, ValidationException)
_TYPES: dict[str, IcebergType] = {
    "timestamp with time zone": TimestamptzType(),
    "double precision": DoubleType(),
    "boolean": BooleanType(),
    "bigint": LongType(),
    "integer": IntegerType(),
    "smallint": IntegerType(),
}
_S3 = {
    "s3.endpoint": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
    "s3.region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
    "s3.access-key-id": ("AWS_ACCESS_KEY_ID",),
    "s3.secret-access-key": ("AWS_SECRET_ACCESS_KEY",),
    "s3.session-token": ("AWS_SESSION_TOKEN",),
}


class Catalog:
    """A catalogue, and the tables of the archive in it."""

    def __init__(self, catalog: AnyCatalog) -> None:
        """Take a catalogue that is open."""
        self._catalog = catalog

    def table(self, name: str) -> Table | None:
        """Return a table as it is now, or None."""
        try:
            return self._catalog.load_table((NAMESPACE, name))
        except NoSuchTableError:
            return None

    def names(self) -> list[str]:
        """Return the tables there are."""
        try:
            return [identifier[-1] for identifier in self._catalog.list_tables(NAMESPACE)]
        except NoSuchNamespaceError:  # nothing was published yet
            return []

    def create(self, archive: Archive, time_column: str) -> Table:
        """Make the table of an archive: by day, and sorted as its files are."""
        fields = _schema(archive)
        ids = {field.name: field.field_id for field in fields.fields}
        order = _columns.sort_order(archive.columns, time_column)
        self._catalog.create_namespace_if_not_exists(NAMESPACE)
        return self._catalog.create_table(
            (NAMESPACE, archive.table_name),
            fields,
            location=f"{_plain(archive.location)}/{FOLDER}/{archive.table_name}",
            partition_spec=PartitionSpec(
                PartitionField(ids[time_column], 1000, DayTransform(), "day"), spec_id=0
            ),
            sort_order=SortOrder(
                *(
                    SortField(ids[name], IdentityTransform(), SortDirection.ASC, NullOrder.NULLS_LAST)
                    for name in order
                )
            ),
            properties={
                "schema.name-mapping.default": fields.name_mapping.model_dump_json(),
                "commit.manifest-merge.enabled": "true",
                "write.metadata.previous-versions-max": "20",
                # No engine may remove the files: they are the archive.
                "gc.enabled": "false",
                # Bounds of text would be pieces of it, in files that outlive an erasure for a moment.
                "write.metadata.metrics.default": "counts",
                **{f"write.metadata.metrics.column.{name}": "full" for name in order},
            },
        )

    def drop(self, name: str) -> None:
        """Take a table out of the catalogue."""
        self._catalog.drop_table((NAMESPACE, name))


@contextmanager
def opened(conn: Connection[Any], catalog: str) -> Iterator[Catalog]:
    """Open a catalogue: the store's own, or that of a URL. Raises `ArchiveError` where it cannot be used."""
    with told():
        if catalog == STORE:
            found = load_catalog(
                NAMESPACE, type="sql", uri=_uri(conn), init_catalog_tables="false", **_file_properties()
            )
        else:
            found = load_catalog(NAMESPACE, type="rest", uri=catalog, **_file_properties())
    try:
        yield Catalog(found)
    finally:
        if catalog == STORE:
            cast("Any", found).engine.dispose()


@contextmanager
def told() -> Iterator[None]:
    """Raise `ArchiveError` for what a catalogue or its files raise, but not its words: they may be secret."""
    try:
        yield
    except (*_RAISED, SQLAlchemyError, OSError, ValueError) as error:
        raise ArchiveError(
            f"The lake could not be changed: {type(error).__name__} of {type(error).__module__}.",
            hint="Check that its catalogue and the store of the files are there and that you may write both."
            " The next run of bcp-analytics archive goes on.",
        ) from None


def widen(table: Table, archives: Sequence[Archive]) -> None:
    """Give a table the columns that archives have and it has not, such as those of a later migration."""
    there = {field.name for field in table.schema().fields}
    for archive in archives:
        if {column["name"] for column in archive.columns} - there:
            with table.update_schema() as update:
                update.union_by_name(_schema(archive))
            there = {field.name for field in table.schema().fields}


def files(table: Table, within: tuple[datetime, datetime] | None = None) -> list[DataFile]:
    """Return the files of the present snapshot, all or those that have rows of a range of time."""
    asked: str | BooleanExpression = AlwaysTrue()
    if within is not None:
        start, end = within
        column = table.schema().find_field(table.spec().fields[0].source_id).name
        asked = f"{column} >= '{start.isoformat()}' and {column} < '{end.isoformat()}'"
    return [task.file for task in table.scan(row_filter=asked).plan_files()]


def commit(table: Table, new: Sequence[str], gone: Sequence[DataFile]) -> None:
    """Add and remove files in one snapshot."""
    if not gone:
        table.add_files(list(new), check_duplicate_files=False)
        return
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as snapshot:
        for file in gone:
            snapshot.delete_data_file(file)
        for file in parquet_files_to_data_files(table.io, transaction.table_metadata, iter(new)):
            snapshot.append_data_file(file)


def expire(table: Table, snapshots: Sequence[Snapshot], *, refs: bool) -> None:
    """Forget snapshots; with `refs` also the names that somebody gave to some."""
    if refs:
        for name, ref in table.refs().items():
            if name == "main":
                continue
            with table.manage_snapshots() as manage:
                if ref.snapshot_ref_type == SnapshotRefType.TAG:
                    manage.remove_tag(name)
                else:
                    manage.remove_branch(name)
    kept = {ref.snapshot_id for ref in table.refs().values()}
    if old := [s.snapshot_id for s in snapshots if s.snapshot_id not in kept]:
        table.maintenance.expire_snapshots().by_ids(old).commit()


def reachable(table: Table, *, with_log: bool = False) -> set[str]:
    """Return the files of the snapshots of a table, but for the data; `with_log` of earlier versions too."""
    found = {table.metadata_location}
    if with_log:
        found |= {entry.metadata_file for entry in table.metadata.metadata_log}
    for snapshot in table.snapshots():
        found.add(snapshot.manifest_list)
        found |= {manifest.manifest_path for manifest in snapshot.manifests(table.io)}
    return found


def uris(archive: Archive) -> list[str]:
    """Return where the files of an archive are, as Iceberg names them."""
    return [f"{_plain(archive.location)}/{file['path']}" for file in archive.files]


def as_url(location: str) -> str:
    """Return a location of Iceberg's as the archive names it."""
    return Path(location.removeprefix("file://")).as_uri() if location.startswith("file://") else location


def _plain(location: str) -> str:
    """Return a location as Iceberg names it: its readers take the characters of a path as they are."""
    parts = urlsplit(location)
    return f"file://{unquote(parts.path)}" if parts.scheme == "file" else location


def _schema(archive: Archive) -> Schema:
    return Schema(
        *(
            NestedField(number, column["name"], _TYPES.get(column["type"], StringType()), required=False)
            for number, column in enumerate(archive.columns, 1)
        )
    )


def _uri(conn: Connection[Any]) -> str:
    """Return where the store is, for a catalogue of its schema bcp_lake."""
    given = conn.info.get_parameters()
    options = f"{given.pop('options', '')} -c search_path=bcp_lake".strip()
    if conn.info.password:
        given["password"] = conn.info.password
    # All in the query: a path may be the host, and none of it is ever shown.
    url = URL.create("postgresql+psycopg", query=given | {"options": options})
    return str(url.render_as_string(hide_password=False))


def _file_properties() -> dict[str, str]:
    found = {
        name: value
        for name, variables in _S3.items()
        if (value := next((os.environ[v] for v in variables if os.environ.get(v)), None))
    }
    return {"s3.region": "us-east-1"} | found
