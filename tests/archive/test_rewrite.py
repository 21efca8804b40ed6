"""Rows taken out of an archive, and one run at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow.parquet as pq
import pytest

from bcp_analytics.archive import PROVEN, _steps, archive, archives, restore, rewrite
from bcp_analytics.archive._store import Store
from bcp_analytics.errors import ArchiveError, InvalidArgument
from tests.archive.rows import count, drop, few, time

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Db = psycopg.Connection[Any]

DAY = (time("2020-01-05"), time("2020-01-06"))


def without_u2(conn: Db) -> Callable[[], object]:
    return lambda: conn.execute("delete from pg_temp.bcp_restored where user_id = 'u2'")


def test_a_person_is_taken_out(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    [old] = archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    new = rewrite(clean_db, old.archive_id, without_u2(clean_db))
    assert new is not None
    assert (new.state, new.row_count) == ("dropped", 2)
    assert archives(clean_db, states=("writing", "replaced", "dropped")) == archives(clean_db)
    assert [a.archive_id for a in archives(clean_db)] == [new.archive_id]
    [file] = tmp_path.rglob("*.parquet")
    assert pq.read_table(file, partitioning=None)["user_id"].to_pylist() == ["u1", "u3"]
    assert len(list(tmp_path.rglob("*.json"))) == 1
    # The person is gone already, so nothing changes.
    assert rewrite(clean_db, new.archive_id, without_u2(clean_db)) == archives(clean_db)[0]
    restore(clean_db, "tool_usage_logs", *DAY)
    assert clean_db.execute("select user_id from bcp.tool_usage_logs order by 1").fetchall() == [
        ("u1",),
        ("u3",),
    ]


def test_one_run_at_a_time_on_a_chunk(
    dsn: str, clean_db: Db, tmp_path: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(clean_db, "2020-01-05")
    [old] = archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    said: list[str] = []

    def meanwhile(step: str) -> None:
        if step != "manifest" or said:
            return
        with psycopg.connect(dsn, autocommit=True) as other:
            for start in (
                lambda: rewrite(other, old.archive_id, lambda: None),
                lambda: restore(other, "tool_usage_logs", *DAY, wait_seconds=0.01, waiting=said.append),
            ):
                with pytest.raises(
                    ArchiveError, match="Another run archives or restores the same chunk"
                ) as caught:
                    start()
                said.append(str(caught.value))
            # A run leaves alone what the other has not finished.
            assert archive(other, tmp_path) == []
            assert len(archives(other, states=("writing",))) == 1

    monkeypatch.setattr(_steps, "reached", meanwhile)
    new = rewrite(clean_db, old.archive_id, without_u2(clean_db))
    assert new is not None
    assert [a.archive_id for a in archives(clean_db)] == [new.archive_id]
    assert len(said) == 3
    assert said[1].startswith("waiting for another run that archives or restores the same chunk")
    if target == "native":  # on embedded there are no processes to name
        assert f"server process {clean_db.info.backend_pid} of role {clean_db.info.user}, since 20" in said[0]


def test_runs_share_what_is_due(
    dsn: str, clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2020-01-05", "2020-01-06", "2020-01-07"):
        few(clean_db, day)
    of_other: list[Any] = []

    def meanwhile(step: str) -> None:
        if step == "uploaded" and not of_other:
            of_other.append("begun")
            with psycopg.connect(dsn, autocommit=True) as other:
                of_other[:] = archive(other, tmp_path)

    monkeypatch.setattr(_steps, "reached", meanwhile)
    made = archive(clean_db, tmp_path)
    # The first run was at the latest chunk, and finds the rest done.
    assert [f"{one.range_start:%d}" for one in made] == ["07"]
    assert [f"{one.range_start:%d}" for one in of_other] == ["06", "05"]
    assert archive(clean_db, tmp_path) == []
    assert len(list(tmp_path.rglob("*.parquet"))) == len(archives(clean_db)) == 3


def test_restore_waits_for_another_run(dsn: str, clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    place = ["tool_usage_logs", *DAY]
    with psycopg.connect(dsn, autocommit=True) as other:
        other.execute("select bcp_internal.lock_archive(%s, %s, %s)", place)

        def end_of_the_other(_: str) -> None:
            other.execute("select bcp_internal.unlock_archive(%s, %s, %s)", place)

        assert len(restore(clean_db, "tool_usage_logs", *DAY, waiting=end_of_the_other)) == 1
    assert count(clean_db) == 3


def test_a_chunk_that_is_dropped_meanwhile_gets_no_archive(
    clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in ("2020-01-05", "2020-01-06", "2020-01-07"):
        few(clean_db, day)

    def drop_two(step: str) -> None:
        # The latest comes first.
        if step == "begun" and count(clean_db) == 9:
            clean_db.execute(
                "select drop_chunks('bcp.tool_usage_logs', newer_than => timestamptz '2020-01-06Z')"
            )

    monkeypatch.setattr(_steps, "reached", drop_two)
    [made] = archive(clean_db, tmp_path)
    assert (made.range_start, made.row_count) == (DAY[0], 3)
    assert archives(clean_db, states=("writing", "replaced", *PROVEN)) == [made]
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


@pytest.mark.native("two transactions at the same time")
def test_nor_does_one_that_an_older_snapshot_still_shows(clean_db: Db, dsn: str) -> None:
    few(clean_db, "2020-01-05")
    [(begun,)] = clean_db.execute(
        "select archive_id from bcp_internal.begin_archive("
        "'tool_usage_logs', '2020-01-05Z', '2020-01-06Z', 'file:///x')"
    ).fetchall()
    with psycopg.connect(dsn) as older:
        older.execute("set transaction isolation level repeatable read")
        older.execute("select count(*) from bcp.archives")
        clean_db.execute("select drop_chunks('bcp.tool_usage_logs', older_than => now())")
        assert older.execute("select * from bcp_internal.count_archive(%s)", [begun]).fetchall() == []
    assert archives(clean_db, states=("writing",)) == []


def test_only_in_autocommit_mode(dsn: str, tmp_path: Path) -> None:
    with psycopg.connect(dsn) as conn:
        for start in (
            lambda: archive(conn, tmp_path),
            lambda: restore(conn, "tool_usage_logs", *DAY),
        ):
            with pytest.raises(InvalidArgument, match="commits along the way"):
                start()
        conn.autocommit = True
        with pytest.raises(InvalidArgument, match="has no chunks to archive"):
            archive(conn, tmp_path, table="users")


@pytest.mark.parametrize("role", ["bcp_admin", "bcp_reader", "bcp_writer"])
def test_only_an_admin_may(clean_db: Db, tmp_path: Path, role: str) -> None:
    few(clean_db, "2020-01-05")
    [made] = archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    few(clean_db, "2020-01-07")
    clean_db.execute(f"set role {role}")  # type: ignore[arg-type]
    try:
        if role == "bcp_admin":
            assert len(archive(clean_db, tmp_path)) == 1
            assert len(restore(clean_db, "tool_usage_logs", *DAY)) == 1
            assert count(clean_db) == 6
            # Only erasures may rewrite, since restore trusts what a rewrite leaves.
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                rewrite(clean_db, made.archive_id, without_u2(clean_db))
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                archive(clean_db, tmp_path)
        if role == "bcp_reader":
            assert archives(clean_db) == [a for a in archives(clean_db) if a.archive_id == made.archive_id]
        for change in (
            "insert into bcp.archives default values",
            "update bcp.archives set state = 'dropped'",
            "delete from bcp.archives",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                clean_db.execute(change)  # type: ignore[arg-type]
    finally:
        clean_db.execute("reset role")


def test_nothing_can_be_put_in_the_place_of_what_is_restored(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    [made] = archive(clean_db, tmp_path)
    drop(clean_db, start="2020-01-05", end="2020-01-06")
    clean_db.execute("set role bcp_admin")
    finish = "select bcp_internal.finish_restore(%s, now())"
    try:
        with pytest.raises(psycopg.Error, match="no table bcp_restored"):
            clean_db.execute(
                "create temporary view bcp_restored as select * from bcp.tool_usage_logs;"
                + finish.replace("%s", f"'{made.archive_id}'")  # type: ignore[arg-type]
            )
        with clean_db.transaction(force_rollback=True):
            clean_db.execute("select bcp_internal.begin_restore(%s)", [made.archive_id])
            with pytest.raises(psycopg.Error, match="came back with 0 rows"):
                clean_db.execute(finish, [made.archive_id])
    finally:
        clean_db.execute("reset role")
    assert count(clean_db) == 0


def test_a_folder_of_another_machine_is_not_taken_for_an_empty_one(clean_db: Db, tmp_path: Path) -> None:
    few(clean_db, "2020-01-05")
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    [first] = archive(clean_db, here)
    here.rename(elsewhere)
    few(clean_db, "2020-01-05", 1)
    [second] = archive(clean_db, tmp_path / "other")
    with pytest.raises(ArchiveError, match="here is not there"):
        Store(first.location)
    # Its files may hold what was erased since, so it is not forgotten before they are gone.
    assert [a.archive_id for a in archives(clean_db, states=("replaced",))] == [first.archive_id]
    elsewhere.rename(here)
    assert archive(clean_db, tmp_path / "other") == []
    assert archives(clean_db, states=("replaced", "verified")) == [second]
    assert list(here.rglob("*.parquet")) == []
