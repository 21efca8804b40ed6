"""Upkeep: each function calls the SQL function or procedure of its name.

All take a psycopg connection first, sync or async, and raise psycopg's own errors, such as
`InsufficientPrivilege` for a role that may not.
"""

from __future__ import annotations

# Written by python -m tools.twins from here on.
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from bcp_analytics._core.arguments import Id
from bcp_analytics._core.function import Arguments, procedure, question, scalar, scalar_or_none


@procedure
def refresh_analytics_views() -> Arguments:
    """Refreshes every continuous aggregate up to the last bucket that is over.

    Jobs do that every five minutes, and every hour for days of users and sessions; answers are up to date
    without it. But in views, rows that come late, for a time that is already aggregated, show only after it.
    Only the role that migrated the database may call it. It commits along the way, so the connection must be
    in autocommit mode: raises `InvalidArgument` where it is not.
    """
    return locals()


@scalar(int)
def apply_policies() -> Arguments:
    """Puts bcp.settings and bcp.data_retention_policies into effect, and returns how many things it changed;
    0 if everything was as they say.

    A change of bcp.data_retention_policies calls it by itself. For bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class CleanupStep:
    """What cleanup would do with a chunk past its retention, or with old sessions."""

    table_name: str
    range_start: datetime | None
    """Start of the chunk, inclusive; None for sessions, as the two after it."""
    range_end: datetime | None
    """End of the chunk, exclusive."""
    row_count: int
    bytes: int | None
    """Size of the chunk with its indexes, in bytes."""
    action: Literal["dropped", "deleted", "kept"]
    reason: str
    """Why."""


@question(CleanupStep)
def cleanup_plan() -> Arguments:
    """What would `cleanup_old_data` do now?

    One row per chunk past its retention: dropped or kept, with the reason, its rows and its bytes. One row
    each for the sessions, the calls that never ended and the days of users and of sessions that it would
    delete. Reads each chunk that has an archive, as cleanup does. For bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ArchiveWanted:
    """A chunk that wants an archive: its table, and its range, the end exclusive."""

    table_name: str
    range_start: datetime
    range_end: datetime


