-- A head asks the stores named here, its shards, and holds no events itself. A database without rows here is a store.
create table bcp.shards (
    shard_name text primary key constraint shards_shard_name check (shard_name ~ '^[a-z][a-z0-9_]{0,29}$'),
    bundles text[] not null constraint shards_bundles check (
        bundles <> '{}' and array_position(bundles, null) is null),
    added_at timestamptz not null default now()
);

comment on table bcp.shards is
    'The stores that this database, a head, asks: bcp-analytics federate adds and removes them. Empty in a store. '
    'Where a shard is and who asks it is kept in a foreign server and the owner''s user mapping for it, not here.';

comment on column bcp.shards.shard_name is 'Name of the shard, as errors and health say it.';

comment on column bcp.shards.bundles is
    'Bundles whose events it takes when they are sent through the head; * takes those that no other shard names, and '
    'events without a bundle.';

comment on column bcp.shards.added_at is 'When it was added.';

create unique index shards_one_for_the_rest on bcp.shards ((true)) where '*' = any (bundles);
