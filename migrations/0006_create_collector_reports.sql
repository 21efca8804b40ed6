-- What collectors say of themselves, so that the ledger also knows of events that have not come in yet.
create table bcp.collector_reports (
    instance uuid primary key,
    source text not null,
    recorded bigint not null,
    sent bigint not null,
    spooled bigint not null,
    spooled_bytes bigint not null,
    dropped bigint not null,
    last_error text,
    last_error_at timestamptz,
    started_at timestamptz not null,
    reported_at timestamptz not null,
    sent_by text not null default session_user,
    constraint collector_reports_counts check (
        recorded >= 0 and sent >= 0 and spooled >= 0 and spooled_bytes >= 0 and dropped >= 0)
);

comment on table bcp.collector_reports is 'One row a collector, as it last reported itself: see bcp.report_collector.';

comment on column bcp.collector_reports.instance is 'Id of the collector: one process, and a child after a fork, has its own.';

comment on column bcp.collector_reports.source is 'Who sends, as in bcp.ingest_batches.';

comment on column bcp.collector_reports.recorded is 'Events that the program recorded since started_at.';

comment on column bcp.collector_reports.sent is 'Events that the database answered for; with those taken over from earlier collectors.';

comment on column bcp.collector_reports.spooled is 'Events on the sender''s disk at reported_at.';

comment on column bcp.collector_reports.spooled_bytes is 'Size of the spool, in bytes.';

comment on column bcp.collector_reports.dropped is 'Events that are lost, for want of room on the sender''s disk or in its memory.';

comment on column bcp.collector_reports.last_error is
    'Class and SQLSTATE of the sender''s latest error, masked; it may be over. Null before the first.';

comment on column bcp.collector_reports.last_error_at is 'When that was, by the sender''s clock.';

comment on column bcp.collector_reports.started_at is 'When the collector began.';

comment on column bcp.collector_reports.reported_at is 'When it reported last.';

comment on column bcp.collector_reports.sent_by is 'Role that was logged in when it reported first; no other can change the report.';

create index collector_reports_source_idx on bcp.collector_reports (source, reported_at);
