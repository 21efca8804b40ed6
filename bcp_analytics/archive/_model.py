"""What an archive is: a row of bcp.archives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, TypedDict
from uuid import UUID  # noqa: TC003 - as in the other models, the types are to be read

LOCATION_VARIABLE = "BCP_ARCHIVE_LOCATION"
MANIFEST_SUFFIX = ".manifest.json"


class ArchiveFile(TypedDict):
    """A file of an archive; `path` is relative to the archive's location."""

    path: str
    day: str
    row_count: int
    bytes: int
    sha256: str


class Column(TypedDict):
    """A column of an archive, with PostgreSQL's name of its type."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A chunk that has been, or is being, written to Parquet files; bcp.archives says what each field is."""

    archive_id: UUID
    table_name: str
    range_start: datetime
    range_end: datetime
    state: str
    location: str
    files: list[ArchiveFile]
    columns: list[Column]
    schema_version: str
    row_count: int | None
    checksum: str | None
    digest: str | None
    bytes: int | None
    started_at: datetime
    verified_at: datetime | None
    dropped_at: datetime | None
    keep_until: datetime | None

    @property
    def first_day(self) -> date:
        """The UTC day that its range begins in."""
        return self.range_start.astimezone(UTC).date()

    @property
    def name(self) -> str:
        """What the names of its files begin with."""
        return f"{self.range_start.astimezone(UTC):%Y%m%dT%H%M%SZ}-{self.archive_id}"

    def path(self, day: date) -> str:
        """Return where its rows of a day go, relative to the location."""
        return f"{self.folder(day)}/{self.name}.parquet"

    def folder(self, day: date) -> str:
        """Return the folder of its table and a day."""
        return f"table={self.table_name}/day={day.isoformat()}"

    @property
    def manifest_path(self) -> str:
        """Where its manifest goes: beside its first file. Readers of folders leave out names with `_`."""
        return f"{self.folder(self.first_day)}/_{self.name}{MANIFEST_SUFFIX}"


Phase = Literal["exporting", "uploading", "verifying", "verified", "reading", "restoring", "restored"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is: the archive at hand, its number among how many, and rows done of how many."""

    archive: Archive
    number: int
    of: int
    phase: Phase
    rows: int
    of_rows: int


Watch = Callable[[Progress], None]
"""Called with each step."""


def unwatched(_: Progress) -> None:
    """Watch nothing."""


def as_json(archive: Archive) -> dict[str, Any]:
    """Return the manifest that stands beside the files."""
    return {
        "format": 1,
        "archive_id": str(archive.archive_id),
        "table_name": archive.table_name,
        "range_start": archive.range_start.astimezone(UTC).isoformat(),
        "range_end": archive.range_end.astimezone(UTC).isoformat(),
        "row_count": archive.row_count,
        "checksum": archive.checksum,
        "digest": archive.digest,
        "bytes": archive.bytes,
        "schema_version": archive.schema_version,
        "columns": archive.columns,
        "files": archive.files,
    }
