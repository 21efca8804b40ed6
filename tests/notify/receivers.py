"""Who receives what a notifier sends: by HTTP and by SMTP, on this machine, and a certificate of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Received:
    """One request, with the names of headers in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def check(self, secret: str) -> None:
        """Check the signature as docs/how-to/alerts.md tells receivers to."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert f"v1,{wanted}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """Answers each request by what `answers` gives for it: status, headers and body."""

    url: str = ""
    got: list[Received] = field(default_factory=list)
    answer: Callable[[Received], tuple[int, dict[str, str], bytes]] = lambda _: (204, {}, b"")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def receiving(context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            got = Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            receiver.got.append(got)
            status, headers, text = receiver.answer(got)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST  # noqa: N815 - the name that it is looked for by

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing of clients that refuse the certificate, or are killed."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        receiver.url = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Mailbox:
    """What an SMTP server took in."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    refuses: dict[str, bytes] = field(default_factory=dict)
    """Answers in place of the usual one, by command."""


class _Smtp(socketserver.StreamRequestHandler):
    mailbox: Mailbox
    context: ssl.SSLContext | None
    implicit: bool

    def handle(self) -> None:
        secured = self.implicit and self.context is not None
        if secured:
            self._secure()
        self._say(b"220 here")
        while line := self.rfile.readline():
            command = line.strip().split(b" ")[0].split(b":")[0].upper().decode()
            if command in self.mailbox.refuses:
                self._say(self.mailbox.refuses[command])
            elif command == "EHLO":
                offers = [b"AUTH PLAIN"] + ([b"STARTTLS"] if self.context and not secured else [])
                self._say(
                    b"\r\n".join([b"250-here", *(b"250-" + o for o in offers[:-1]), b"250 " + offers[-1]])
                )
            elif command == "STARTTLS":
                self._say(b"220 go")
                self._secure()
                secured = True
            elif command == "AUTH":
                self.mailbox.logins.append(base64.b64decode(line.split()[-1]).decode())
                self._say(b"235 welcome")
            elif command == "DATA":
                self._take()
            else:
                if command == "RCPT":
                    self.mailbox.recipients.append(line.decode().partition("<")[2].partition(">")[0])
                self._say(b"221 bye" if command == "QUIT" else b"250 fine")

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _secure(self) -> None:
        assert self.context is not None
        self.connection = self.context.wrap_socket(self.request, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", buffering=0)  # type: ignore[assignment]

    def _take(self) -> None:
        self._say(b"354 go on")
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b"."))
        mail = message_from_bytes(b"".join(lines), policy=policy.SMTP)
        assert isinstance(mail, EmailMessage)
        self.mailbox.mails.append(mail)
        self._say(b"250 kept")

    def _say(self, text: bytes) -> None:
        self.wfile.write(text + b"\r\n")


@contextmanager
def mailing(context: ssl.SSLContext | None = None, *, implicit: bool = False) -> Iterator[Mailbox]:
    box = Mailbox()

    class Handler(_Smtp):
        mailbox = box

    Handler.context, Handler.implicit = context, implicit

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: Any) -> None:
            """Say nothing of clients that refuse the certificate."""

    with Server(("127.0.0.1", 0), Handler) as server:
        box.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield box
        finally:
            server.shutdown()
            thread.join()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for localhost and 127.0.0.1; whoever trusts the file trusts a server with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context
