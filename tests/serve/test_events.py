"""Events by HTTP: arrays and lines of JSON become rows, and the receipt is that of the SQL function."""

from __future__ import annotations

import gzip
import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from tests.serve.conftest import Running, make_token, serving

CALL = {"bcp_name": "mail", "tool_name": "send", "duration_ms": 5, "success": True}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "tool_usage": ("bcp.tool_usage_logs where bcp_name = 'mail'", CALL),
    "errors": ("bcp.error_logs", {"level": "error", "message": "boom"}),
    "metrics": (
        "bcp.performance_metrics where metric_name = 'queue'",
        {"metric_name": "queue", "metric_value": 3},
    ),
    "sessions": ("bcp.user_sessions", {"session_id": "s-1"}),
}
JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


def send(server: Running, content: bytes, kind: str = "tool_usage", **headers: str) -> Any:
    return server.send("POST", f"/v1/events/{kind}", role="ingest", content=content, headers=JSON | headers)


def receipt(accepted: int, stored: int, duplicates: int = 0, rejected: int = 0) -> dict[str, int]:
    return {"accepted": accepted, "stored": stored, "duplicates": duplicates, "rejected": rejected}


def test_each_kind_is_stored(server: Running) -> None:
    for kind, (table, event) in KINDS.items():
        answer = send(server, json.dumps([event]).encode(), kind)
        assert (answer.status_code, answer.json()) == (200, receipt(1, 1)), kind
        with psycopg.connect(server.dsn) as conn:
            assert conn.execute(f"select count(*) from {table}").fetchone() == (1,)
    with psycopg.connect(server.dsn) as conn:
        # The store notes the use of tokens itself.
        sources = "select distinct source from bcp.ingest_batches where source <> 'bcp_analytics'"
        assert conn.execute(sources).fetchall() == [("ingest",)]


def test_a_bad_line_is_rejected_alone(server: Running) -> None:
    one = json.dumps(CALL).encode()
    deep = b"[" * 10_000
    bad = [b'{"bcp_name": ', b'{"bcp_name": "\xff"}', deep, b'{"duration_ms": NaN}', b"-Infinity"]
    lines = b"\n".join([one, b"", one + b"\r", *bad, one])
    answer = server.send("POST", "/v1/events/tool_usage", role="ingest", content=lines, headers=LINES)
    assert (answer.status_code, answer.json()) == (200, receipt(8, 3, 0, 5))
    odd = b'[{"bcp_name": "a\\ud800b\\u0000", "tool_name": "x"}]'
    assert send(server, gzip.compress(odd), **{"content-encoding": "gzip"}).json() == receipt(1, 1)


def test_an_idempotency_key_makes_sending_again_harmless(server: Running) -> None:
    body = json.dumps([CALL, CALL]).encode()
    for key in (str(uuid4()), '"order-7"'):
        assert send(server, body, **{"idempotency-key": key}).json() == receipt(2, 2)
        assert send(server, body, **{"idempotency-key": key}).json() == receipt(2, 0, 2)
    # Another sender's key of the same name is another key.
    server.tokens["ingest"] = make_token(server.dsn, "another", "ingest")
    assert send(server, body, **{"idempotency-key": "order-7"}).json() == receipt(2, 2)


REFUSED: list[tuple[int, bytes, dict[str, str], str]] = [
    (400, b'{"a": 1}', {"idempotency-key": "x" * 501}, "tool_usage"),
    (400, b"[1", {}, "tool_usage"),
    (400, b"[" * 10_000, {}, "tool_usage"),
    (404, b"[]", {}, "calls"),
    (413, gzip.compress(bytes(64 * 1024 * 1024)), {"content-encoding": "gzip"}, "tool_usage"),
    # Small as they come, and gigabytes in the database.
    (413, gzip.compress(b"1\n" * 100_002), {"content-encoding": "gzip"}, "tool_usage"),
    (413, gzip.compress(b"[" + b"1," * 2_000_000 + b"1]"), {"content-encoding": "gzip"}, "tool_usage"),
    (415, b"[]", {"content-type": "text/plain"}, "tool_usage"),
    (415, b"[]", {"content-encoding": "br"}, "tool_usage"),
]


def test_what_cannot_be_read_is_refused_in_words(server: Running) -> None:
    for status, content, headers, kind in REFUSED:
        answer = send(server, content, kind, **headers)
        assert answer.status_code == status, (content[:20], headers)
        assert answer.json()["error"]["message"]


def test_only_who_may_ingest_may_send(server: Running) -> None:
    for role, status in ((None, 401), ("reader", 403), ("admin", 200)):
        answer = server.send("POST", "/v1/events/metrics", role=role, content=b"[]", headers=JSON)
        assert answer.status_code == status


@pytest.mark.native("the embedded engine is one session, which has the settings that it began with")
def test_a_standby_is_told_to_be_tried_again(dsn: str) -> None:
    token = make_token(dsn, "ingest", "ingest")
    with psycopg.connect(dsn, autocommit=True) as conn:
        name = sql.Identifier(conn.info.dbname)
        conn.execute(sql.SQL("alter database {} set default_transaction_read_only = on").format(name))
        try:
            with serving(dsn) as server:
                server.tokens["ingest"] = token
                answer = send(server, json.dumps([CALL]).encode())
        finally:
            conn.execute(sql.SQL("alter database {} reset default_transaction_read_only").format(name))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
