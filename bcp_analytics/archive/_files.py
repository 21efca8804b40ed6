"""Writes rows into Parquet files, one per UTC day, and proves files that were read back."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bcp_analytics.archive import _columns, _steps
from bcp_analytics.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from bcp_analytics.archive._model import Archive, ArchiveFile
    from bcp_analytics.archive._store import Store

_EPOCH = date(1970, 1, 1)
_READ_ROWS = 16_384
_READ_BYTES = 8 * 1024 * 1024
_HASH_BYTES = 1 << 20
# A row group is what a reader can skip: large enough to compress well, and bounded in bytes, which is what it
# takes of memory. Rows of usual size reach the number first.
_GROUP_ROWS = 131_072
_GROUP_BYTES = 64 * 1024 * 1024
_PAGE_BYTES = 64 * 1024
_ZSTD_LEVEL = 3  # Arrow's default is 1, which takes as long and leaves a tenth more


@dataclass(frozen=True, slots=True)
class Written:
    """A file that is written here and not yet in the store."""

    day: date
    file: IO[bytes]
    row_count: int


class DayWriter:
    """Writes rows, sorted by day, into one file per day.

    The files have no name, so that a killed run leaves none behind.
    """

    def __init__(self, archive: Archive, time_column: str) -> None:
        """Begin with no file."""
        self._schema = _columns.schema(archive.columns)
        self.time_column = time_column
        self._kept = ExitStack()
        self._writer: pq.ParquetWriter | None = None
        self._columns = archive.columns
        self._group: list[pa.Table] = []
        self.written: list[Written] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the files."""
        self._kept.close()

    def write(self, rows: pa.Table) -> None:
        """Add rows, none of an earlier day than those before."""
        times = rows.column(self.time_column).cast(pa.timestamp("us")).combine_chunks()
        days = pc.run_end_encode(pc.floor_temporal(times, unit="day").cast(pa.int64()))
        start = 0
        for day, end in zip(days.values.to_pylist(), days.run_ends.to_pylist(), strict=True):
            self._write_day(
                _EPOCH + timedelta(days=day // _columns.MICROSECONDS_OF_A_DAY), rows.slice(start, end - start)
            )
            start = end

    def close(self) -> None:
        """Complete the last file."""
        if self._writer is not None:
            self._write_group()
            self._writer.close()
            self._writer = None

    def _write_day(self, day: date, rows: pa.Table) -> None:
        if not self.written or self.written[-1].day != day:
            self.close()
            file = self._kept.enter_context(tempfile.TemporaryFile(prefix="bcp-archive-"))  # noqa: SIM115
            self.written.append(Written(day, file, 0))
            self._writer = self._open(file)
        last = self.written[-1]
        self.written[-1] = replace(last, row_count=last.row_count + rows.num_rows)
        self._group.append(rows)
        if (
            sum(part.num_rows for part in self._group) >= _GROUP_ROWS
            or sum(part.nbytes for part in self._group) >= _GROUP_BYTES
        ):
            self._write_group()

    def _open(self, file: IO[bytes]) -> pq.ParquetWriter:
        order = _columns.sort_order(self._columns, self.time_column)
        encoded = _columns.encodings(self._columns)
        return pq.ParquetWriter(
            file,
            self._schema,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=[name for name in self._schema.names if name not in encoded],
            column_encoding=encoded,
            # Engines skip pages by their index, too.
            data_page_size=_PAGE_BYTES,
            write_page_index=True,
            sorting_columns=[pq.SortingColumn(self._schema.get_field_index(name)) for name in order],
        )

    def _write_group(self) -> None:
        if not self._group:
            return
        assert self._writer is not None  # noqa: S101 - made with the day's file
        rows = pa.concat_tables(self._group)
        self._group.clear()
        self._writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
        del rows
        # Groups differ in size, and the allocator would keep the memory of each.
        pa.default_memory_pool().release_unused()


def upload(store: Store, archive: Archive, written: list[Written]) -> Archive:
    """Put the files into the store; return the archive with them, not proven yet."""
    files: list[ArchiveFile] = []
    for one in written:
        digest, size = _digest(one.file)
        path = archive.path(one.day)
        store.put(path, one.file)
        _steps.reached("uploaded")
        files.append(
            {
                "path": path,
                "day": one.day.isoformat(),
                "row_count": one.row_count,
                "bytes": size,
                "sha256": digest,
            }
        )
    return replace(archive, files=files, bytes=sum(file["bytes"] for file in files))


def prove(
    store: Store, archive: Archive, time_column: str, seen: Callable[[int], None] | None = None
) -> None:
    """Read all files back and raise `ArchiveError` unless they are what the archive says, to the row."""
    rows = total = 0
    for file in archive.files:
        with tempfile.TemporaryFile(prefix="bcp-archive-") as copy:
            fetch(store, archive, file, copy)
            in_file = 0
            for batch in batches(copy):
                _check_times(archive, file, batch.column(time_column))
                in_file += batch.num_rows
                total += _columns.checksum(batch)
                if seen is not None:
                    seen(rows + in_file)
        if in_file != file["row_count"]:
            raise _unequal(archive, file, f"has {in_file} rows and not {file['row_count']}")
        rows += in_file
    found = (rows, _columns.checksum_text(total))
    if found != (archive.row_count, archive.checksum):
        raise ArchiveError(
            f"The archive {archive.archive_id} of {archive.table_name} came back with {found[0]} rows and "
            f"checksum {found[1]}; its rows are {archive.row_count} with {archive.checksum}.",
            hint="Nothing was marked as archived. Run it again; if it stays so, the store changes its files.",
        )


def fetch(store: Store, archive: Archive, file: ArchiveFile, into: IO[bytes]) -> None:
    """Copy a file from the store; raises `ArchiveError` where it is not as it was written."""
    digest = store.read(file["path"], into)
    if digest != file["sha256"]:
        raise _unequal(archive, file, f"has the SHA-256 {digest} and not {file['sha256']}")


def batches(file: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """Return the rows of a Parquet file, a few at a time."""
    try:
        reader = pq.ParquetFile(file, pre_buffer=False)
        # One row group at a time: a batch would load as many as it needs rows, however large they are.
        for group in range(reader.num_row_groups):
            of = reader.metadata.row_group(group)
            # Long rows fewer at a time: what is made of a batch takes several times its memory.
            rows = max(1, min(_READ_ROWS, _READ_BYTES * of.num_rows // max(of.total_byte_size, 1)))
            yield from reader.iter_batches(batch_size=rows, row_groups=[group], use_threads=False)
    except pa.ArrowException as error:
        raise ArchiveError(
            f"A file of the archive cannot be decoded: {str(error).splitlines()[0]}.",
            hint="It is not as it was written: the store, or somebody, changed it.",
        ) from error


def _check_times(archive: Archive, file: ArchiveFile, times: pa.Array) -> None:
    found = pc.min_max(times.view(pa.int64())).as_py()
    day = datetime.fromisoformat(file["day"]).replace(tzinfo=UTC)
    first = max(day, archive.range_start)
    last = min(day + timedelta(days=1), archive.range_end)
    if found["min"] is None or found["min"] < _micros(first) or found["max"] >= _micros(last):
        raise _unequal(archive, file, "has rows of another time than its name says")


def _micros(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _unequal(archive: Archive, file: ArchiveFile, what: str) -> ArchiveError:
    return ArchiveError(
        f"{archive.location}/{file['path']} {what}.",
        hint="It is not as it was written: the store, or somebody, changed it. What is not proven is not "
        "marked as archived.",
    )


def _digest(file: IO[bytes]) -> tuple[str, int]:
    file.flush()
    file.seek(0)
    digest, size = sha256(), 0
    while part := file.read(_HASH_BYTES):
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size
