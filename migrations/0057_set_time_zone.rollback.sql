drop materialized view if exists bcp.tool_stats_local_1d;

drop function if exists bcp_internal.aggregates();

drop function if exists bcp_internal.in_buckets(tstzmultirange, interval, boolean, text);

drop function if exists bcp_internal.unseen(text, text, interval, tstzmultirange, text);

delete from bcp.settings where name = 'time_zone';

alter table bcp.settings drop constraint settings_kind;

alter table bcp.settings add constraint settings_kind
    check (kind in ('integer', 'number', 'interval', 'switch', 'text'));

comment on column bcp.settings.kind is
    'What the value must be: integer, number, interval, switch (on or off) or text.';
