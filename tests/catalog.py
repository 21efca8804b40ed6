"""What a database is made of, as lines to compare: a fresh install with an upgrade, before with after."""

from __future__ import annotations

from typing import Any

import psycopg

_SNAPSHOT = r"""
with schemas as (
    select oid, nspname, nspacl from pg_namespace
    where nspname !~ '^(pg_|_?timescaledb_|information_schema$)'
), relations as (
    select c.*, s.nspname || '.' || c.relname as name
    from pg_class c join schemas s on s.oid = c.relnamespace
    where not exists (
        select from pg_depend d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
), routines as (
    select p.*, p.oid::regprocedure::text as name
    from pg_proc p join schemas s on s.oid = p.pronamespace
    where p.prokind in ('f', 'p') and not exists (
        select from pg_depend d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
), lines (kind, name, definition) as (
    select 'schema', nspname, nspacl::text from schemas
    union all
    select 'relation', name, concat_ws(' ', relkind, relpersistence, reloptions::text, relacl::text)
    from relations
    union all
    select 'column', r.name || '.' || a.attname, concat_ws(
        ' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
        a.attacl::text, pg_get_expr(d.adbin, d.adrelid))
    from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
    where r.relkind in ('r', 'v', 'm')
    union all
    select 'constraint', r.name || '.' || c.conname, pg_get_constraintdef(c.oid)
    from relations r join pg_constraint c on c.conrelid = r.oid
    union all
    select 'index', r.name, pg_get_indexdef(r.oid) from relations r where r.relkind = 'i'
    union all
    select 'view', r.name, pg_get_viewdef(r.oid) from relations r where r.relkind = 'v'
    union all
    select 'trigger', r.name || '.' || t.tgname, pg_get_triggerdef(t.oid)
    from relations r join pg_trigger t on t.tgrelid = r.oid
    where not t.tgisinternal and t.tgname not like 'ts\_%'
    union all
    select 'routine', name, concat_ws(' ', proacl::text, pg_get_functiondef(oid)) from routines
    union all
    select 'type', t.oid::regtype::text, (
        select string_agg(e.enumlabel, ',' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid)
    from pg_type t join schemas s on s.oid = t.typnamespace where t.typtype in ('e', 'd')
    union all
    select 'comment', o.name || coalesce('.' || a.attname, ''), d.description
    from (
        select 'pg_class'::regclass as class, oid, name from relations
        union all select 'pg_proc'::regclass, oid, name from routines
        union all select 'pg_namespace'::regclass, oid, nspname from schemas
    ) o
    join pg_description d on d.classoid = o.class and d.objoid = o.oid
    left join pg_attribute a
        on o.class = 'pg_class'::regclass and a.attrelid = o.oid and a.attnum = nullif(d.objsubid, 0)
    union all
    select 'role', r.rolname, (
        select string_agg(m.roleid::regrole::text, ',' order by m.roleid::regrole::text)
        from pg_auth_members m where m.member = r.oid)
    from pg_roles r where r.rolname like 'bcp\_%'
    union all
    select 'database setting', coalesce(setrole::regrole::text, ''), setconfig::text
    from pg_db_role_setting
    where setdatabase in (0, (select oid from pg_database where datname = current_database()))
    union all
    select 'dimension', hypertable_schema || '.' || hypertable_name || '.' || column_name, time_interval::text
    from timescaledb_information.dimensions where hypertable_schema not like '\_timescaledb%'
    union all
    select 'columnstore', hypertable::text, to_jsonb(c)::text
    from timescaledb_information.hypertable_columnstore_settings c
    union all
    select 'aggregate', view_schema || '.' || view_name,
           concat_ws(' ', materialized_only, compression_enabled, view_definition)
    from timescaledb_information.continuous_aggregates
    union all
    select 'job', concat_ws(' ', j.proc_schema, j.proc_name, coalesce(a.view_name, j.hypertable_name)),
           concat_ws(' ', j.schedule_interval, j.scheduled,
                     j.config - '{hypertable_id,mat_hypertable_id}'::text[])
    from timescaledb_information.jobs j
    left join timescaledb_information.continuous_aggregates a
        on a.materialization_hypertable_schema = j.hypertable_schema
        and a.materialization_hypertable_name = j.hypertable_name
    where j.job_id >= 1000
)
select regexp_replace(concat_ws(' | ', kind, name, definition), '_hypertable_\d+', '_hypertable_N', 'g')
from lines
order by 1
"""


def snapshot(conn: psycopg.Connection[Any]) -> list[str]:
    """Return every object of ours, with definition, comment and privileges, one per line, sorted."""
    return [line for (line,) in conn.execute(_SNAPSHOT)]
