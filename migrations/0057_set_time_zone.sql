-- A setting for the time zone whose days the store keeps ready with their percentiles, as bcp.tool_stats_1d does those
-- of UTC. bcp_internal.set_local_days makes the aggregate, because it is made anew whenever the zone changes.
alter table bcp.settings drop constraint settings_kind;

alter table bcp.settings add constraint settings_kind
    check (kind in ('integer', 'number', 'interval', 'switch', 'text', 'time zone'));

comment on column bcp.settings.kind is
    'What the value must be: integer, number, interval, switch (on or off), text or time zone.';

-- The trigger of an earlier version does not know this kind.
alter table bcp.settings disable trigger user;

insert into bcp.settings (name, value, unit, kind, minimum, maximum, description) values
    ('time_zone', 'UTC', 'time zone', 'time zone', null, null,
     'Time zone in which people ask by day. Days of UTC are always kept ready with their percentiles, and days of this '
     'zone, and of zones with the same days, too. A change has them aggregated anew from the calls that are still '
     'stored, by the job of each hour; until then the answers are the same, and slower.');

alter table bcp.settings enable trigger user;

-- These functions of sql/ take or return more, and `create or replace` would leave the old ones beside the new.
drop function if exists bcp_internal.aggregates();

drop function if exists bcp_internal.in_buckets(tstzmultirange, interval, boolean);

drop function if exists bcp_internal.unseen(text, text, interval, tstzmultirange);
