"""Archives in an S3-compatible store over HTTP, which fails in the ways that stores fail."""

from __future__ import annotations

from itertools import count as counting
from typing import TYPE_CHECKING, Any

import pytest

from bcp_analytics.archive import _files, archive, archives, query, restore, rewrite
from bcp_analytics.archive._store import location_url
from bcp_analytics.errors import ArchiveError, InvalidArgument
from tests.archive.rows import checksum, count, drop, few, fill, time
from tests.archive.s3 import BROKEN, DENIED, Faults, server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    Db = psycopg.Connection[Any]

WHERE = "s3://archives/of/bcp"
SECRET = "secret-hunter2-hunter2"
DAY = (time("2020-01-05"), time("2020-01-06"))


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    made = Faults()
    with server(made) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield made


def parquet_files(faults: Faults) -> set[str]:
    return {path for method, path in faults.seen if method == "PUT" and path.endswith(".parquet")}


@pytest.mark.usefixtures("faults")
def test_a_round_trip(clean_db: Db) -> None:
    fill(clean_db, ("2020-01-05",))
    before = checksum(clean_db, "tool_usage_logs")
    [made] = archive(clean_db, WHERE, table="tool_usage_logs")
    assert made.location == WHERE
    assert SECRET not in repr(made)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    found = query(clean_db, "select count(*) as n, min(day)::varchar as day from tool_usage_logs")
    assert found.to_pylist() == [{"n": before[0], "day": "2020-01-05"}]
    restore(clean_db, "tool_usage_logs", *DAY)
    assert checksum(clean_db, "tool_usage_logs") == before
    assert (
        rewrite(clean_db, made.archive_id, lambda: clean_db.execute("delete from pg_temp.bcp_restored"))
        is None
    )
    assert archives(clean_db, states=("writing", "verified", "replaced", "restored")) == []
    with pytest.raises(ArchiveError, match="There is no proven archive"):
        rewrite(clean_db, made.archive_id, lambda: None)


def test_a_large_file_goes_in_parts(clean_db: Db, faults: Faults) -> None:
    # Random, so that it cannot be compressed.
    clean_db.execute(
        "insert into bcp.tool_usage_logs (start_time, created_at, event_id, bcp_name, tool_name, operation,"
        " error_message) select '2020-01-05'::timestamptz + n * interval '1 second', now(),"
        " gen_random_uuid(), 'b', 't', 'o',"
        " (select string_agg(md5(random()::text || n || i), '') from generate_series(1, 300) i)"
        " from generate_series(1, 2000) n"
    )
    before = checksum(clean_db, "tool_usage_logs")
    [made] = archive(clean_db, WHERE)
    [path] = parquet_files(faults)
    # Two parts, and what begins and ends an upload.
    assert [method for method, p in faults.seen if p == path][:4] == ["POST", "PUT", "PUT", "POST"]
    assert (made.row_count, made.checksum) == before


def now_and_then() -> Callable[[str, str], tuple[str, bytes] | None]:
    calls = counting()
    return lambda _method, _path: BROKEN if next(calls) % 2 == 0 else None


def test_errors_that_pass_are_tried_again(clean_db: Db, faults: Faults) -> None:
    few(clean_db, "2020-01-05")
    faults.answer = now_and_then()
    [made] = archive(clean_db, WHERE)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    assert restore(clean_db, "tool_usage_logs", *DAY)[0].archive_id == made.archive_id
    assert count(clean_db) == 3


def no_upload(method: str, path: str) -> tuple[str, bytes] | None:
    return BROKEN if method == "PUT" and path.endswith(".parquet") else None


def no_download(method: str, path: str) -> tuple[str, bytes] | None:
    return BROKEN if method == "GET" and path.endswith(".parquet") else None


def no_manifest(method: str, path: str) -> tuple[str, bytes] | None:
    return BROKEN if method == "PUT" and path.endswith(".json") else None


