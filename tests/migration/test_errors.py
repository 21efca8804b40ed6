"""An error names the file and the line, and leaves nothing half done."""

from __future__ import annotations

import pytest

from bcp_analytics.errors import MigrationError
from tests.migration.conftest import Project, value

FUNCTION = """\
create or replace function bcp.broken(p_x integer) returns integer language plpgsql as $func$
begin
    {}
    return 1;
end
$func$;
"""
DO_BLOCK = """\
do $$

begin
    perform 1;
    raise exception 'so' using errcode = 'ZB002', hint = 'do this';
end
$$;
"""
# What fails, the line of it, and what the error says.
BROKEN = {
    "syntax": ("select 1;\n\nselect 2 +;\n", 3, '42601 syntax error at or near ";"'),
    "unknown column": (
        "select 'ä';\nselect\n    nothing\nfrom bcp.things;\n",
        3,
        '42703 column "nothing" does not',
    ),
    "syntax in a body": ("-- one\n" + FUNCTION.format("select 1 into;"), 4, "42601"),
    "statement in a body": ("-- one\n" + FUNCTION.format("if p_x then;"), 4, "42601"),
    "no position": (
        "-- one\nselect 1;\n\n-- why\ngrant select on bcp.things to bcp_nobody;\n",
        5,
        '42704 role "bcp_nobody" does not exist',
    ),
    "do block": (
        DO_BLOCK,
        5,
        "ZB002 so",
    ),
    "dynamic": ("do $$\nbegin\n    execute 'select ' || 'nothing_here';\nend\n$$;\n", 3, "42703 column"),
    "run of a function": (
        FUNCTION.format("perform 1 / (p_x - 1);") + "\nselect bcp.broken(1);\n",
        8,
        "22012 division by zero",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_failed_file_of_code_is_reported_by_line_and_nothing_of_it_stays(
    project: Project, scratch: str, what: str
) -> None:
    text, line, message = BROKEN[what]
    project.code("15_broken.sql", text)
    with pytest.raises(MigrationError) as caught:
        project.migrate(scratch)
    assert str(caught.value).startswith(f"sql/15_broken.sql:{line}: {message}")
    status = project.status(scratch)
    assert (len(status.pending), status.sql_loaded_at) == (2, None)
    assert value(scratch, "select to_regnamespace('bcp') is null")
    (project.sql / "15_broken.sql").unlink()
    assert project.migrate(scratch).sql_applied


@pytest.mark.parametrize("what", BROKEN)
def test_a_failed_migration_is_reported_by_line_and_leaves_nothing(
    project: Project, scratch: str, what: str
) -> None:
    text, line, message = BROKEN[what]
    head = "-- Says why.\ncreate table bcp.half ();\n"
    project.migration("0003_broken", head + text)
    with pytest.raises(MigrationError) as caught:
        project.migrate(scratch)
    assert str(caught.value).startswith(f"migrations/0003_broken.sql:{line + 2}: {message}")
    assert value(scratch, "select to_regclass('bcp.half') is null")
    assert project.status(scratch).pending[-1] == "0003_broken"
    project.migration("0003_broken", head)
    assert project.migrate(scratch).applied[-1] == "0003_broken"


def test_an_error_keeps_detail_hint_and_sqlstate(project: Project, scratch: str) -> None:
    project.code("15_broken.sql", BROKEN["do block"][0])
    with pytest.raises(MigrationError) as caught:
        project.migrate(scratch)
    assert (caught.value.sqlstate, caught.value.hint) == ("ZB002", "do this")
    assert "inline_code_block line 5" in (caught.value.detail or "")
