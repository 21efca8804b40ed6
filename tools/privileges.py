"""Prints who may do what: python -m tools.privileges DSN > tests/security/privileges.txt.

One line for each right that somebody other than the owner has on something of ours, and for each membership.
"""

from __future__ import annotations

import sys
from typing import Any

import psycopg

# A null acl stands for the default, which gives public rights on functions, types and languages.
_RIGHTS = """
with ours as (
    select oid, nspname, nspowner, nspacl from pg_namespace
    where nspname in ('bcp', 'bcp_internal', 'bcp_lake', 'bcp_migrations')
), things as (
    select 'schema ' || nspname as thing, nspowner as owner,
           coalesce(nspacl, acldefault('n', nspowner)) as acl
    from ours
    union all
    select case c.relkind when 'S' then 'sequence ' when 'v' then 'view ' else 'table ' end
               || n.nspname || '.' || c.relname,
           c.relowner,
           coalesce(c.relacl, acldefault((case c.relkind when 'S' then 's' else 'r' end)::"char", c.relowner))
    from pg_class c
    join ours n on n.oid = c.relnamespace
    where c.relkind in ('r', 'v', 'm', 'S', 'p')
    union all
    select 'column ' || n.nspname || '.' || c.relname || '.' || a.attname, c.relowner, a.attacl
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    join ours n on n.oid = c.relnamespace
    union all
    select 'routine ' || p.oid::regprocedure, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    from pg_proc p
    join ours n on n.oid = p.pronamespace
    union all
    -- What TimescaleDB keeps of them. Reading follows the table; numbers differ.
    select 'chunk ' || regexp_replace(c.relname, '[0-9]+', 'N', 'g'), c.relowner, c.relacl
    from pg_class c
    join pg_namespace i on i.oid = c.relnamespace
    join ours n on n.nspname = 'bcp' and n.nspowner = c.relowner
    where i.nspname = '_timescaledb_internal' and c.relname ~ '^_'
)
select
    case r.grantee when 0 then 'public' else r.grantee::regrole::text end as who,
    r.privilege_type || case when r.is_grantable then ' with grant option' else '' end as what, t.thing
from things t
cross join aclexplode(t.acl) r
where r.grantee <> t.owner and not (t.thing like 'chunk %' and r.privilege_type = 'SELECT')
union
select m.member::regrole::text, 'MEMBER' || case when m.admin_option then ' with admin option' else '' end,
       'role ' || m.roleid::regrole
from pg_auth_members m
where m.member = any (select oid from pg_roles where rolname in ('bcp_reader', 'bcp_writer', 'bcp_admin'))
"""


def rights(conn: psycopg.Connection[Any]) -> list[str]:
    """Return the lines, sorted."""
    found = conn.execute(_RIGHTS).fetchall()
    return sorted(" ".join(row) for row in found)


if __name__ == "__main__":
    with psycopg.connect(sys.argv[1]) as connection:
        sys.stdout.writelines(f"{line}\n" for line in rights(connection))
