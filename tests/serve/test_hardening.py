"""Hosts, origins, headers, and senders that are too slow."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from bcp_analytics.serve import _patience

if TYPE_CHECKING:
    from tests.serve.conftest import Running


def test_other_hosts_are_not_answered(shared_server: Running) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        assert shared_server.send("GET", "/healthz", headers={"host": host}).status_code == 421
    for host in ("localhost", "LOCALHOST:1", f"127.0.0.1:{shared_server.port}", "[::1]:80"):
        assert shared_server.send("GET", "/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_others_change_nothing(shared_server: Running, headers: dict[str, str]) -> None:
    body = {"token": shared_server.tokens["admin"]}
    assert shared_server.send("POST", "/v1/session", json=body, headers=headers).status_code == 403
    own = {"origin": shared_server.url, "sec-fetch-site": "same-origin"}
    assert shared_server.send("POST", "/v1/session", json=body, headers=own).status_code == 200


def test_otlp_is_refused_in_its_own_form_and_with_all_headers(shared_server: Running) -> None:
    for headers, status, code in (({"host": "evil.example"}, 421, 13), ({"origin": "null"}, 403, 7)):
        answer = shared_server.send("POST", "/v1/traces", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["x-content-type-options"] == "nosniff"
        in_protobuf = {**headers, "content-type": "application/x-protobuf"}
        answer = shared_server.send("POST", "/v1/logs", headers=in_protobuf)
        assert answer.headers["content-type"] == "application/x-protobuf"
        assert answer.content[:2] == bytes([8, code])


def test_answers_are_not_cached_framed_or_sniffed(shared_server: Running) -> None:
    for path in ("/healthz", "/nowhere", "/v1/session"):
        headers = shared_server.send("GET", path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers
    assert shared_server.send("GET", "/nowhere").status_code == 404
    assert shared_server.send("PUT", "/healthz").status_code == 405
    assert shared_server.send("GET", "/healthz/").status_code == 404


def test_who_sends_too_slowly_is_not_waited_for(
    shared_server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert (_patience.HEADERS_S, _patience.BODY_S, _patience.NEXT_S) == (10, 60, 5)
    for name in ("HEADERS_S", "BODY_S", "NEXT_S"):
        monkeypatch.setattr(_patience, name, 0.2)
    post = b"POST /v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    for sent, said in ((b"", []), (get, []), (get + b"\r\n" + get, [b"200"]), (post, [b"408"])):
        with socket.create_connection(("127.0.0.1", shared_server.port), timeout=10) as client:
            client.sendall(sent)
            answer = client.makefile("rb").read()
        assert [line.split()[1] for line in answer.splitlines() if line.startswith(b"HTTP/1.1")] == said
    # Who leaves in the middle is no failure of the server's.
    with socket.create_connection(("127.0.0.1", shared_server.port)) as client:
        client.sendall(post)
    assert shared_server.send("GET", "/healthz").status_code == 200
    assert not caplog.records
