"""The commands `bcp-analytics lake`: the archive as a lake of other engines."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bcp_analytics.archive import _views
from bcp_analytics.archive._model import LOCATION_VARIABLE
from bcp_analytics.cli._support import tell

app = typer.Typer(no_args_is_help=True)


class Dialect(StrEnum):
    """An engine, by how it writes SQL."""

    duckdb = "duckdb"
    clickhouse = "clickhouse"
    spark = "spark"
    trino = "trino"


@app.callback()
def lake() -> None:
    """Ask the archive with other engines.

    \b
    bcp-analytics lake views --dialect spark
    """  # noqa: D301


@app.command("views")
def print_views(
    *,
    dialect: Annotated[
        Dialect, typer.Option(help="The engine that is to make the views.", show_default=False)
    ],
    location: Annotated[
        str | None,
        typer.Option(
            help="Where the archive is, as the engine reaches it. By default BCP_ARCHIVE_LOCATION.",
            show_default=False,
        ),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            help="What the engine calls the catalogue of the lake, where it knows it. Spark and Trino: bcp.",
            show_default=False,
        ),
    ] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="Over the files by their paths, and not over Iceberg's tables.")
    ] = False,
    bytes_per_token: Annotated[
        float,
        typer.Option(min=0.1, max=1000, help="For tokens that nobody gave: the setting bytes_per_token."),
    ] = 4,
) -> None:
    """Print the definitions of views that answer questions of the archive in another engine.

    bcp_usage_1h and bcp_usage_1d as bcp.tool_usage_stats, bcp_errors_1d as bcp.error_analysis,
    bcp_session_stats_1d as bcp.session_stats, bcp_top_users_1d as bcp.top_users, bcp_context_cost_1d as
    bcp.context_cost; all by day or hour of UTC.

    \b
    bcp-analytics lake views --dialect duckdb --paths --location /srv/bcp-archive | duckdb lake.db
    bcp-analytics lake views --dialect clickhouse --location s3://analytics/bcp
    bcp-analytics lake views --dialect spark --catalog lake > views.sql
    """  # noqa: D301
    where = location or os.environ.get(LOCATION_VARIABLE) or ""
    if not where and (paths or catalog is None) and dialect in {Dialect.duckdb, Dialect.clickhouse}:
        raise typer.BadParameter("say where the archive is.", param_hint="--location")
    if where and "://" not in where:
        where = str(Path(where).expanduser().resolve())
    made = _views.sources(str(dialect), where.removeprefix("file://"), catalog=catalog, by_path=paths)
    for statement in _views.views(str(dialect), made, bytes_per_token):
        tell(f"{statement};\n")
