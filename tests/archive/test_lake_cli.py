"""The commands of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from bcp_analytics.archive import _extra
from bcp_analytics.cli._app import app
from bcp_analytics.errors import BcpAnalyticsError
from tests.archive.rows import few

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Db = psycopg.Connection[Any]

VIEWS = ("bcp_calls", "bcp_errors", "bcp_usage_1h", "bcp_usage_1d", "bcp_errors_1d", "bcp_sessions",
         "bcp_session_stats_1d", "bcp_top_users_1d", "bcp_context_cost_1d")  # fmt: skip


def said(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("dialect", ["duckdb", "clickhouse", "spark", "trino"])
def test_each_dialect_gets_all_views(dialect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BCP_ARCHIVE_LOCATION", "s3://a/b")
    text = said("lake", "views", "--dialect", dialect)
    for view in VIEWS:
        assert f" view {view} as" in text
    assert text.count(";\n") >= len(VIEWS)


def test_a_location_is_a_value_and_no_sql(tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415

    where = tmp_path / "it's\\here"
    where.mkdir()
    quoted = "'" + str(where).replace("'", "''")
    for dialect in ("duckdb", "clickhouse"):
        text = said("lake", "views", "--dialect", dialect, "--paths", "--location", str(where))
        assert (quoted if dialect == "duckdb" else quoted.replace("\\", "\\\\")) in text
    assert len(
        duckdb.extract_statements(said("lake", "views", "--dialect", "duckdb", "--location", str(where)))
    )


def test_what_an_engine_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BCP_ARCHIVE_LOCATION", raising=False)
    for arguments, words in (
        (("--dialect", "trino", "--paths"), "Trino reads no files by their paths"),
        (("--dialect", "duckdb"), "say where the archive is"),
    ):
        result = CliRunner().invoke(app, ["lake", "views", *arguments])
        assert result.exit_code != 0
        assert words in result.output + str(result.exception)


def test_publishing_and_no_longer(
    dsn: str, clean_db: Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyiceberg", reason="needs the extra iceberg")
    monkeypatch.setenv("BCP_ANALYTICS_DSN", dsn)
    monkeypatch.setenv("BCP_ARCHIVE_LOCATION", str(tmp_path))
    few(clean_db, "2020-01-05")
    listed = "select table_name from bcp_lake.iceberg_tables"
    said("archive", "--iceberg")
    assert clean_db.execute(listed).fetchall() == [("tool_usage_logs",)]
    assert "published no longer" in said("archive", "--no-iceberg")
    assert clean_db.execute(listed).fetchall() == []


def test_the_extra_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(_extra, "import_module", missing)
    with pytest.raises(BcpAnalyticsError, match="pyiceberg, which is not installed"):
        _extra.check_iceberg()
