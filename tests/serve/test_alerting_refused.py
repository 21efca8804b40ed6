"""Rules, channels and snoozes by HTTP: what is refused, and to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.serve.conftest import Running


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/v1/channels", "[]", "no"),
        ("POST", "/v1/channels", '{"kind": "webhook"}', "lacks channel_name"),
        ("POST", "/v1/channels", '{"channel_name": "a", "kind": "pigeon"}', "kind cannot be used"),
        ("POST", "/v1/channels", '{"channel_name": "a", "kind": "webhook", "color": 1}', "no known name"),
        (
            "POST",
            "/v1/channels",
            '{"channel_name": "a", "kind": "webhook", "digest": 1}',
            "digest cannot be used",
        ),
        ("POST", "/v1/channels", '{"channel_name": "a\\u0000", "kind": "webhook"}', "surrogate"),
        ("POST", "/v1/channels", '{"channel_name": "a\\ud800", "kind": "webhook"}', "surrogate"),
        (
            "POST",
            "/v1/channels",
            '{"channel_name": "a", "kind": "webhook", "cooldown": "soon"}',
            "cannot be read",
        ),
        (
            "POST",
            "/v1/channels",
            '{"channel_name": "a", "kind": "webhook", "config": {"url": "http://127.0.0.1/"}}',
            "notification_hosts does not allow",
        ),
        ("PUT", "/v1/alert-rules/x", '{"metric": "error_rate"}', "lacks a value"),
        ("PUT", "/v1/alert-rules/slow", '{"lookback": "400 days"}', "lookback"),
        ("PUT", "/v1/alert-rules/slow", '{"lookback": "long"}', "type"),
        ("PUT", "/v1/alert-rules/slow", '{"threshold": NaN}', ""),
        ("POST", "/v1/alert-rules/slow/snooze", "{}", "lacks until"),
        ("POST", "/v1/alert-rules/slow/snooze", '{"until": "later"}', "no time"),
    ],
)
def test_what_is_wrong_is_said(shared_server: Running, method: str, path: str, body: str, said: str) -> None:
    answer = shared_server.send(method, path, role="admin", content=body)
    assert answer.status_code == 400, answer.text
    assert said in answer.text


def test_only_an_administrator_changes(shared_server: Running) -> None:
    for method, path in (
        ("GET", "/v1/channels"),
        ("POST", "/v1/channels"),
        ("PATCH", "/v1/channels/a"),
        ("DELETE", "/v1/channels/a"),
        ("POST", "/v1/channels/a/test"),
        ("PUT", "/v1/alert-rules/slow"),
        ("DELETE", "/v1/alert-rules/slow"),
        ("POST", "/v1/alert-rules/slow/snooze"),
        ("POST", "/v1/alerts/1/snooze"),
        ("POST", "/v1/alerts/1/acknowledge"),
    ):
        assert shared_server.send(method, path).status_code == 401
        for role in ("ingest", "reader"):
            assert shared_server.send(method, path, role=role, json={}).status_code == 403, (method, path)
        elsewhere = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        if method != "GET":
            assert (
                shared_server.send(method, path, role="admin", headers=elsewhere, json={}).status_code == 403
            )
    assert shared_server.send("GET", "/v1/alert-rules", role="ingest").status_code == 403
