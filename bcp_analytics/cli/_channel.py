"""The commands `bcp-analytics channel create`, `alter`, `list`, `test` and `delete`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bcp_analytics import upkeep
from bcp_analytics.cli._notify import notify_room
from bcp_analytics.cli._output import Format, Output, write_rows
from bcp_analytics.cli._support import Dsn, connected, readable_dsn, say, tell
from bcp_analytics.errors import BcpAnalyticsError

app = typer.Typer(
    no_args_is_help=True, help="Make, change, test and delete channels that alerts are sent to."
)

SECRET_VARIABLE = "BCP_CHANNEL_SECRET"  # noqa: S105 - a name
_LARGEST = 8192

Kind = Literal["webhook", "slack", "email", "alertmanager", "apprise"]
Severity = Literal["warning", "critical"]
Tls = Literal["starttls", "tls", "none"]
Name = Annotated[str, typer.Argument(help="Name of the channel, such as on-call.")]
Url = Annotated[
    str | None,
    typer.Option(help="Of webhook and alertmanager: where to send to.", show_default=False),
]
SecretFile = Annotated[
    str | None,
    typer.Option(
        "--secret-file",
        help="File with the secret, or - for stdin: of slack and apprise the URL, of email the password, of "
        "alertmanager a bearer token, of webhook the key (without it, one is made). By default the variable "
        "BCP_CHANNEL_SECRET. It is no option, because other users of this machine can read those.",
        show_default=False,
    ),
]
Smtp = Annotated[
    str | None,
    typer.Option(help="Of email: the server, as HOST or HOST:PORT.", show_default=False),
]
HowSecure = Annotated[
    Tls | None,
    typer.Option(help="Of email: starttls (the default), tls from the start, or none.", show_default=False),
]
User = Annotated[
    str | None,
    typer.Option(help="Of email: name to log in by; the secret is its password.", show_default=False),
]
Sender = Annotated[str | None, typer.Option("--from", help="Of email: the sender.", show_default=False)]
To = Annotated[
    list[str] | None, typer.Option(help="Of email: a recipient; once for each.", show_default=False)
]
Least = Annotated[
    Severity | None,
    typer.Option(help="critical: of critical alerts alone. By default of all.", show_default=False),
]
Rules = Annotated[
    list[str] | None,
    typer.Option("--rule", help="Of this rule alone; once for each. By default of all.", show_default=False),
]
Closed = Annotated[
    bool | None, typer.Option("--closed/--no-closed", help="Whether it is told that alerts close.")
]
Cooldown = Annotated[
    str | None,
    typer.Option(
        help="Least time between two messages about one rule. By default 5 minutes.", show_default=False
    ),
]
Quiet = Annotated[
    str | None,
    typer.Option(
        help="From and until when only critical alerts are sent, such as 22:00-07:00.", show_default=False
    ),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--time-zone",
        help="Time zone of these, and of the digest, such as Europe/Berlin. By default UTC.",
        show_default=False,
    ),
]
Digest = Annotated[
    bool | None,
    typer.Option(
        "--digest/--no-digest",
        help="Whether it gets the digest of each week. By default all but alertmanager do.",
    ),
]


def _secret(file: str | None) -> str | None:
    """Read a secret from a file, stdin or the environment; raises `BcpAnalyticsError`."""
    if file is None:
        return os.environ.get(SECRET_VARIABLE) or None
    try:
        text = sys.stdin.read(_LARGEST) if file == "-" else Path(file).read_text(encoding="utf-8")[:_LARGEST]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise BcpAnalyticsError(f"The secret cannot be read: {why}.") from None
    return text.strip() or None


def _config(
    *,
    url: str | None,
    smtp: str | None,
    tls: str | None,
    user: str | None,
    sender: str | None,
    to: list[str] | None,
) -> dict[str, Any] | None:
    host, _, port = (smtp or "").partition(":")
    if port and not port.isdecimal():
        raise typer.BadParameter("the port is no number.", param_hint="--smtp")
    given = {
        "url": url,
        "host": host or None,
        "port": int(port) if port else None,
        "tls": tls,
        "username": user,
        "sender": sender,
        "recipients": to or None,
    }
    return {name: value for name, value in given.items() if value is not None} or None


@app.command()
def create(
    name: Name,
    *,
    kind: Annotated[Kind, typer.Option(help="What it is.")],
    url: Url = None,
    secret_file: SecretFile = None,
    smtp: Smtp = None,
    tls: HowSecure = None,
    user: User = None,
    sender: Sender = None,
    to: To = None,
    min_severity: Least = None,
    rule: Rules = None,
    closed: Closed = None,
    cooldown: Cooldown = None,
    quiet_hours: Quiet = None,
    time_zone: Zone = None,
    digest: Digest = None,
    dsn: Dsn = None,
) -> None:
    """Make a channel. Of a webhook it prints the key that signs, once, if you gave none.

    bcp-analytics serve sends to it, and so does bcp-analytics notify. The setting notification_hosts says
    which hosts are allowed: every public one, unless you change it.

    \b
    bcp-analytics channel create on-call --kind webhook --url https://example.com/hooks/alerts
    bcp-analytics channel create team --kind slack --secret-file slack-url.txt --quiet-hours 20:00-08:00
    bcp-analytics channel create mail --kind email --smtp smtp.example.com --user me --secret-file - \\
        --from alerts@example.com --to team@example.com
    bcp-analytics channel create am --kind alertmanager --url http://alertmanager:9093
    """  # noqa: D301
    with connected(dsn) as conn:
        made = upkeep.create_notification_channel(
            conn,
            name,
            kind,
            config=_config(url=url, smtp=smtp, tls=tls, user=user, sender=sender, to=to),
            secret=_secret(secret_file),
            min_severity=min_severity or "warning",
            rule_names=rule or None,
            tell_closed=closed is not False,
            cooldown=cooldown,
            quiet_hours=quiet_hours,
            time_zone=time_zone or "UTC",
            digest=digest,
        )
    if made is not None:
        tell(made)
        say("Keep it: nobody can show it again. Whoever receives checks webhook-signature by it.")
    say(f"Made. Try it: bcp-analytics channel test {name}")


@app.command()
def alter(
    name: Name,
    *,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether anything is sent to it.")
    ] = None,
    url: Url = None,
    secret_file: SecretFile = None,
    smtp: Smtp = None,
    tls: HowSecure = None,
    user: User = None,
    sender: Sender = None,
    to: To = None,
    min_severity: Least = None,
    rule: Rules = None,
    closed: Closed = None,
    cooldown: Cooldown = None,
    quiet_hours: Quiet = None,
    time_zone: Zone = None,
    digest: Digest = None,
    dsn: Dsn = None,
) -> None:
    """Change a channel. What is not given stays as it is.

    \b
    bcp-analytics channel alter team --quiet-hours 22:00-07:00 --time-zone Europe/Berlin
    bcp-analytics channel alter on-call --disable
    """  # noqa: D301
    with connected(dsn) as conn:
        found = upkeep.alter_notification_channel(
            conn,
            name,
            enabled=enabled,
            config=_config(url=url, smtp=smtp, tls=tls, user=user, sender=sender, to=to),
            secret=_secret(secret_file),
            min_severity=min_severity,
            rule_names=rule or None,
            tell_closed=closed,
            cooldown=cooldown,
            quiet_hours=quiet_hours,
            time_zone=time_zone,
            digest=digest,
        )
    _check(found=found, name=name)
    tell("Changed.")


@app.command("list")
def list_(output: Output = Format.table, dsn: Dsn = None) -> None:
    """Say which channels there are, and how the latest message to each went. Secrets are not shown.

    \b
    bcp-analytics channel list
    bcp-analytics channel list --format json
    """  # noqa: D301
    with connected(dsn) as conn:
        found = upkeep.notification_channels(conn)
    none = "There is no channel yet. Make one: bcp-analytics channel create NAME --kind webhook --url URL"
    write_rows(found, upkeep.NotificationChannel, output, none=none)


@app.command("test")
def send_test(name: Name, dsn: Dsn = None) -> None:
    """Send a test to a channel now, and say whether it arrived. Needs the extra bcp_analytics[server].

    \b
    bcp-analytics channel test on-call
    """  # noqa: D301
    room = notify_room()
    where = readable_dsn(dsn)
    with connected(where) as conn:
        delivery_id = upkeep.test_notification_channel(conn, name)
    outcome = asyncio.run(room.Notifier(where).one(delivery_id))
    if outcome is None or outcome.status != "delivered":
        why = outcome.error if outcome is not None else "nobody has sent it yet"
        raise BcpAnalyticsError(f"The test was not delivered: {why}.", hint="docs/how-to/alerts.md has more.")
    tell("Delivered.")


@app.command()
def delete(name: Name, dsn: Dsn = None) -> None:
    """Delete a channel, with its secret and what waits to be sent to it.

    \b
    bcp-analytics channel delete on-call
    """  # noqa: D301
    with connected(dsn) as conn:
        found = upkeep.delete_notification_channel(conn, name)
    _check(found=found, name=name)
    tell("Deleted.")


def _check(*, found: bool, name: str) -> None:
    if not found:
        raise BcpAnalyticsError(
            f"There is no channel named {name!r}.", hint="bcp-analytics channel list shows all."
        )
