"""Tokens: who may do what, what is refused, and that failures are seen and cannot fill the store."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import psycopg
import pytest

from bcp_analytics import (
    InvalidArgument,
    api_tokens,
    authentication_stats,
    create_api_token,
    revoke_api_token,
)
from bcp_analytics.serve import Config
from bcp_analytics.serve._auth import Tokens
from bcp_analytics.serve._database import Database
from bcp_analytics.serve._errors import Refused
from tests.serve.conftest import Running, make_token

FORGED = "bcpa_" + "0" * 64 + sha256(b"0" * 64).hexdigest()[:8]


def check(conn: psycopg.Connection[Any], token: str) -> tuple[Any, ...]:
    row = conn.execute(
        "select token_name, role, vantage, problem from bcp_internal.check_api_token(%s)",
        [sha256(token.encode()).digest()],
    ).fetchone()
    assert row is not None
    return row


def test_a_token_is_known_until_it_expires_or_is_revoked(clean_db: psycopg.Connection[Any]) -> None:
    clean_db.execute("select set_config('bcp.now', '2026-06-15T12:00Z', false)")
    token = create_api_token(
        clean_db, "laptop", "ingest", vantage="client", expires_at=datetime(2026, 6, 16, tzinfo=UTC)
    )
    lasting = create_api_token(clean_db, "dashboard", "admin")
    assert check(clean_db, token) == ("laptop", "ingest", "client", None)
    assert check(clean_db, FORGED) == (None, None, None, "unknown")
    clean_db.execute("select set_config('bcp.now', '2026-06-16T00:00Z', false)")
    assert check(clean_db, token) == (None, None, None, "expired")
    assert check(clean_db, lasting) == ("dashboard", "admin", None, None)
    assert revoke_api_token(clean_db, "dashboard")
    assert not revoke_api_token(clean_db, "dashboard")
    assert check(clean_db, lasting) == (None, None, None, "revoked")
    found = {t.token_name: (t.state, t.last_used_at) for t in api_tokens(clean_db)}
    assert found == {
        "laptop": ("expired", datetime(2026, 6, 15, 12, tzinfo=UTC)),
        "dashboard": ("revoked", datetime(2026, 6, 16, tzinfo=UTC)),
    }
    # The name is free again.
    create_api_token(clean_db, "dashboard", "reader")


def test_a_token_is_known_where_nothing_can_be_written(clean_db: psycopg.Connection[Any]) -> None:
    token = create_api_token(clean_db, "dashboard", "reader")
    clean_db.execute("set default_transaction_read_only = on")
    assert check(clean_db, token) == ("dashboard", "reader", None, None)
    assert [one.last_used_at for one in api_tokens(clean_db)] == [None]


def test_the_token_itself_is_stored_nowhere(clean_db: psycopg.Connection[Any]) -> None:
    token = create_api_token(clean_db, "x", "reader")
    clean_db.execute(
        "select bcp.log_tool_usage('b', 't', p_parameters => jsonb_build_object('a', %s::text))", [token]
    )
    tables = clean_db.execute(
        "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname like 'bcp%'"
    ).fetchall()
    for (table,) in tables:
        found = clean_db.execute(
            f"select count(*) from {table} t where t::text like %s", [f"%{token[5:40]}%"]
        )
        assert found.fetchone() == (0,), table


@pytest.mark.parametrize(
    ("name", "role", "options"),
    [
        ("a", "owner", {}),
        ("", "reader", {}),
        ("n" * 201, "reader", {}),
        ("a", "reader", {"vantage": "server"}),
        ("a", "ingest", {"vantage": "sideways"}),
        ("a", "ingest", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
        ("taken", "ingest", {}),
    ],
)
def test_a_token_that_cannot_be_made_says_why(
    db: psycopg.Connection[Any], name: str, role: Any, options: Any
) -> None:
    create_api_token(db, "taken", "reader")
    with pytest.raises(InvalidArgument), db.transaction():
        create_api_token(db, name, role, **options)


def test_only_administrators_make_see_and_revoke_tokens(db: psycopg.Connection[Any]) -> None:
    for role in ("bcp_reader", "bcp_writer"):
        for call in ("bcp.create_api_token('x', 'admin')", "bcp.revoke_api_token('x')", "bcp.api_tokens()"):
            db.execute(f"set local role {role}")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
                db.execute(f"select {call}")
            db.execute("reset role")


def test_each_route_refuses_who_may_not_use_it(server: Running) -> None:
    late = datetime.now(UTC) + timedelta(hours=1)
    wrong: dict[str, dict[str, Any]] = {
        "none": {},
        "malformed": {"authorization": b"Bearer bcpa_x\xff"},
        "unknown": {"authorization": f"Bearer {FORGED}"},
        "no bearer": {"authorization": f"Basic {server.tokens['admin']}"},
    }
    for headers in wrong.values():
        answer = server.send("GET", "/v1/session", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "bcpa_" not in answer.text
    expired = make_token(server.dsn, "short", "reader", expires_at=late)
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(
            "update bcp_internal.api_tokens set created_at = now() - interval '1 day', "
            "expires_at = now() - interval '1 hour' where token_name = 'short'"
        )
    headers = {"authorization": f"Bearer {expired}"}
    assert server.send("GET", "/v1/session", headers=headers).json()["error"]["message"] == (
        "This token has expired."
    )
    assert server.send("GET", "/v1/session", role="ingest").status_code == 403
    assert server.send("GET", f"/v1/session?token={server.tokens['admin']}").status_code == 401
    assert server.send("GET", "/v1/session", role="reader").json() == {"name": "reader", "role": "reader"}
    asyncio.run(server.app.state.tokens.note_failures())
    with psycopg.connect(server.dsn) as conn:
        failed = conn.execute(
            "select error_type, attempts from bcp_internal.token_log_ins('-infinity', 'infinity')"
            " where not success"
        ).fetchall()
        assert dict(failed) == {"missing": 3, "malformed": 1, "unknown": 1, "expired": 1, "too_weak": 1}
        [stats] = authentication_stats(conn)
        counted = conn.execute("select count(*) from bcp.tool_usage_logs").fetchone()
    assert (stats.method, stats.failure_count, stats.success_count) == ("api_token", 7, 2)
    assert (stats.bcp_name, stats.top_failure) == ("bcp_analytics", "missing")
    # A log-in to this store is no call of a tool.
    assert counted == (0,)


def test_guessing_is_slowed_down_and_a_good_token_of_the_same_address_is_not(server: Running) -> None:
    assert server.send("GET", "/v1/session", role="reader").status_code == 200
    guesses = [
        "bcpa_" + secret + sha256(secret.encode()).hexdigest()[:8]
        for secret in (sha256(str(n).encode()).hexdigest() for n in range(12))
    ]
    answers = [
        server.send("GET", "/v1/session", headers={"authorization": f"Bearer {guess}"}).status_code
        for guess in guesses
    ]
    assert answers == [401] * 10 + [429] * 2
    assert server.send("GET", "/v1/session", role="reader").status_code == 200


class Clock:
    """Seconds that the test tells."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def _revoked_after(dsn: str, token: str) -> list[int]:
    database, clock = Database(Config(dsn=dsn)), Clock()
    await database.open()
    tokens = Tokens(database, clock)
    statuses = []
    try:
        for clock.now, revoke in ((0, False), (1, True), (4, False), (6, False)):
            if revoke:
                async with database.connection("admin") as conn:
                    await conn.execute("select bcp.revoke_api_token('x')")
            try:
                await tokens.check(token, "127.0.0.1", "reader")
                statuses.append(200)
            except Refused as error:
                statuses.append(error.status)
    finally:
        await database.close()
    return statuses


