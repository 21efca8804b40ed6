"""One attempt to send: what arrives, what is refused, and that no error says more than it may."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcp_analytics.notify import _email, _http
from bcp_analytics.notify._addresses import is_public
from bcp_analytics.notify._bodies import http_message, sign
from bcp_analytics.notify._claims import Claim, NotDelivered
from bcp_analytics.notify._notifier import attempt
from bcp_analytics.notify._texts import plain, texts
from tests.notify.receivers import Receiver, certificate, mailing, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALERT = {
    "event": "opened",
    "alert_id": 7,
    "bcp_name": "mail",
    "tool_name": "send",
    "metric": "error_rate",
    "value": 0.12,
    "worst_value": 0.2,
    "threshold": 0.05,
    "calls": 50,
    "opened_at": "2026-06-15T12:00:00+00:00",
}
ALERTS = {
    "rule_name": "errors",
    "severity": "warning",
    "description": "More than 5 percent fail.",
    "total": 1,
    "alerts": [ALERT],
}


def message(**changes: Any) -> Claim:
    made = Claim(
        delivery_id=UUID("019ecb27-2200-7522-8b1f-8d7278b63b32"),
        claim=1,
        channel_name="hook",
        kind="webhook",
        config={"url": "http://127.0.0.1:1"},
        secret=SECRET,
        host="127.0.0.1",
        reach="named",
        about="alerts",
        payload=ALERTS,
        created_at=datetime(2026, 6, 15, 12, tzinfo=UTC),
    )
    return replace(made, **changes)


def to(receiver: Receiver, **changes: Any) -> Claim:
    return message(config={"url": receiver.url + "/hook"}, **changes)


def failure(claim: Claim) -> NotDelivered:
    failed = asyncio.run(attempt(claim))
    assert failed is not None
    for secret in (SECRET, "secret", "token", "password-of", "/hook"):
        assert secret not in failed.error
    return failed


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of https://github.com/standard-webhooks/standard-webhooks, spec."""
    body = b'{"test": 2432232314}'
    wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == wanted


def test_a_webhook_is_signed_and_the_same_at_each_attempt() -> None:
    with receiving() as receiver:
        for _ in range(2):
            assert asyncio.run(attempt(to(receiver))) is None
    first, second = receiver.got
    first.check(SECRET)
    second.check(SECRET)
    assert (
        first.headers["webhook-id"]
        == second.headers["webhook-id"]
        == "msg_019ecb27-2200-7522-8b1f-8d7278b63b32"
    )
    assert abs(int(first.headers["webhook-timestamp"]) - time.time()) < 60
    assert first.body == second.body
    assert first.json["type"] == "alerts.changed"
    assert first.json["data"]["alerts"] == [ALERT]


def test_slack_gets_text_in_which_nothing_is_a_link_or_a_mention() -> None:
    hostile = ALERT | {
        "tool_name": "<!channel> <https://evil.example|click> @here *x* [a](http://evil.example)"
    }
    with receiving() as receiver:
        claim = message(
            kind="slack", secret=receiver.url + "/services/token", payload=ALERTS | {"alerts": [hostile]}
        )
        assert asyncio.run(attempt(claim)) is None
    [got] = receiver.got
    assert got.path == "/services/token"
    assert (got.json["mrkdwn"], got.json["unfurl_links"]) == (False, False)
    text = got.json["text"]
    assert text.startswith("[warning] errors: 1 opened\n")
    assert "<" not in text
    assert "://" not in text
    assert "@here" not in text
    assert "](" not in text
    assert "error rate 12.00%, threshold 5.00%, of 50 calls; since 2026-06-15 12:00 UTC" in text


