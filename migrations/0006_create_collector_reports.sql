-- What collectors report about themselves, so that the ledger also knows of events that have not come in yet.
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

comment on table bcp.collector_reports is 'One row per collector, with its latest report: see bcp.report_collector.';

comment on column bcp.collector_reports.instance is
    'Id of the collector. Each process has its own, and so does a child after a fork.';

comment on column bcp.collector_reports.source is 'Who sends, as in bcp.ingest_batches.';

comment on column bcp.collector_reports.recorded is 'Events that the program recorded since started_at.';

comment on column bcp.collector_reports.sent is
    'Events that the database answered for, including those taken over from earlier collectors.';

comment on column bcp.collector_reports.spooled is 'Events on the sender''s disk at reported_at.';

comment on column bcp.collector_reports.spooled_bytes is 'Size of the spool, in bytes.';

comment on column bcp.collector_reports.dropped is
    'Events that are lost, because the sender had no room left on disk or in memory.';

comment on column bcp.collector_reports.last_error is
    'Class and SQLSTATE of the sender''s latest error, masked; the error may be over. Null before the first.';

comment on column bcp.collector_reports.last_error_at is 'When that was, by the sender''s clock.';

comment on column bcp.collector_reports.started_at is 'When the collector began.';

comment on column bcp.collector_reports.reported_at is 'When it reported last.';

comment on column bcp.collector_reports.sent_by is
    'Role that was logged in at the first report; no other role can change the report.';

create index collector_reports_source_idx on bcp.collector_reports (source, reported_at);