@question(ArchiveWanted)
def archives_wanted(*, check_content: bool = True) -> Arguments:
    """Which chunks need an archive?

    Chunks past their retention, of tables whose policy wants an archive first, whose rows as they are now are
    not all in proven archives; the latest of each table first. bcp-analytics archive makes the archives.
    Reads each chunk past its retention; with check_content=False it only counts rows, and misses rows that
    have changed. For bcp_reader.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class CleanupCount:
    """How many rows of a table cleanup has removed."""

    table_name: str
    deleted_count: int


@question(CleanupCount)
def cleanup_old_data() -> Arguments:
    """Drops the chunks past their retention (bcp.data_retention_policies) that may go, deletes old sessions
    and calls that never ended, and returns how many rows went, one row per table with cleanup.

    A chunk stays if it is not aggregated yet, or if its policy wants an archive and no proven one holds it;
    bcp.cleanup_log has the reason, and NOTIFY bcp_archive asks for the archive. Irreversible, except by
    bcp-analytics restore. `cleanup_plan` shows what it would do. A job does the same every day. Raises
    `InvalidArgument` in a transaction that is repeatable read or serializable. For bcp_admin.
    """
    return locals()


@procedure
def run_cleanup() -> Arguments:
    """Aggregates what is past its retention and not yet aggregated, then does the same as `cleanup_old_data`
    in many short transactions.

    A job calls it every day. Only the owner may call it by hand, in autocommit mode. It commits along the
    way, so the connection must be in autocommit mode: raises `InvalidArgument` where it is not.
    """
    return locals()


@scalar(int)
def rotate_anonymization_key() -> Arguments:
    """Makes a new key for the keyed hashes and returns its number, which every hash made with it shows.

    From then on the same person has another hash. For bcp_admin.
    """
    return locals()


@scalar(bool)
def enable_anonymization_pack(name: str) -> Arguments:
    """Puts the keys and rules of a pack of bcp.anonymization_packs in force, from the next event on, and
    returns whether they were not in force before.

    Stored rows stay as they are until `anonymize_history`. For bcp_admin. Raises `InvalidArgument` where
    there is no such pack.
    """
    return locals()


@scalar(bool)
def disable_anonymization_pack(name: str) -> Arguments:
    """Takes the keys and rules of a pack of bcp.anonymization_packs out of force, from the next event on, and
    returns whether they were in force.

    For bcp_admin. Raises `InvalidArgument` where there is no such pack.
    """
    return locals()


@scalar(datetime)
def resolve_issue(fingerprint: str, *, notes: str | None = None, release: str | None = None) -> Arguments:
    """Says that an issue of `error_issues` is fixed, and returns the time of that: now.

    `release` is the release with the fix: then errors of earlier releases, or without a release, do not make
    the issue regress; without `release` any later error does. `notes` are masked. Called again, it replaces
    the time and the release. For bcp_admin. Raises `InvalidArgument` if there is no such issue.
    """
    return locals()


@scalar(datetime)
def reopen_issue(fingerprint: str, *, notes: str | None = None) -> Arguments:
    """Undoes `resolve_issue`, and returns the time of that: now.

    The issue is new or ongoing again. `notes` are masked. For bcp_admin. Raises `InvalidArgument` if there is
    no such issue.
    """
    return locals()


@scalar(datetime)
def acknowledge_alert(alert_id: int, *, notes: str | None = None) -> Arguments:
    """Records that somebody takes care of an open alert, and returns the time of that: now.

    The alert stays open until its metric is well. `notes` are masked. For bcp_admin. Raises `InvalidArgument`
    if there is no such alert.
    """
    return locals()


@scalar(bool)
def snooze_alert(alert_id: int, *, until: datetime | None = None) -> Arguments:
    """Has nobody notified of an open alert before `until`, as `snooze_alert_rule` does for all of a rule;
    returns whether there is such an alert.

    For bcp_admin.
    """
    return locals()


@scalar(bool)
def snooze_alert_rule(rule_name: str, *, until: datetime | None = None) -> Arguments:
    """Has nobody notified of the alerts of a rule before `until`, and returns whether there is such a rule;
    None ends that.

    What is still open then is told then; what opened and closed meanwhile is told to nobody, and stays in
    bcp.alerts. For bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class PreviewedAlert:
    """An alert that a rule would have opened."""

    bcp_name: str | None
    """None where the rule is about all calls."""
    tool_name: str | None
    """None where the rule is not about tools."""
    opened_at: datetime
    closed_at: datetime | None
    """Null where it would still be open at the end."""
    worst_value: float
    """The metric at its worst."""
    call_count: int
    """The most calls that it was computed from: those that began from counted_from until counted_until."""
    counted_from: datetime
    counted_until: datetime


@question(PreviewedAlert)
def alert_preview(
    rule_name: str, *, changes: Any = None, since: datetime | None = None, until: datetime | None = None
) -> Arguments:
    """When would this rule have fired?

    One row per alert that it would have opened in the range, by bundle, tool and time. closed_at is None
    where it would still be open at the end. worst_value is the metric at its worst. call_count is the most
    calls that it was computed from: those that began in [counted_from, counted_until), and ended well or not;
    with the metric avg_duration_ms those that have a duration, with throughput all. `changes` has columns of
    bcp.alert_rules that differ from the stored rule, or a rule that is not stored. It is evaluated in steps
    of five minutes, or of one minute where lookback or short_lookback is no multiple of five. Reads
    aggregates. The range is [`since`, `until`), the last 7 days by default and 31 days at most. Raises
    `InvalidArgument` if the rule cannot be. For bcp_reader.
    """
    return locals()


@scalar(bool)
def put_alert_rule(rule_name: str, changes: Any) -> Arguments:
    """Changes the columns of a rule that `changes` has, or makes a rule of them; always true.

    A new rule needs at least metric, fires and threshold. `alert_preview` says what it would have found. For
    bcp_admin, who may also change bcp.alert_rules itself. Raises `InvalidArgument` if the rule cannot be.
    """
    return locals()


@scalar(bool)
def delete_alert_rule(rule_name: str) -> Arguments:
    """Deletes a rule, and returns whether there was one.

    Its open alerts close at the next evaluation. For bcp_admin.
    """
    return locals()


