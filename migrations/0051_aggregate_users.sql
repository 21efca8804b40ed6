-- Days of users, all bundles together. Questions about who calls most and who comes back name no bundle, and read one
-- row per bundle of each user otherwise: of 2,000 users and 12 bundles 900,000 rows for 90 days, and 116,000 here. The
-- first refresh fills it, day by day; until then the days by bundle answer.
create materialized view bcp.user_totals_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '1 day'
) as
select
    public.time_bucket(interval '1 day', bucket) as bucket,
    user_id,
    sum(calls)::bigint as calls,
    sum(successes)::bigint as successes,
    sum(errors)::bigint as errors,
    sum(response_bytes) as response_bytes
from bcp.user_activity_1d
group by 1, 2
with no data;

alter materialized view bcp.user_totals_1d set (
    timescaledb.enable_columnstore = true,
    timescaledb.segmentby = '',
    timescaledb.orderby = 'bucket, user_id',
    timescaledb.compress_chunk_interval = '30 days'
);

comment on view bcp.user_totals_1d is 'Calls per day by user, all bundles together.';

comment on column bcp.user_totals_1d.bucket is 'Start of the bucket, UTC.';

comment on column bcp.user_totals_1d.user_id is 'User.';

comment on column bcp.user_totals_1d.calls is 'Calls that began in the bucket, without lists of tools.';

comment on column bcp.user_totals_1d.successes is 'Of those, the ones that succeeded.';

comment on column bcp.user_totals_1d.errors is 'Of those, the ones that failed.';

comment on column bcp.user_totals_1d.response_bytes is 'Bytes of answers, lists of tools too.';

update bcp.settings
set description = 'Days of user_activity_1d, user_totals_1d and session_activity_1d that are older go, once their '
    'calls are gone; 0: they stay.'
where name = 'activity_retention';