def test_an_alertmanager_gets_its_own_form() -> None:
    closed = ALERT | {"event": "closed", "closed_at": "2026-06-15T12:30:00+00:00"}
    other = ALERT | {"alert_id": 8, "tool_name": "read"}
    with receiving() as receiver:
        claim = to(
            receiver,
            kind="alertmanager",
            secret="secret",
            payload=ALERTS | {"alerts": [ALERT, closed, other]},
        )
        assert asyncio.run(attempt(claim)) is None
    [got] = receiver.got
    assert got.path == "/hook/api/v2/alerts"
    assert got.headers["authorization"] == "Bearer secret"
    one, two = got.json
    assert one["labels"] == {
        "alertname": "errors",
        "severity": "warning",
        "source": "bcp_analytics",
        "metric": "error_rate",
        "bcp_name": "mail",
        "tool_name": "send",
    }
    assert one["endsAt"] == "2026-06-15T12:30:00+00:00"
    # An open one does not end by itself after five minutes.
    assert two["endsAt"] == "2026-07-15T12:00:00+00:00"


@pytest.mark.parametrize(
    ("status", "headers", "error", "final", "after"),
    [
        (500, {}, "HTTP 500", False, None),
        (429, {"retry-after": "120"}, "HTTP 429", False, 120),
        (503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, "HTTP 503", False, None),
        (410, {}, "HTTP 410", True, None),
        (
            302,
            {"location": "http://127.0.0.1:1/secret"},
            "HTTP 302: a redirect, which is not followed",
            False,
            None,
        ),
    ],
)
def test_what_the_other_side_answers(
    status: int, headers: dict[str, str], error: str, *, final: bool, after: float | None
) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (status, headers, b"secret of the other side")
        failed = failure(to(receiver))
        assert len(receiver.got) == 1
    assert (failed.error, failed.final, failed.retry_after) == (error, final, after)


def test_a_redirect_to_a_server_that_would_answer_is_not_followed() -> None:
    with receiving() as target, receiving() as receiver:
        receiver.answer = lambda _: (307, {"location": f"{target.url}/taken"}, b"")
        failure(to(receiver))
    assert target.got == []


def test_a_large_answer_is_not_read_to_its_end() -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (200, {}, b"x" * 50_000_000)
        assert asyncio.run(attempt(to(receiver))) is None


def test_a_server_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "_TIMEOUT", _http.aiohttp.ClientTimeout(total=0.2))
    with receiving() as receiver:
        receiver.answer = lambda _: time.sleep(1) or (200, {}, b"")  # type: ignore[func-returns-value]
        assert failure(to(receiver)).error == "no answer in time"


def test_nobody_there() -> None:
    assert failure(message()).error == "no connection: Connection refused"
    assert failure(message(config={"url": "http://nobody.invalid/"}, host="nobody.invalid")).error == (
        "the name of the host has no address"
    )


@pytest.mark.parametrize("reach", ["public", "refused"])
def test_a_private_address_needs_its_name_in_the_setting(tmp_path: Path, reach: Any) -> None:
    _, context = certificate(tmp_path)
    with receiving(context) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        for host, where in (("localhost", url), ("127.0.0.1", receiver.url)):
            assert (
                "notification_hosts" in failure(message(config={"url": where}, host=host, reach=reach)).error
            )
    with receiving() as receiver:
        assert "notification_hosts" in failure(to(receiver, reach=reach)).error
    with mailing() as box:
        config = {
            "host": "localhost",
            "port": box.port,
            "tls": "starttls",
            "sender": "a@b.c",
            "recipients": ["d@e.f"],
        }
        mail = message(kind="email", secret=None, config=config, host="localhost", reach=reach)
        assert "notification_hosts" in failure(mail).error
    assert receiver.got == []
    assert box.mails == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "fec0::1",
        "::ffff:0:127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_addresses_of_this_machine_and_network_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_addresses_of_everybody_are_public() -> None:
    assert is_public("93.184.215.14")
    assert is_public("2606:4700:4700::1111")
    assert is_public("64:ff9b::5db8:d70e")


