"""The command `bcp-analytics mcp`."""

from __future__ import annotations

from typing import Annotated

import typer

from bcp_analytics.cli._support import ReadDsn, readable_dsn
from bcp_analytics.errors import BcpAnalyticsError


def mcp(
    *,
    allow_resolve: Annotated[
        bool,
        typer.Option(
            "--allow-resolve", help="Offer the tool resolve_issue, which changes the store. Needs bcp_admin."
        ),
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Address of bcp-analytics serve: answers then say where the dashboard has more.",
            show_default=False,
        ),
    ] = None,
    dsn: ReadDsn = None,
) -> None:
    """Answer agents by the Model Context Protocol, over stdin and stdout: what broke, changed, and costs.

    A client such as Claude Code, Codex or Cursor starts it. What events say comes fenced, as untrusted data.
    Its own calls are not recorded. Needs the extra bcp_analytics[mcp], and a role that has bcp_reader.

    \b
    claude mcp add bcp-analytics -- bcp-analytics mcp
    bcp-analytics mcp --base-url http://127.0.0.1:8787
    bcp-analytics mcp --allow-resolve
    """  # noqa: D301
    try:
        from bcp_analytics import agents  # noqa: PLC0415 - only this command pays for its imports
    except ImportError as error:
        raise BcpAnalyticsError(
            f"The MCP server needs {error.name}, which is not installed.",
            hint='pip install "bcp_analytics[cli,mcp]"',
        ) from None
    if base_url is not None and not base_url.startswith(("http://", "https://")):
        raise typer.BadParameter("write it with http:// or https://.", param_hint="--base-url")
    where = readable_dsn(dsn, reads=not allow_resolve)
    agents.serve_stdio(where, allow_resolve=allow_resolve, base_url=base_url)
