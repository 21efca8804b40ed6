"""Packs of the anonymiser: off they change nothing, and only an administrator switches them on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from bcp_analytics import upkeep
from bcp_analytics.errors import InvalidArgument
from tests.sql.events import ingest, rows, usage
from tests.sql.packs import Db, left, mask


def test_packs_are_off_until_asked_for_and_on_until_switched_off(db: Db) -> None:
    doc = {"surname": "Roe", "city": "Salem", "gender": "f", "cpf": "295.379.955-93", "t": "Dear Jane Roe"}
    assert mask(db, doc) == doc
    assert upkeep.enable_anonymization_pack(db, "national_ids")
    assert not upkeep.enable_anonymization_pack(db, "national_ids")
    assert left(mask(db, doc), list(doc.values())) == ["Roe", "Salem", "f", "Dear Jane Roe"]
    assert upkeep.disable_anonymization_pack(db, "national_ids")
    assert not upkeep.disable_anonymization_pack(db, "national_ids")
    assert mask(db, doc) == doc


@pytest.mark.parametrize("name", ["name", "", "Names", "national-ids"])
def test_a_pack_that_is_none_says_which_there_are(db: Db, name: str) -> None:
    for change in (upkeep.enable_anonymization_pack, upkeep.disable_anonymization_pack):
        with pytest.raises(InvalidArgument) as caught, db.transaction():
            change(db, name)
        cause = caught.value.__cause__
        assert isinstance(cause, psycopg.Error)
        assert cause.sqlstate == "ZB002"
        assert "names, national_ids" in str(cause.diag.message_hint)


def test_only_an_admin_switches_packs(db: Db) -> None:
    for role in ("bcp_writer", "bcp_reader", "bcp_admin"):
        with db.transaction(force_rollback=True):
            db.execute(f"set local role {role}")
            if role == "bcp_admin":
                assert upkeep.enable_anonymization_pack(db, "national_ids")
                assert upkeep.disable_anonymization_pack(db, "national_ids")
            else:
                with pytest.raises(InsufficientPrivilege), db.transaction():
                    upkeep.enable_anonymization_pack(db, "national_ids")


def test_health_lists_the_packs(db: Db) -> None:
    query = "select status, value, detail from bcp.health() where check_name = 'packs'"
    assert db.execute(query).fetchall() == [("ok", "0", "names is off, national_ids is off")]
    upkeep.enable_anonymization_pack(db, "national_ids")
    assert db.execute(query).fetchall() == [("ok", "1", "names is off, national_ids is on")]


def test_a_pack_reaches_stored_rows_by_late_masking(clean_db: psycopg.Connection[Any]) -> None:
    at = datetime.now(UTC) - timedelta(days=3)
    ingest(clean_db, [usage(start_time=at.isoformat(), parameters={"cpf": "295.379.955-93"})])
    query = "select parameters::text as p from bcp.tool_usage_logs"
    upkeep.anonymize_history(clean_db)
    assert "295.379" in rows(clean_db, query)[0]["p"]
    upkeep.enable_anonymization_pack(clean_db, "national_ids")
    upkeep.anonymize_history(clean_db)
    assert "295.379" not in rows(clean_db, query)[0]["p"]
