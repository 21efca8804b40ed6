"""A database that is away or busy, what a server asks of it at the start, and the access log."""

from __future__ import annotations

import asyncio
import io
import json
from typing import TYPE_CHECKING

import pytest

from bcp_analytics.errors import BcpAnalyticsError
from bcp_analytics.serve import Config, _database, run
from bcp_analytics.serve._auth import Tokens
from bcp_analytics.serve._errors import Refused
from bcp_analytics.serve._hardening import AccessLog
from tests.serve.conftest import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from tests.targets import Target


@pytest.fixture(scope="module")
def dsn(_server: Target) -> Iterator[str]:
    """No test here writes an event or makes a token, so one database serves them all."""
    with _server.clean() as found:
        yield found


def test_a_forwarded_address_is_believed_of_named_proxies_only(dsn: str) -> None:
    forwarded = {"x-forwarded-for": "203.0.113.9"}
    for proxies, seen in (((), "127.0.0.1"), (("127.0.0.1",), "203.0.113.9")):
        with serving(dsn, trusted_proxies=proxies) as running:
            running.send("GET", "/v1/session", headers=forwarded)
            assert list(running.app.state.tokens._noted) == [("missing", seen)]


@pytest.mark.native("the embedded engine lets nobody connect while a transaction is open")
def test_a_burst_of_requests_asks_for_one_connection_more(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "_PATIENCE", 0.2)

    async def burst() -> tuple[list[str], int, bool]:
        database = _database.Database(Config(dsn=dsn, connections=1))
        await database.open()
        connect, asked = database._reachable, []

        async def reachable() -> bool:
            asked.append(1)
            return await connect()

        monkeypatch.setattr(database, "_reachable", reachable)
        try:
            async with database.connection("reader"):
                found = await asyncio.gather(*(database.check() for _ in range(9)), return_exceptions=True)
                found += await asyncio.gather(
                    *(Tokens(database).check_digest(bytes(32), "", "reader") for _ in range(9)),
                    return_exceptions=True,
                )
            return [type(one).__name__ for one in found], len(asked), database.away
        finally:
            await database.close()

    said, asked, away = asyncio.run(burst())
    assert said == ["Busy"] * 18
    assert asked <= 4
    assert not away


@pytest.mark.native("the embedded engine lets nobody connect while a transaction is open")
def test_readers_leave_connections_to_events_and_to_tokens(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_database, "_PATIENCE", 0.2)

    async def busy() -> tuple[str, str]:
        database = _database.Database(Config(dsn=dsn, connections=3))
        await database.open()
        try:
            async with database.connection("reader"), database.connection("reader"):
                # A third reader would take the last one.
                with pytest.raises(_database.Busy):
                    async with database.connection("reader"):
                        pass
                await database.check()
                with pytest.raises(Refused) as refused:
                    await Tokens(database).check_digest(bytes(32), "", "reader")
            async with database.connection("reader"):
                pass
            return refused.value.message, "away" if database.away else "there"
        finally:
            await database.close()

    assert asyncio.run(busy()) == ("This token is not known.", "there")


@pytest.mark.parametrize(("reachable", "status"), [(True, 504), (False, 503)])
def test_a_database_that_says_nothing_is_not_waited_for(
    dsn: str, monkeypatch: pytest.MonkeyPatch, *, reachable: bool, status: int
) -> None:
    async def hang() -> tuple[int, bool]:
        database = _database.Database(Config(dsn=dsn, statement_timeout=0.1))
        await database.open()
        monkeypatch.setattr(_database, "_PATIENCE", 0.1)
        if not reachable:
            monkeypatch.setattr(database, "_connect", asyncio.Event().wait)
        try:
            with pytest.raises(Refused) as refused:
                async with database.connection("reader"):
                    await asyncio.Event().wait()
            return refused.value.status, database.away
        finally:
            await database.close()

    assert asyncio.run(hang()) == (status, not reachable)


def test_the_access_log_has_no_value_of_a_request(dsn: str) -> None:
    lines = io.StringIO()
    with serving(dsn) as running:
        app: ASGIApp = running.app
        running.app.middleware_stack = AccessLog(running.app.middleware_stack, lines.write)  # type: ignore[arg-type]
        assert app is running.app
        running.send("GET", "/healthz?user=jane@example.com")
        running.send("GET", "/jane@example.com")
    assert "jane" not in lines.getvalue()
    first, second = map(json.loads, lines.getvalue().splitlines())
    assert (first["method"], first["route"], first["status"]) == ("GET", "/healthz", 200)
    assert (second["route"], second["status"]) == (None, 404)


@pytest.mark.any_target("it needs no database")
@pytest.mark.parametrize(
    "changes",
    [{"trusted_proxies": ("localhost",)}, {"trusted_proxies": ("10.0.0.1/8",)}]
    + [{"allowed_hosts": (name,)} for name in ("https://bcp.lan", "bcp.lan:8787", "a b", "")],
)
def test_names_that_no_request_could_match_are_refused(changes: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(BcpAnalyticsError, match="is no"):
        Config(dsn="", **changes)  # type: ignore[arg-type]


def test_a_wrong_certificate_is_said_before_it_serves(dsn: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("none")
    told: list[str] = []
    with pytest.raises(BcpAnalyticsError, match="certificate"):
        run(Config(dsn=dsn, port=0, tls_certificate=wrong, tls_key=wrong), tell=told.append)
    assert not told


def test_a_public_address_needs_a_token_first(dsn: str) -> None:
    with pytest.raises(BcpAnalyticsError, match="no token yet"):
        run(Config(dsn=dsn, host="0.0.0.0"))  # noqa: S104 - the point


def test_a_store_that_is_not_there_is_said_at_the_start(blank_db: str) -> None:
    with pytest.raises(BcpAnalyticsError, match="bcp-analytics migrate"):
        run(Config(dsn=blank_db))


def test_without_a_database_it_lives_and_is_not_ready() -> None:
    with serving("host=127.0.0.1 port=1 dbname=none") as running:
        assert running.send("GET", "/healthz").status_code == 200
        answer = running.send("GET", "/readyz")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
