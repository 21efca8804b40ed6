"""What every object of the store has: a comment, a pinned search path, no privilege of PUBLIC."""

from __future__ import annotations

from typing import Any

import psycopg

# Without search_path, and why.
UNPINNED = {
    "bcp_internal.aggregates()": "inlined",
    "bcp_internal.latency_ms(integer)": "inlined",
    "bcp_internal.grams(text,text,text,text,text,text)": "inlined",
    "bcp_internal.uuidv7(timestamp with time zone)": "inlined",
    "bcp_internal.uuidv7(timestamp with time zone,bigint,bigint)": "inlined",
    "bcp_internal.says_error(jsonb)": "inlined",
    "bcp_internal.cut_ip(inet,integer,integer)": "inlined",
    "bcp_internal.hmac_sha256(bytea,bytea,bytea)": "inlined",
    f"bcp_internal.session_duration_ms({','.join(['timestamp with time zone'] * 3)})": "inlined",
    "bcp_internal.suspect_success(boolean,jsonb)": "inlined",
    "bcp_internal.calls(timestamp with time zone,timestamp with time zone,jsonb)": "inlined",
    "bcp_internal.sessions_begun(timestamp with time zone,timestamp with time zone)": "inlined",
    "bcp_internal.has_shape(jsonb,jsonpath,text[],text[],jsonpath)": "inlined",
    "bcp_internal.is_ruler(text)": "inlined",
    f"bcp_internal.issue_state(text,{','.join(['timestamp with time zone'] * 3)},"
    "text,timestamp with time zone,text)": "inlined",
    "bcp_internal.sketch_place(double precision[],double precision)": "called too often",
    "bcp.refresh_analytics_views()": "commits, which a routine with a setting cannot do",
    "bcp.run_cleanup()": "commits",
    "bcp_internal.cleanup_job(integer,jsonb)": "commits",
    "bcp_internal.columnstore_aggregates()": "commits",
    "bcp_internal.columnstore_job(integer,jsonb)": "commits",
    "bcp_internal.columnstore_tables()": "commits",
    "bcp_internal.columnstore_tables_job(integer,jsonb)": "commits",
    "bcp_internal.move_chunks(boolean)": "commits",
    "bcp.erase_user(text,text)": "commits",
    "bcp.anonymize_history(interval,text,boolean)": "commits",
    "bcp_internal.refresh_pending()": "commits",
    "bcp_internal.refresh_aggregate(text,timestamp with time zone,timestamp with time zone)": "commits",
}

_UNCOMMENTED = """
select 'schema', nspname::text from pg_namespace
where nspname in ('bcp', 'bcp_internal') and obj_description(oid, 'pg_namespace') is null
union all
select 'relation', oid::regclass::text from pg_class
where relnamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)
  and relkind in ('r', 'v', 'm', 'p') and obj_description(oid, 'pg_class') is null
union all
select 'column', format('%s.%I', attrelid::regclass, attname)
from pg_attribute a join pg_class c on c.oid = a.attrelid
where c.relnamespace = 'bcp'::regnamespace and c.relkind in ('r', 'v', 'm', 'p')
  and attnum > 0 and not attisdropped and col_description(attrelid, attnum) is null
union all
select 'routine', oid::regprocedure::text from pg_proc
where pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)
  and obj_description(oid, 'pg_proc') is null
union all
select 'type', t.oid::regtype::text from pg_type t left join pg_class c on c.oid = t.typrelid
where typnamespace = 'bcp'::regnamespace and (typtype in ('e', 'd') or c.relkind = 'c')
  and obj_description(t.oid, 'pg_type') is null
"""


def test_every_object_has_a_comment(db: psycopg.Connection[Any]) -> None:
    assert db.execute(_UNCOMMENTED).fetchall() == []


def test_a_missing_comment_is_noticed(db: psycopg.Connection[Any]) -> None:
    db.execute("comment on column bcp.users.user_id is null")
    db.execute("comment on type bcp.error_level_enum is null")
    db.execute("comment on function bcp.health() is null")
    assert sorted(db.execute(_UNCOMMENTED).fetchall()) == [
        ("column", "bcp.users.user_id"),
        ("routine", "bcp.health()"),
        ("type", "bcp.error_level_enum"),
    ]


def test_every_routine_pins_its_search_path_or_is_a_known_exception(db: psycopg.Connection[Any]) -> None:
    found = db.execute(
        "select oid::regprocedure::text, prosecdef from pg_proc"
        " where pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)"
        " and not coalesce(proconfig, '{}') && array['search_path=pg_catalog, pg_temp']"
    ).fetchall()
    assert {signature for signature, _ in found} == set(UNPINNED)
    assert not any(definer for _, definer in found)


def test_a_latency_is_computed_without_a_call(db: psycopg.Connection[Any]) -> None:
    plan = db.execute(
        "explain verbose select bcp_internal.latency_ms(max(n)) from generate_series(1, 2) n"
    ).fetchall()
    assert "latency_ms" not in str(plan)


def test_no_routine_has_a_parameter_without_prefix(db: psycopg.Connection[Any]) -> None:
    assert (
        db.execute(
            "select p.oid::regprocedure::text, n from pg_proc p, unnest(p.proargnames[:p.pronargs]) as n"
            " where p.pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)"
            " and n not like 'p\\_%'"
        ).fetchall()
        == []
    )


def test_public_may_do_nothing(db: psycopg.Connection[Any]) -> None:
    # A null acl is PostgreSQL's default, which for a routine lets everybody call it.
    found = db.execute(
        "select oid::regprocedure::text from pg_proc"
        " where pronamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)"
        " and has_function_privilege('public', oid, 'execute')"
        " union all"
        " select oid::regclass::text from pg_class"
        " where relnamespace in ('bcp'::regnamespace, 'bcp_internal'::regnamespace)"
        " and relkind in ('r', 'v', 'm')"
        " and has_table_privilege('public', oid, 'select, insert, update, delete, truncate, references')"
        " union all"
        " select oid::regnamespace::text from pg_namespace"
        " where nspname in ('bcp', 'bcp_internal', 'bcp_migrations')"
        " and has_schema_privilege('public', oid, 'usage, create')"
    ).fetchall()
    assert found == []
