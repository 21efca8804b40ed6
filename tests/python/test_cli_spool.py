"""What collectors left on disk, seen and sent by the command line."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from typer.testing import CliRunner

from bcp_analytics import Collector, upkeep
from bcp_analytics.cli._app import app
from bcp_analytics.collector import _delivery
from bcp_analytics.collector.capture._events import CALLS
from bcp_analytics.collector.spool import _format
from bcp_analytics.errors import InvalidBatch
from tests.python.collector_fakes import Sender, crash, make

if TYPE_CHECKING:
    from pathlib import Path

AWAY = "host=127.0.0.1 port=1"


def spool(root: Path, *arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["spool", *arguments, "--spool", str(root)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def leave(root: Path) -> list[str]:
    """Leave two events that wait and one that was refused, and return their ids."""
    sender = Sender()
    collector = make(root, sender, durable=True)
    ids = [collector.record("mail", "refused")]
    sender.mode = "refused"
    assert collector.flush()
    sender.mode = "away"
    ids += [collector.record("mail", "waiting") for _ in range(2)]
    crash(collector)
    return ids


def test_it_says_what_there_is_and_sends_it(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    assert spool(tmp_path, "list") == f"Nothing waits in {tmp_path}.\n"
    ids = leave(tmp_path)
    assert spool(tmp_path, "list") == "test: 2 events waiting, 1 refused, 0 damaged places\n"
    assert spool(tmp_path, "resend", "test", "--dsn", dsn) == "3 stored, 0 known already, 0 rejected.\n"
    stored = clean_db.execute("select event_id::text from bcp.tool_usage_logs order by 1").fetchall()
    assert [one for (one,) in stored] == ids
    assert clean_db.execute("select distinct source from bcp.ingest_ledger").fetchall() == [("test",)]
    assert spool(tmp_path, "list") == f"Nothing waits in {tmp_path}.\n"


def test_nothing_is_lost_where_it_cannot_be_sent(tmp_path: Path) -> None:
    leave(tmp_path)
    said = spool(tmp_path, "resend", "test", "--dsn", AWAY, code=1)
    assert said.splitlines()[0] == "0 stored, 0 known already, 0 rejected."
    assert "Still on disk: 3 events (OperationalError 08001)" in said
    # What was refused is tried again like the rest.
    assert spool(tmp_path, "list") == "test: 3 events waiting, 0 refused, 0 damaged places\n"


def test_what_is_refused_again_is_kept_again(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InvalidBatch("no array", sqlstate="ZB001")

    monkeypatch.setitem(_delivery._INGEST, CALLS, refuse)
    batch = "00000000-0000-4000-8000-000000000001"
    kept = tmp_path / "test" / f"{batch}.rejected"
    kept.parent.mkdir()
    kept.write_bytes(before := _format.header() + _format.pack_batch(0, batch, 1, (b"{}",)))
    said = spool(tmp_path, "resend", "test", "--dsn", dsn, code=1)
    assert said.splitlines()[0] == "0 stored, 0 known already, 1 rejected."
    assert "Still on disk: 1 event (InvalidBatch ZB001)" in said
    assert kept.read_bytes() == before


def test_a_program_that_runs_keeps_its_own(dsn: str, tmp_path: Path) -> None:
    with Collector(AWAY, source="test", spool=tmp_path, durable=True) as collector:
        collector.record("mail", "send")
        assert spool(tmp_path, "resend", "test", "--dsn", dsn) == "0 stored, 0 known already, 0 rejected.\n"
        assert collector.stats().spooled == 1


def test_a_string_that_cannot_be_read_is_not_repeated(tmp_path: Path) -> None:
    leave(tmp_path)
    before = spool(tmp_path, "list")
    said = spool(tmp_path, "resend", "test", "--dsn", "postgresql://user:hunter2@%%%", code=1)
    assert "cannot be read" in said
    assert "hunter2" not in said
    assert spool(tmp_path, "list") == before


@pytest.mark.parametrize("source", ["other", "..", ""])
def test_a_source_that_is_none(tmp_path: Path, source: str) -> None:
    leave(tmp_path)
    assert "There is no spool of" in spool(tmp_path, "resend", source, "--dsn", AWAY, code=1)


def without(root: Path, user_id: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["spool", "erase", "--spool", str(root)], input=f"{user_id}\n")
    assert result.exit_code == code, result.output
    assert not user_id.strip() or user_id not in result.output
    return result.output


def test_a_user_is_taken_out_of_what_waits_and_what_was_refused(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    jane = "Jane.Roe@example.com"
    sender = Sender()
    collector = make(tmp_path, sender, durable=True)
    sender.mode = "refused"
    collector.record("mail", "send", user_id=jane)
    collector.record("mail", "send", user_id="bob", parameters={"to": [f"<{jane.lower()}>"], "n": 7})
    assert collector.flush()
    sender.mode = "away"
    for user_id in (jane, "bob", jane.lower(), None):
        collector.record("mail", "send", user_id=user_id)
    crash(collector)
    assert spool(tmp_path, "list") == "test: 4 events waiting, 2 refused, 0 damaged places\n"
    assert without(tmp_path, jane) == "test: 3 events deleted, 1 changed\n"
    assert without(tmp_path, jane) == "test: 0 events deleted, 0 changed\n"
    assert spool(tmp_path, "list") == "test: 2 events waiting, 1 refused, 0 damaged places\n"
    assert jane.lower().encode() not in b"".join(
        path.read_bytes().lower() for path in tmp_path.rglob("*") if path.is_file()
    )
    assert spool(tmp_path, "resend", "test", "--dsn", dsn) == "3 stored, 0 known already, 0 rejected.\n"
    stored = clean_db.execute(
        "select user_id, parameters from bcp.tool_usage_logs order by user_id, parameters"
    ).fetchall()
    assert stored == [("bob", {"to": ["<[ERASED]>"], "n": 7}), ("bob", None), (None, None)]


def test_a_spool_in_use_and_a_damaged_one_are_named(tmp_path: Path) -> None:
    with Collector(AWAY, source="test", spool=tmp_path, durable=True) as collector:
        collector.record("mail", "send", user_id="jane")
        (tmp_path / "test" / "x.corrupt").write_bytes(b"?")
        said = without(tmp_path, "jane", code=1)
        assert "Not looked at: 1 spool in use and 1 damaged place." in said
        assert collector.stats().spooled == 1


def test_nobody_is_erased_without_an_id(tmp_path: Path) -> None:
    assert "There is no id on standard input." in without(tmp_path, " ", code=1).replace("\n", " ")


def test_a_spool_and_the_database_erase_alike(
    dsn: str, clean_db: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """What is taken out of a spool and sent is what would be left if it had been sent and erased."""
    now, later = tmp_path / "now", tmp_path / "later"
    jane = "jane.roe-17"
    documents: list[Any] = [
        {jane: 1, "[ERASED]": 2, "nested": json.dumps({"about": jane, f"by {jane}": [jane]})},
        [f"x\n{jane}", f"x{jane}", json.dumps(json.dumps({"a": jane}))[:-2]],
        {"n": 17, "s": "17"},
    ]
    events: list[dict[str, Any]] = [
        {"user_id": jane, "session_id": "s-jane", "tool_name": "hers"},
        {"session_id": "s-jane", "tool_name": "in her session"},
        {"user_id": jane, "session_id": "s-both", "tool_name": "hers, with Bob"},
        {"user_id": "bob", "session_id": "s-both", "error_message": f"no {jane}!", "success": False},
        {"session_id": "s-both", "tool_name": jane, "extra": {"owner": jane}, jane: "x"},
        *({"user_id": "bob", "parameters": one, "response_data": {"of": one}} for one in documents),
    ]
    query = (
        "select event_id, user_id, session_id, tool_name, parameters, response_data, error_message,"
        " attributes from bcp.tool_usage_logs order by event_id"
    )
    sender = Sender()
    sender.mode = "away"
    collector = make(now, sender, durable=True)
    ids = [collector.record("mail", event.pop("tool_name", "send"), **event) for event in map(dict, events)]
    crash(collector)
    shutil.copytree(now, later)

    spool(later, "resend", "test", "--dsn", dsn)
    upkeep.erase_user(clean_db, jane)
    by_database = clean_db.execute(query).fetchall()
    assert len(by_database) == len(ids) - 3

    clean_db.execute("truncate bcp.tool_usage_logs, bcp_internal.event_keys, bcp_internal.batch_keys")
    assert without(now, jane) == "test: 3 events deleted, 4 changed\n"
    spool(now, "resend", "test", "--dsn", dsn)
    assert clean_db.execute(query).fetchall() == by_database