def test_the_address_that_was_checked_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves to another address the second time does not lead there."""
    asked: list[str] = []

    async def resolve(claim: Claim, port: int) -> list[Any]:
        asked.append(f"{claim.host}:{port}")
        return [(_http.aiohttp.connector.socket.AF_INET, "127.0.0.1")]

    with receiving() as receiver:
        monkeypatch.setattr(_http, "resolve", resolve)
        url = receiver.url.replace("127.0.0.1", "rebinding.invalid")
        assert asyncio.run(attempt(message(config={"url": url}, host="rebinding.invalid"))) is None
        assert len(receiver.got) == 1
    assert asked == [f"rebinding.invalid:{receiver.port}"]


def test_a_url_in_which_another_host_is_read_is_refused() -> None:
    assert failure(message(config={"url": "http://other.example/"})).final
    assert failure(message(config={"url": "http://a:token@127.0.0.1/"})).final


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, context = certificate(tmp_path)
    with receiving(context) as receiver:
        assert failure(to(receiver)).error == "TLS: the certificate is not valid for the host"
        monkeypatch.setattr(
            _http.aiohttp,
            "TCPConnector",
            _trusting(_http.aiohttp.TCPConnector, ssl.create_default_context(cafile=file)),
        )
        assert asyncio.run(attempt(to(receiver))) is None


def _trusting(connector: Any, context: ssl.SSLContext) -> Any:
    return lambda **options: connector(ssl=context, **options)


def by_mail(port: int, **changes: Any) -> Claim:
    config = {
        "host": "localhost",
        "port": port,
        "tls": "none",
        "sender": "alerts@example.com",
        "recipients": ["ada@example.com", "bob@example.com"],
    } | changes.pop("config", {})
    return message(**{"kind": "email", "secret": None, "config": config, "host": "localhost"} | changes)


def test_a_mail_has_plain_text_and_headers_that_nothing_can_end() -> None:
    hostile = {
        "rule_name": "errors\r\nBcc: evil@example.com",
        "alerts": [ALERT | {"tool_name": "x\r\n.\r\nMAIL FROM:<evil@example.com>\u202e"}],
    }
    with mailing() as box:
        assert asyncio.run(attempt(by_mail(box.port, payload=ALERTS | hostile))) is None
        assert asyncio.run(attempt(by_mail(box.port, payload=ALERTS | hostile))) is None
    mail, again = box.mails
    assert box.recipients[:2] == ["ada@example.com", "bob@example.com"]
    assert mail["bcc"] is None
    assert mail["subject"] == r"bcp_analytics: [warning] errors\x0d\x0aBcc: evil@example.com: 1 opened"
    assert (
        mail["message-id"] == again["message-id"] == "<msg_019ecb27-2200-7522-8b1f-8d7278b63b32@example.com>"
    )
    assert mail["auto-submitted"] == "auto-generated"
    assert mail.get_content_type() == "text/plain"
    assert r"x\x0d\x0a.\x0d\x0aMAIL" in mail.get_content()
    assert r"\u202e" in mail.get_content()


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_mail_goes_by_tls_with_a_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tls: str) -> None:
    file, context = certificate(tmp_path)
    config = {"tls": tls, "username": "ada"}
    with mailing(context, implicit=tls == "tls") as box:
        claim = by_mail(box.port, secret="password-of-ada", config=config)
        assert failure(claim).error == "TLS: the certificate is not valid for the host"
        assert box.logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        assert asyncio.run(attempt(claim)) is None
        assert box.logins == ["\0ada\0password-of-ada"]
        assert len(box.mails) == 1
        box.refuses["AUTH"] = b"535 password-of-ada is wrong"
        assert failure(claim).error == "SMTP 535: the login was refused"


def test_a_server_that_offers_no_tls_gets_no_mail() -> None:
    with mailing() as box:
        claim = by_mail(box.port, secret="password-of-ada", config={"tls": "starttls", "username": "ada"})
        assert failure(claim).error == "SMTP: the server does not offer TLS or logins"
    assert (box.mails, box.logins) == ([], [])


def test_what_a_mail_server_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with mailing() as box:
        box.refuses["MAIL"] = b"451 secret"
        assert failure(by_mail(box.port)).error == "SMTP 451"
        box.refuses = {"RCPT": b"550 secret"}
        assert failure(by_mail(box.port)).error == "SMTP: every recipient was refused"
        box.refuses = {}
        monkeypatch.setattr(_email, "_WHOLE", 0.1)
        monkeypatch.setattr(_email, "_send", lambda *_: time.sleep(0.5))
        assert failure(by_mail(box.port)).error == "no answer in time"


def test_apprise_is_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []

    class Apprise:
        def add(self, url: str) -> bool:
            return url.startswith("discord://")

        def notify(self, *, title: str, body: str, **_: Any) -> bool:
            told.append((title, body))
            return True

    claim = message(kind="apprise", secret="discord://secret/token", host="discord", config={})
    assert "notification_hosts" not in failure(claim).error
    monkeypatch.setitem(sys.modules, "apprise", SimpleNamespace(Apprise=Apprise))
    assert asyncio.run(attempt(claim)) is None
    assert told[0][0] == "[warning] errors: 1 opened"
    assert failure(replace(claim, secret="unknown://secret")).error == "Apprise could not deliver it"
    assert "notification_hosts" in failure(replace(claim, reach="refused")).error


def test_a_test_says_that_it_is_one() -> None:
    for kind in ("webhook", "slack", "alertmanager"):
        claim = message(kind=kind, about="test", payload={}, channel_name="on-call")
        _, body, _ = http_message(claim, datetime.now(UTC))
        assert "test" in body.decode().lower()
        assert "on-call" in body.decode()


DIGEST = {
    "week": "2026-W24",
    "time_zone": "UTC",
    "totals": {
        "call_count": 12345,
        "previous_call_count": 10000,
        "error_count": 45,
        "tool_count": 7,
        "session_count": None,
        "success_rate": 0.98,
        "p95_duration_ms": 812.4,
    },
    "changed": [
        {
            "bcp_name": "mail",
            "tool_name": "send",
            "call_count": 60,
            "success_rate": 0.6,
            "previous_success_rate": 1.0,
            "p95_duration_ms": 400,
            "previous_p95_duration_ms": 100,
        }
    ],
    "broke": [
        {
            "state": "regressed",
            "error_count": 3,
            "bcp_name": "mail",
            "tool_name": None,
            "error_type": None,
            "message": "disk full",
        }
    ],
    "alerts": [],
    "costs": [],
}


def test_a_digest_reads_well() -> None:
    title, lines = texts(message(about="digest", payload=DIGEST))
    assert title == "Digest of week 2026-W24: 12,345 calls, 98.00% succeeded"
    assert lines == [
        "12,345 calls (10,000 the week before), 45 failed, 7 tools, 0 sessions, p95 812 ms.",
        "",
        "What changed:",
        "- mail/send: success 100.00% -> 60.00%, p95 100 ms -> 400 ms, of 60 calls",
        "",
        "What broke:",
        "- regressed, 3 times, mail: error: disk full",
        "",
        "What costs, in tokens of the model's context:",
        "- nothing",
    ]
    assert (
        "SQLSTATE 57014" in texts(message(about="digest", payload={"week": "x", "sqlstate": "57014"}))[1][0]
    )


@given(st.text(max_size=400))
def test_no_text_of_an_event_is_more_than_text(text: str) -> None:
    shown = plain(text)
    assert len(shown.replace("\u200b", "")) <= 120
    assert shown.isprintable() or not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert "@" not in shown.replace("@\u200b", "")
    assert "://" not in shown
    hostile = ALERTS | {"rule_name": text, "alerts": [ALERT | {"tool_name": text, "bcp_name": text}]}
    claim = message(payload=hostile)
    mail = _email.make(replace(claim, kind="email", config={"sender": "a@b.c", "recipients": ["d@e.f"]}))
    assert set(mail.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Type"),
        *("Content-Transfer-Encoding", "MIME-Version"),
    }
    assert b"\n\n" not in mail.as_bytes().partition(b"\r\n\r\n")[0]
    slack = json.loads(http_message(replace(claim, kind="slack"), datetime.now(UTC))[1])
    assert not set("<>") & set(slack["text"])
