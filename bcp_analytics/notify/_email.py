"""Sending by e-mail: smtplib, to a checked address."""

from __future__ import annotations

import asyncio
import contextlib
import os
import smtplib
import socket
import ssl
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime

from bcp_analytics.notify._addresses import Address, resolve
from bcp_analytics.notify._claims import Claim, NotDelivered
from bcp_analytics.notify._texts import texts

# Seconds: for one answer of the server, and for all of it, less than a claim lasts.
_ANSWER = 10.0
_WHOLE = 40.0
_MOST_SUBJECT = 200
# The longest line that RFC 5322 allows, so that no header is folded.
_POLICY = policy.SMTP.clone(max_line_length=998)


def make(claim: Claim) -> EmailMessage:
    """Return the message: plain text, whose headers have nothing in them that an event could end."""
    title, lines = texts(claim)
    message = EmailMessage(_POLICY)
    sender = str(claim.config["sender"])
    message["From"] = sender
    message["To"] = ", ".join(claim.config["recipients"])
    # A zero-width space is for chats; a header would be encoded for it.
    message["Subject"] = f"bcp_analytics: {title}".replace("\u200b", "")[:_MOST_SUBJECT]
    message["Date"] = format_datetime(claim.created_at)
    # The same for each attempt, so that a mailbox can drop a repeat.
    message["Message-ID"] = f"<{claim.message_id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join([*lines, ""]), cte="quoted-printable")
    return message


def _connect(addresses: list[Address], port: int) -> socket.socket:
    error = OSError("no address")
    for _, address in addresses:
        try:
            return socket.create_connection((address, port), _ANSWER)
        except OSError as failed:
            error = failed
    raise error


def _client(claim: Claim, addresses: list[Address], port: int, made: list[smtplib.SMTP]) -> smtplib.SMTP:
    secure = claim.config["tls"] == "tls"
    context = ssl.create_default_context()
    host = claim.host or ""

    class Client(smtplib.SMTP):
        """Connects to the addresses that were checked, whatever the name resolves to by then."""

        def _get_socket(self, *_: object) -> socket.socket:
            made.append(self)
            connected = _connect(addresses, port)
            return context.wrap_socket(connected, server_hostname=host) if secure else connected

    client = Client(host, port, timeout=_ANSWER)
    try:
        client.ehlo_or_helo_if_needed()
        if claim.config["tls"] == "starttls":
            client.starttls(context=context)
            client.ehlo()
        if claim.secret is not None:
            client.login(str(claim.config["username"]), claim.secret)
    except BaseException:
        client.close()
        raise
    return client


def _send(claim: Claim, addresses: list[Address], port: int, made: list[smtplib.SMTP]) -> None:
    with _client(claim, addresses, port, made) as client:
        refused = client.send_message(make(claim))
    if refused:
        # The others have it: to send it again would repeat it to them.
        raise NotDelivered(f"SMTP: {len(refused)} of the recipients were refused", final=True)


_SAID: tuple[tuple[type[Exception], str], ...] = (
    (smtplib.SMTPRecipientsRefused, "SMTP: every recipient was refused"),
    (smtplib.SMTPNotSupportedError, "SMTP: the server does not offer TLS or logins"),
    (smtplib.SMTPException, "the connection broke"),
    (ssl.SSLCertVerificationError, "TLS: the certificate is not valid for the host"),
    (ssl.SSLError, "TLS: the connection could not be secured"),
    (TimeoutError, "no answer in time"),
)


def _why(error: Exception) -> str:
    """Say in a few words what went wrong, without what the server said."""
    if isinstance(error, smtplib.SMTPResponseException):
        refused = isinstance(error, smtplib.SMTPAuthenticationError)
        return f"SMTP {error.smtp_code}" + (": the login was refused" if refused else "")
    for kind, said in _SAID:
        if isinstance(error, kind):
            return said
    number = error.errno if isinstance(error, OSError) else None
    return f"no connection: {os.strerror(number) if number else 'refused'}"


async def send(claim: Claim) -> None:
    """Send a message; raises `NotDelivered`."""
    port = int(claim.config["port"])
    if not 0 < port < 65536:  # noqa: PLR2004
        raise NotDelivered("the port is none", final=True)
    if claim.config["tls"] == "none" and claim.reach != "named":
        raise NotDelivered("without TLS only a host goes that notification_hosts names")
    addresses = await resolve(claim, port)
    made: list[smtplib.SMTP] = []
    try:
        async with asyncio.timeout(_WHOLE):
            await asyncio.to_thread(_send, claim, addresses, port, made)
    except (smtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
        for client in made:
            # A thread cannot be ended, but what it waits for can.
            with contextlib.suppress(OSError, AttributeError):
                client.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
        raise NotDelivered(_why(error)) from None
