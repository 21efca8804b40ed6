"""The code of a version before: this version's, but for what `create or replace` leaves behind or refuses."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from bcp_analytics._core.resources import sql_folder

if TYPE_CHECKING:
    from pathlib import Path

# By file: what this version has, and what the older one had in its place.
_EDITS = {
    # It has one more default parameter, so calls with one argument fit both overloads.
    "60_aggregates.sql": [
        (
            "refresh_start(p_retention_days integer)",
            "refresh_start(p_retention_days integer, p_days integer default 2)",
        ),
        # Another type returned.
        ("p_end timestamptz)\nreturns boolean", "p_end timestamptz)\nreturns text"),
    ],
    # A parameter of another name, of the procedure of a job.
    "70_jobs.sql": [("find_floods_job(p_job_id integer, p_config", "find_floods_job(p_id integer, p_config")],
    # It has one more column, in the middle.
    "29_sessions.sql": [
        (
            "select s.client_name, s.sessions, s.calls, s.s",
            "select s.client_name, 1 as one, s.sessions, s.calls, s.s",
        )
    ],
}
_GONE = """
create or replace function bcp_internal.gone() returns trigger language plpgsql
set search_path = pg_catalog, pg_temp
as $func$ begin return new; end $func$;
create or replace trigger gone before insert on bcp.settings
for each row execute function bcp_internal.gone();
create or replace function bcp.gone_question(p_limit integer default 3) returns bigint language sql
set search_path = pg_catalog, pg_temp
as $func$ select p_limit::bigint $func$;
create or replace view bcp.gone_view as select bcp.gone_question() as answer;
create or replace procedure bcp_internal.gone_job(p_job_id integer, p_config jsonb) language plpgsql
as $proc$ begin perform 1; end $proc$;
select public.add_job('bcp_internal.gone_job', interval '1 day');
"""


def write(folder: Path) -> Path:
    """Write the older code into a new folder, and return it."""
    shutil.copytree(sql_folder(), folder)
    for name, edits in _EDITS.items():
        text = (folder / name).read_text()
        for new, old in edits:
            assert new in text
            text = text.replace(new, old)
        (folder / name).write_text(text)
    (folder / "85_gone.sql").write_text(_GONE)
    return folder
