-- In which hours a call with an id may be. To remember an id takes an index of 66 bytes, so ids are remembered for days
-- and calls are kept for months, and to look for one read all calls of the store. Here an id takes four bytes.
--
-- A row has the ids of an hour whose hashes end in the same four bits, so a question reads one row in 16 of an hour. Of
-- 28 bits of a hash two ids have the same once in 90 million, and then an hour too many is looked at. The aggregate
-- stays rows, because an index finds these, and a late call makes its hour anew.
create materialized view bcp.call_ids_1h
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 hour', start_time) as bucket,
    (uuid_hash_extended(event_id, 0) & 15)::smallint as slot,
    count(*) as calls,
    string_agg(substr(int8send(uuid_hash_extended(event_id, 0)), 1, 3), '') as ids
from bcp.tool_usage_logs
group by 1, 2
with no data;

create index call_ids_1h_slot_idx on bcp.call_ids_1h (slot, bucket);

comment on view bcp.call_ids_1h is 'In which hours a call with an id may be: parts of hashes of ids.';
comment on column bcp.call_ids_1h.bucket is 'Start of the bucket, UTC.';
comment on column bcp.call_ids_1h.slot is 'The last four bits of the hashes of the ids, as a number.';
comment on column bcp.call_ids_1h.calls is 'Calls of the bucket in the slot, with lists of tools.';
comment on column bcp.call_ids_1h.ids is 'The first three bytes of the hash of each id, in no order.';

-- In which bundles the parameters of a call may have a key. A search in parameters reads the bundles that have it,
-- which are segments of the columnstore, in place of all. Hashes of 10 bits, because nothing bounds how many keys
-- callers send, and a key may name a person.
create materialized view bcp.parameter_keys_1d
with (
    timescaledb.continuous,
    timescaledb.materialized_only = true,
    timescaledb.create_group_indexes = false,
    timescaledb.chunk_interval = '730 days'
) as
select
    public.time_bucket(interval '1 day', l.start_time) as bucket,
    l.bcp_name,
    (hashtextextended(k.key, 0) & 1023)::smallint as key_hash,
    count(*) as calls
from bcp.tool_usage_logs l
cross join lateral jsonb_object_keys(
    case jsonb_typeof(l.parameters) when 'object' then l.parameters end) as k (key)
group by 1, 2, 3
with no data;

create index parameter_keys_1d_key_idx on bcp.parameter_keys_1d (key_hash, bucket);

comment on view bcp.parameter_keys_1d is
    'In which bundles the parameters of a call may have a key of an object: hashes of keys.';
comment on column bcp.parameter_keys_1d.bucket is 'Start of the bucket, UTC.';
comment on column bcp.parameter_keys_1d.bcp_name is 'Bundle of tools.';
comment on column bcp.parameter_keys_1d.key_hash is 'The last ten bits of the hash of the key, as a number.';
comment on column bcp.parameter_keys_1d.calls is 'Keys of that hash in calls of the bucket.';
