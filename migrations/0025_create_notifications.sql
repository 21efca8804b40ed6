-- Where alerts and digests are sent, what waits to be sent, and what became of it.
create table bcp_internal.notification_channels (
    channel_id bigint generated always as identity primary key,
    channel_name text not null unique
        constraint notification_channels_channel_name check (length(channel_name) between 1 and 200),
    kind text not null constraint notification_channels_kind check (
        kind in ('webhook', 'slack', 'email', 'alertmanager', 'apprise')),
    config jsonb not null constraint notification_channels_config check (jsonb_typeof(config) = 'object'),
    secret text constraint notification_channels_secret check (length(secret) between 1 and 4000),
    enabled boolean not null default true,
    min_severity text not null default 'warning'
        constraint notification_channels_min_severity check (min_severity in ('warning', 'critical')),
    rule_names text[],
    tell_closed boolean not null default true,
    cooldown interval not null default '5 minutes' constraint notification_channels_cooldown check (
        cooldown >= interval '0' and cooldown <= interval '7 days'),
    quiet_hours text constraint notification_channels_quiet_hours check (
        quiet_hours ~ '^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$'),
    time_zone text not null default 'UTC',
    digest boolean not null,
    created_at timestamptz not null
);

comment on table bcp_internal.notification_channels is
    'One row per channel. Nobody but the owner reads it, because of the secrets; bcp.notification_channels shows the '
    'rest to administrators.';

comment on column bcp_internal.notification_channels.config is
    'What its kind needs to know and is no secret: url of a webhook or an Alertmanager; host, port, tls, username, '
    'sender and recipients of e-mail.';

comment on column bcp_internal.notification_channels.secret is
    'Of a webhook the key that signs, of Slack and Apprise the URL, of e-mail the password, of an Alertmanager a '
    'bearer token.';

comment on column bcp_internal.notification_channels.rule_names is 'The rules that it is told of; null means all.';

comment on column bcp_internal.notification_channels.quiet_hours is
    'From and until a time of day in time_zone, such as 22:00-07:00, in which only critical alerts are sent.';

create table bcp_internal.notification_deliveries (
    delivery_id uuid primary key,
    channel_id bigint not null references bcp_internal.notification_channels on delete cascade,
    about text not null constraint notification_deliveries_about check (about in ('alerts', 'digest', 'test')),
    rule_name text,
    payload jsonb not null,
    gathered integer not null,
    is_urgent boolean not null,
    state text not null default 'pending'
        constraint notification_deliveries_state check (state in ('pending', 'delivered', 'failed')),
    attempts integer not null default 0,
    max_attempts integer not null,
    claims integer not null default 0,
    created_at timestamptz not null,
    next_attempt_at timestamptz not null,
    finished_at timestamptz
);

-- Only the latest attempt's claim may say that it failed, so that a notifier that hung cannot undo what another did.
comment on table bcp_internal.notification_deliveries is
    'One row per message to a channel: one or more rows of the outbox, fixed before the first attempt so that each '
    'attempt sends the same under the same id. A claim moves next_attempt_at ahead: if the notifier is killed, the '
    'message is due again then. Once it is delivered or has failed, its payload is emptied.';

-- While a message of a rule waits, what comes after it is gathered: nobody is told that an alert closed before they
-- are told that it opened.
create unique index notification_deliveries_one_idx on bcp_internal.notification_deliveries
    (channel_id, coalesce(rule_name, '')) where state = 'pending' and about = 'alerts';

create index notification_deliveries_due_idx on bcp_internal.notification_deliveries (next_attempt_at)
    where state = 'pending';

create index notification_deliveries_rule_idx on bcp_internal.notification_deliveries
    (channel_id, rule_name, created_at);

create index notification_deliveries_finished_at_idx on bcp_internal.notification_deliveries (finished_at);

create table bcp_internal.notification_outbox (
    outbox_id bigint generated always as identity primary key,
    channel_id bigint not null references bcp_internal.notification_channels on delete cascade,
    event_key text not null,
    about text not null constraint notification_outbox_about check (about in ('alerts', 'digest')),
    alert_id bigint,
    rule_name text,
    severity text,
    event jsonb not null,
    created_at timestamptz not null,
    delivery_id uuid references bcp_internal.notification_deliveries on delete cascade,
    constraint notification_outbox_once unique (channel_id, event_key)
);

comment on table bcp_internal.notification_outbox is
    'One row for each alert that opened or closed, or digest, and each channel that is to be told. It is written in '
    'the transaction that opens or closes the alert. delivery_id is null until it is part of a message.';

create index notification_outbox_waiting_idx on bcp_internal.notification_outbox (channel_id, rule_name)
    where delivery_id is null;

create index notification_outbox_delivery_idx on bcp_internal.notification_outbox (delivery_id);

create table bcp_internal.notifier (
    one_row boolean primary key default true constraint notifier_one_row check (one_row),
    seen_at timestamptz not null
);

comment on table bcp_internal.notifier is
    'When a notifier last looked for work, within a minute; no row if none ever did.';

create table bcp.notification_log (
    logged_at timestamptz not null,
    channel_name text not null,
    delivery_id uuid not null,
    about text not null,
    rule_name text,
    attempt integer not null,
    status text not null constraint notification_log_status check (status in ('delivered', 'retry', 'failed')),
    error text
);

comment on table bcp.notification_log is
    'One row per attempt to deliver a message to a channel, kept for 90 days.';

comment on column bcp.notification_log.logged_at is 'When the attempt ended.';

comment on column bcp.notification_log.channel_name is 'Name of the channel.';

comment on column bcp.notification_log.delivery_id is
    'Id of the message, the same for each attempt: of a webhook it is the header webhook-id.';

comment on column bcp.notification_log.about is 'alerts, digest or test.';

comment on column bcp.notification_log.rule_name is 'Rule whose alerts it was about; null for a digest or a test.';

comment on column bcp.notification_log.attempt is 'Which attempt it was: 1 is the first.';

comment on column bcp.notification_log.status is
    'delivered; retry, if it did not succeed and another attempt follows; or failed, if none follows.';

comment on column bcp.notification_log.error is
    'What went wrong in a few words, such as HTTP 503, without anything that the other side said; null if nothing did.';

create index notification_log_logged_at_idx on bcp.notification_log (logged_at);

insert into bcp.settings (name, value, unit, kind, minimum, maximum, description) values
    ('notification_hosts', '*', 'names', 'text', '0', '2000',
     'Hosts to which alerts may be sent, with commas between them: names, *.example.com for all below one, and * for '
     'every host whose addresses are public. A host that is named may have a private address. apprise:SCHEME allows '
     'an Apprise service.'),
    ('notification_max_attempts', '10', 'attempts', 'integer', '1', '30',
     'How often a notification is tried before it counts as failed. Ten attempts take about eight hours.');