@scalar_or_none(str)
def create_notification_channel(
    channel_name: str,
    kind: Literal["webhook", "slack", "email", "alertmanager", "apprise"],
    *,
    config: Any = None,
    secret: str | None = None,
    min_severity: Literal["warning", "critical"] = "warning",
    rule_names: Sequence[str] | None = None,
    tell_closed: bool = True,
    cooldown: timedelta | str | None = None,
    quiet_hours: str | None = None,
    time_zone: str = "UTC",
    digest: bool | None = None,
) -> Arguments:
    """Makes a channel, by which people are told of alerts that open and close, and once a week of what
    changed.

    Returns the secret of a webhook that was given none, else None: nobody can show it again. `kind` and what
    it takes: webhook, `config` {"url"}, and `secret` that signs (Standard Webhooks); slack, `secret` is the
    URL of the incoming webhook; email, `config` {"host", "port", "tls": "starttls", "tls" or "none",
    "username", "sender", "recipients": [...]}, and `secret` is the password; alertmanager, `config` {"url"},
    and `secret` may be a bearer token; apprise, `secret` is a URL of Apprise. It is told of alerts from
    `min_severity` (warning, or critical) on, of `rule_names` or all rules; that they close, unless
    `tell_closed` is false. Alerts of one rule are one message, and the next about that rule comes after
    `cooldown` (5 minutes). In `quiet_hours`, such as 22:00-07:00, of `time_zone` only critical alerts are
    sent; the others come after. `digest`: whether it gets the digest, on Mondays at 8; every kind but
    alertmanager does by default. For bcp_admin. Raises `InvalidArgument` if an argument cannot be used, the
    name is taken, or the setting notification_hosts does not allow the host.
    """
    return locals()


@scalar(bool)
def alter_notification_channel(
    channel_name: str,
    *,
    enabled: bool | None = None,
    config: Any = None,
    secret: str | None = None,
    min_severity: Literal["warning", "critical"] | None = None,
    rule_names: Sequence[str] | None = None,
    tell_closed: bool | None = None,
    cooldown: timedelta | str | None = None,
    quiet_hours: str | None = None,
    time_zone: str | None = None,
    digest: bool | None = None,
) -> Arguments:
    """Changes a channel, and returns whether there is one of that name.

    What is None stays as it is; keys of `config` are added to those that it has, an empty `rule_names` means
    all rules, and an empty `quiet_hours` none. Where `config` changes to whom a password or a token is sent,
    `secret` has to be given again. With enabled=False nothing is sent, and nothing new is kept for it.
    Otherwise arguments and errors are those of `create_notification_channel`. For bcp_admin.
    """
    return locals()


@scalar(bool)
def delete_notification_channel(channel_name: str) -> Arguments:
    """Deletes a channel, its secret, and what waits to be sent to it; returns whether there was one.

    bcp.notification_log keeps what was. For bcp_admin.
    """
    return locals()


