"""No value of a setting breaks the store: one that could is refused, with a hint that says what fits."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.security.roles import logged_in_as
from tests.sql.events import KINDS, ingest, rows

Db = psycopg.Connection[Any]


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("max_text_bytes", "abc", "Use a whole number from 64 to 67108864 bytes."),
        ("max_text_bytes", "6e4", "Use a whole number"),
        ("max_document_bytes", "9" * 30, "Use a whole number"),
        ("max_json_depth", "-1", "Use a whole number from 1 to 200 levels."),
        ("ip_prefix_v4", "33", "Use a whole number from 0 to 32 bits."),
        ("chunk_interval", "1 microsecond", "Use an interval from 1 hour to 366 days."),
        ("chunk_interval", "soon", "Use an interval"),
        ("max_event_age", "178000000 years", "Use an interval from 1 hour to 36500 days."),
        ("max_event_lead", "-1 day", "Use an interval"),
        ("session_gap", "", "Use an interval"),
        ("index_parameters", "true", "Use on or off."),
        ("bytes_per_token", "NaN", "Use a number from 0.1 to 1000 bytes."),
        ("bytes_per_token", "0", "Use a number"),
        ("login_names", "login, " * 300, "Use text of 0 to 2000 characters."),
        ("time_zone", "Mars/Olympus", "Use a name such as UTC or Europe/Berlin"),
        ("time_zone", "", "Use a name"),
        # Its clock goes back from one o'clock to midnight, so a day there begins twice.
        ("time_zone", "Atlantic/Azores", "whose clock never goes back over midnight"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(db: Db, name: str, value: str, hint: str) -> None:
    with logged_in_as(db, "bcp_admin"):
        with pytest.raises(psycopg.Error, match=f"the setting {name} cannot be") as caught, db.transaction():
            db.execute("update bcp.settings set value = %s where name = %s", [value, name])
        assert caught.value.sqlstate == "ZB003"
        assert hint in str(caught.value.diag.message_hint)


@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_the_bounds_themselves_can_be_used(db: Db, end: str) -> None:
    """Both ends of all settings at once: what is not rejected for its size or depth is stored."""
    with logged_in_as(db, "bcp_admin"):
        db.execute(
            f"update bcp.settings set value = coalesce({end}, 'off') where kind not in ('text', 'time zone')"
        )  # type: ignore[arg-type]
        db.execute("select bcp.apply_policies()")
        for kind, event in KINDS.items():
            accepted, stored, _, rejected = ingest(db, [event, event | {"bcp_name": "x" * 500}], kind)
            assert (accepted, stored + rejected) == (2, 2)
            assert stored > 0 or end == "minimum"
        for question in (
            "tool_usage_stats",
            "context_cost",
            "authentication_stats",
            "health",
            "cleanup_plan",
        ):
            db.execute(f"select * from bcp.{question}()")  # type: ignore[arg-type]
    assert rows(db, "select distinct reason_code from bcp.rejected_events") in (
        [],
        [{"reason_code": "ZB005"}],
    )


def test_every_setting_says_what_it_takes(db: Db) -> None:
    vague = rows(
        db,
        "select name from bcp.settings"
        " where kind not in ('switch', 'time zone') and (minimum is null or maximum is null)"
        " or kind in ('switch', 'time zone') and coalesce(minimum, maximum) is not null",
    )
    assert vague == []