def test_a_revoked_token_is_refused_within_five_seconds(dsn: str) -> None:
    token = make_token(dsn, "x", "reader")
    assert asyncio.run(_revoked_after(dsn, token)) == [200, 200, 200, 401]


async def _flooded(dsn: str) -> None:
    database = Database(Config(dsn=dsn))
    await database.open()
    tokens = Tokens(database, Clock())
    try:
        for n in range(3000):
            with pytest.raises(Refused):
                await tokens.check(None, f"10.{n // 250}.{n % 250}.1", "reader")
        await tokens.note_failures()
    finally:
        await database.close()


def test_failures_from_many_addresses_are_few_rows(dsn: str) -> None:
    asyncio.run(_flooded(dsn))
    with psycopg.connect(dsn) as conn:
        found = conn.execute(
            "select count(*), sum(attempts), min(network)"
            " from bcp_internal.token_log_ins('-infinity', 'infinity')"
        ).fetchone()
    assert found == (20, 3000, "10.0.0.0/24")


def test_a_browsers_session_stands_for_its_token_until_it_is_closed_or_the_token_revoked(
    server: Running,
) -> None:
    opened = server.send("POST", "/v1/session", json={"token": server.tokens["reader"]})
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert server.tokens["reader"] not in cookie
    headers = {"cookie": cookie.split(";")[0]}
    assert server.send("GET", "/v1/session", headers=headers).json()["role"] == "reader"
    assert server.send("DELETE", "/v1/session", headers=headers).status_code == 204
    assert server.send("GET", "/v1/session", headers=headers).status_code == 401
    for body in ("", "[]", "{", '{"token": 1}', "9" * 5000, '{"token": "bcpa_"}'):
        assert server.send("POST", "/v1/session", content=body).status_code in {400, 401, 413}