def denied(method: str, _path: str) -> tuple[str, bytes] | None:
    return DENIED if method == "PUT" else None


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"answer": no_upload}, "could not write s3://archives/of/bcp/table=.*500"),
        ({"answer": no_download}, "could not read s3://archives/of/bcp/table=.*500"),
        ({"answer": no_manifest}, "could not write s3://archives/of/bcp/.*manifest.json: .*500"),
        ({"answer": denied}, "could not write .*403.*Check the credentials"),
        ({"upload": lambda _, body: body[: len(body) // 2]}, "has the SHA-256"),
        ({"upload": lambda _, body: body[:100] + bytes([body[100] ^ 1]) + body[101:]}, "has the SHA-256"),
        ({"download": lambda _, body: body[:200] + b"\0" + body[201:]}, "has the SHA-256"),
    ],
    ids=[
        "no upload",
        "no download",
        "no manifest",
        "credentials gone",
        "truncated",
        "changed",
        "wrong answer",
    ],
)
def test_nothing_is_marked_that_is_not_proven(
    clean_db: Db, faults: Faults, fault: dict[str, Any], said: str
) -> None:
    few(clean_db, "2020-01-05")
    for name, what in fault.items():
        setattr(faults, name, what)
    with pytest.raises(ArchiveError, match=f"(?s){said}") as caught:
        archive(clean_db, WHERE)
    assert SECRET not in str(caught.value)
    [left] = archives(clean_db, states=("writing", "verified", "dropped", "restored", "replaced"))
    assert left.state == "writing"
    clean_db.execute("select * from bcp.cleanup_old_data()")
    assert count(clean_db) == 3
    # The next run takes the unfinished one away, as far as it can, and does it again.
    faults.answer = faults.upload = faults.download = None
    [made] = archive(clean_db, WHERE)
    assert archives(clean_db, states=("writing", "verified", "replaced")) == [made]


def test_what_changed_in_the_store_is_not_restored(clean_db: Db, faults: Faults) -> None:
    few(clean_db, "2020-01-05")
    [made] = archive(clean_db, WHERE)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    faults.download = lambda _, body: body[:-1] + b"?"
    for broken in (
        lambda: restore(clean_db, "tool_usage_logs", *DAY),
        lambda: rewrite(clean_db, made.archive_id, lambda: None),
    ):
        with pytest.raises(ArchiveError, match="has the SHA-256"):
            broken()
    faults.download = None
    faults.answer = lambda _, path: ("404 Not Found", b"") if path.endswith(".parquet") else None
    with pytest.raises(ArchiveError, match=r"parquet is not there"):
        restore(clean_db, "tool_usage_logs", *DAY)
    assert count(clean_db) == 0
    faults.answer = None
    restore(clean_db, "tool_usage_logs", *DAY)
    assert count(clean_db) == 3


@pytest.mark.usefixtures("faults")
def test_the_content_is_proven_and_not_only_the_bytes(clean_db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the export itself: the bytes come back as written, the rows are not the table's."""
    few(clean_db, "2020-01-05")
    write = _files.DayWriter.write
    monkeypatch.setattr(_files.DayWriter, "write", lambda self, rows: write(self, rows.slice(1)))
    with pytest.raises(ArchiveError, match=r"came back with 2 rows .* its rows are 3"):
        archive(clean_db, WHERE)
    assert {a.state for a in archives(clean_db, states=("writing", "verified"))} == {"writing"}


def test_no_location_with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for location, said in (
        ("s3://key:hunter2@bucket/x", "has a user or a password in it"),
        ("https://bucket.example.com/x", "of a kind that is not known"),
        ("s3://bucket/x?secret=hunter2", "of a kind that is not known"),
        ("s3://", "of a kind that is not known"),
        ("file://host/x", "of a kind that is not known"),
    ):
        with pytest.raises(InvalidArgument, match=said) as caught:
            location_url(location)
        assert "hunter2" not in str(caught.value)
    monkeypatch.delenv("BCP_ARCHIVE_LOCATION", raising=False)
    with pytest.raises(InvalidArgument, match="No location is named"):
        location_url(None)
    monkeypatch.setenv("BCP_ARCHIVE_LOCATION", "s3://bucket/a/")
    assert location_url(None) == "s3://bucket/a"
    assert location_url("/tmp/ä b") == "file:///tmp/%C3%A4%20b"
    assert location_url("file:///tmp/%C3%A4%20b/") == "file:///tmp/%C3%A4%20b"
