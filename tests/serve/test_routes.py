"""No route answers who has no right to it, and each is there once."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import psycopg
from starlette.routing import Route, WebSocketRoute

from bcp_analytics.serve import Config, _actions, _alerting, create_app
from bcp_analytics.serve._dashboard import PAGES
from bcp_analytics.serve._openapi import description
from tests.serve.conftest import Running, make_token
from tests.serve.test_tokens import FORGED

# The dashboard itself holds nothing of the store.
OPEN = {"/healthz", "/readyz", "/openapi.json", "/assets/{name}", *PAGES}
# A session is opened by a token in the body, and closed by whoever has its cookie.
OWN = {("POST", "/v1/session"), ("DELETE", "/v1/session")}
WEAK = {"/v1/events": "reader", "/v1/traces": "reader", "/v1/logs": "reader", "/v1/metrics": "reader"}


def guarded(running: Running) -> list[tuple[str, str]]:
    found = []
    for route in running.app.routes:
        assert isinstance(route, Route | WebSocketRoute)
        if isinstance(route, Route) and route.path not in OPEN:
            path = route.path.replace("{name}", "health").replace("{kind}", "errors")
            path = path.replace("{fingerprint:path}/{action}", "x/resolve").replace("{name:path}", "x")
            path = path.replace("{alert_id:int}", "1")
            # The routes of OTLP take every method, to say which one it is.
            methods = ["POST"] if path in WEAK else sorted((route.methods or set()) - {"HEAD"})
            found += [(m, path) for m in methods if (m, path) not in OWN]
    return found


def test_every_route_asks_for_a_token_that_may_use_it(server: Running) -> None:
    expired, revoked = (make_token(server.dsn, name, "admin") for name in ("expired", "revoked"))
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        conn.execute(
            "update bcp_internal.api_tokens set created_at = now() - interval '2 hours', "
            "expires_at = now() - interval '1 hour' where token_name = 'expired'"
        )
        conn.execute("select bcp.revoke_api_token('revoked')")
    routes = guarded(server)
    assert len(routes) >= 8
    wrong: list[dict[str, Any]] = [
        {},
        {"authorization": "Bearer bcpa_00"},
        *({"authorization": f"Bearer {token}"} for token in (FORGED, expired, revoked)),
    ]
    for method, path in routes:
        for headers in wrong:
            # Each request is the first of its minute.
            server.app.state.tokens._failures._entries.clear()
            answer = server.send(method, path, headers=headers)
            assert answer.status_code == 401, (method, path, headers)
            assert "bcpa_" not in answer.text
        weak = next((role for start, role in WEAK.items() if path.startswith(start)), "ingest")
        assert server.send(method, path, role=weak).status_code == 403, (method, path)
    asyncio.run(server.app.state.tokens.note_failures())
    with psycopg.connect(server.dsn) as conn:
        noted = conn.execute(
            "select error_type, sum(attempts)::int from bcp_internal.token_log_ins('-infinity', 'infinity') "
            "where not success group by 1"
        ).fetchall()
    reasons = ("missing", "malformed", "unknown", "expired", "revoked", "too_weak")
    assert dict(noted) == dict.fromkeys(reasons, len(routes))


def test_each_route_is_there_once_and_described() -> None:
    routes = [route for route in create_app(Config(dsn="", port=0)).routes if isinstance(route, Route)]
    found = [
        (method, path)
        for route in routes
        for method in sorted((route.methods or set()) - {"HEAD"})
        for path in (
            [route.path.replace("{action}", action) for action in ("resolve", "reopen")]
            if "{action}" in route.path
            else [route.path]
        )
    ]
    assert [one for one, times in Counter(found).items() if times > 1] == []
    described = description()["paths"]
    administered = {route.path for route in (*_actions.routes, *_alerting.routes)}
    for method, path in found:
        if path.rpartition("/")[0] + "/{action}" in administered or path in administered:
            plain = re.sub(r":\w+}", "}", path)
            assert method.lower() in described[plain], (method, path)
