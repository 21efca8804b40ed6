"""The lint over SQL finds what it is there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import pgspot_all

GOOD = """\
create schema ours;

-- Fine.
create or replace function ours.f() returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $func$ begin return 1 + 1; end $func$;
"""


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("set search_path = pg_catalog, pg_temp\n", "", "PS003"),
        ("= pg_catalog, pg_temp", "= public, pg_temp", "PS004"),
        ("ours.f", "public.f", "PS002"),
        ("create schema ours;", "create schema if not exists ours;", "PS010"),
        ("return 1 + 1;", "a b c;", "unread"),
    ],
)
def test_a_bad_file_is_found_with_its_line(tmp_path: Path, old: str, new: str, code: str) -> None:
    path = tmp_path / "10_some.sql"
    path.write_text(GOOD)
    assert pgspot_all.check([path]) == []
    path.write_text(GOOD.replace(old, new))
    assert (code, f"{tmp_path.name}/10_some.sql:{1 if code == 'PS010' else 4}") in {
        (finding.code, finding.place) for finding in pgspot_all.check([path])
    }


def test_a_finding_makes_the_lint_fail_and_an_accepted_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "10_some.sql"
    path.write_text("create schema if not exists ours;")
    monkeypatch.setattr(pgspot_all, "everything", lambda: [path])
    monkeypatch.setattr(pgspot_all, "ACCEPTED", {})
    assert pgspot_all.main() == 1
    assert "10_some.sql:1: PS010 Unsafe schema creation: ours" in capsys.readouterr().out
    monkeypatch.setattr(pgspot_all, "ACCEPTED", {("PS010", "ours"): "a test"})
    assert pgspot_all.main() == 0
    path.write_text("create schema ours;")
    assert pgspot_all.main() == 1
    assert "found no more" in capsys.readouterr().out