@scalar(UUID)
def test_notification_channel(channel_name: str) -> Arguments:
    """Has a notifier send a message that says it is a test, once, even while the channel is disabled or
    quiet, and returns its id: bcp.notification_log says under it what became of it.

    For bcp_admin. Raises `InvalidArgument` if there is no such channel.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class NotificationChannel:
    """A channel, without its secret."""

    channel_name: str
    kind: Literal["webhook", "slack", "email", "alertmanager", "apprise"]
    enabled: bool
    config: Any
    """What it takes by its kind."""
    has_secret: bool
    min_severity: Literal["warning", "critical"]
    rule_names: Sequence[str] | None
    tell_closed: bool
    cooldown: str
    """As PostgreSQL writes an interval: 00:05:00."""
    quiet_hours: str | None
    time_zone: str
    digest: bool
    created_at: datetime
    pending_count: int
    """Counts what waits to be sent: messages, and alerts that wait for the cool-down, the quiet hours or a
    snooze to end.
    """
    latest_status: Literal["delivered", "retry", "failed"] | None
    """That of the latest attempt in bcp.notification_log, None if there was none."""
    latest_at: datetime | None


@question(NotificationChannel)
def notification_channels() -> Arguments:
    """Which channels are there?

    One row per channel, without its secret. pending_count counts what waits to be sent: messages, and alerts
    that wait for the cool-down, the quiet hours or a snooze to end. latest_status is that of the latest
    attempt in bcp.notification_log, None if there was none. For bcp_admin.
    """
    return locals()


@scalar(str)
def create_api_token(
    token_name: str,
    role: Literal["ingest", "reader", "admin"],
    *,
    vantage: Literal["server", "client"] | None = None,
    expires_at: datetime | None = None,
) -> Arguments:
    """Makes a token for HTTP, and returns it: keep it, since only its SHA-256 is stored and nobody can show
    it again.

    `role`: ingest may send events and read nothing; reader may ask questions; admin may do both, watch the
    live stream, and change what an administrator may. `vantage`, of ingest alone: server (the default) for a
    sender that runs the tools, client for one that calls them. Without `expires_at` the token does not
    expire. Raises `InvalidArgument` where an argument is out of its bounds or the name is taken. For
    bcp_admin.
    """
    return locals()


@scalar(bool)
def revoke_api_token(token_name: str) -> Arguments:
    """Revokes the token of this name, and returns whether there was one.

    Servers that run refuse it within five seconds, and close streams that it opened within a minute. For
    bcp_admin.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token for HTTP, without the token itself."""

    token_name: str
    role: Literal["ingest", "reader", "admin"]
    vantage: Literal["server", "client"] | None
    state: Literal["valid", "expired", "revoked"]
    """Valid, expired or revoked."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """Within a minute, None where it was never used."""


@question(ApiToken)
def api_tokens() -> Arguments:
    """Which tokens for HTTP are there?

    One row per token, latest first, revoked ones too. state is valid, expired or revoked; last_used_at is
    within a minute, None where it was never used. The tokens themselves are not stored. For bcp_admin.
    """
    return locals()


@procedure
def erase_user(user_id: Id, *, note: str | None = None) -> Arguments:
    """Erases a user: deletes the calls, errors, sessions and everything else that is theirs, and writes
    [ERASED] where rows of other people name them, chunk by chunk.

    `user_id` is the id as the application sends it, or as it is stored. `erasure_plan` says beforehand what
    it would delete. Called again, it continues where it was interrupted. `find_erasure` returns the id of the
    receipt in bcp.erasures, which names restored tables that it could not reach. Archives are rewritten after
    it. Only the role that migrated the database may call it. Raises `InvalidArgument` for an empty id. It
    commits along the way, so the connection must be in autocommit mode: raises `InvalidArgument` where it is
    not.
    """
    return locals()


@dataclass(frozen=True, slots=True)
class ErasureCount:
    """How many rows of a table are a user's own."""

    table_name: str
    row_count: int


@question(ErasureCount)
def erasure_plan(user_id: Id) -> Arguments:
    """What would erase_user(`user_id`) delete now?

    One row per table with rows of users, and how many of them are the user's own; those of sessions in which
    nobody else was count too. Rows of other people that name the user change as well, as do aggregates and
    archives, but these are not counted. Reads all calls and errors. Only the role that migrated the database
    may call it. Raises `InvalidArgument` as `erase_user`.
    """
    return locals()


@scalar_or_none(UUID)
def find_erasure(user_id: Id) -> Arguments:
    """The latest erasure of a user, by the id as an application sends it or as it was stored; None if there
    was none.

    bcp.erasures has its receipt. Raises `InvalidArgument` for an empty id. For bcp_admin.
    """
    return locals()


@scalar(str)
def hash_of(value: str, *, key: str | None = None) -> Arguments:
    """What the anonymiser writes in place of a value, such as email#k1#bdmgvtpkrslhcfnq for an e-mail
    address, so that calls about it can be found; the value itself where no rule knows it.

    `key` is the key that the value stood under, such as login, because some values are hashed only there.
    Only bcp_admin may call it, as it tells whether somebody is in the store. The hash is of the key in use:
    values stored before `rotate_anonymization_key` have another one.
    """
    return locals()


@procedure
def anonymize_history(
    *, older_than: timedelta | str | None = None, table: str | None = None, forget_users: bool = False
) -> Arguments:
    """Masks stored rows again by the present rules, chunk by chunk: all rows, or those older than
    `older_than`, of one table or of all.

    With `forget_users`, older rows also lose user, session, address and user agent. Called again, it
    continues where it was interrupted, and leaves out chunks that the same rules have masked. Restored tables
    are masked too; `ArchiveError`, at the end, if one cannot be. Only the role that migrated the database may
    call it. It commits along the way, so the connection must be in autocommit mode: raises `InvalidArgument`
    where it is not.
    """
    return locals()
