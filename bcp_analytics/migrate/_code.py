"""Replaces the code in a database by that of `sql/`, also where `create or replace` cannot.

`create or replace` takes nothing away. A function that gets one more parameter with a default leaves its old
overload, and calls are then ambiguous; one that returns something else is refused. So what a load made is
recorded. The next load renames out of its way what it does not make again in the same shape, and drops that
when all is loaded. Mostly there is nothing of that kind, so a load first tries to do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from bcp_analytics.errors import MigrationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from psycopg import Connection

OURS = ["bcp", "bcp_internal"]
# SQLSTATE of a lock that is not to be had, and of a deadlock: the whole run begins anew.
_LOCKED = {"55P03", "40P01"}

# `version` differs after `create or replace`, and only then: granting, renaming and `alter ... set` write
# other rows of the catalogue. `shape` is what `create or replace` must keep, though it may append to it.
# Continuous aggregates are views, too, but state, which migrations make and drop.
_ROUTINES_VIEWS_TRIGGERS: LiteralString = """
select
    i.type, i.identity, o.oid, o.version::text, o.shape, o.owner = n.nspowner as is_owned
from (
    select 'pg_proc'::regclass as class, p.oid, p.pronamespace as schema, p.proowner as owner,
           d.xmin as version,
           array[pg_get_function_result(p.oid), p.proargnames::text, p.proargmodes::text]
               || array_fill('default'::text, array[p.pronargdefaults]) as shape
    from pg_proc p
    join pg_depend d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
        and d.refclassid = 'pg_namespace'::regclass
    union all
    select 'pg_class'::regclass, c.oid, c.relnamespace, c.relowner, r.xmin,
           array(select format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod)) from pg_attribute a
                 where a.attrelid = c.oid and a.attnum > 0 order by a.attnum)
    from pg_class c
    join pg_rewrite r on r.ev_class = c.oid
    where c.relkind = 'v' and not exists (
        select from timescaledb_information.continuous_aggregates a
        where a.view_schema = c.relnamespace::regnamespace::text and a.view_name = c.relname)
    union all
    select 'pg_trigger'::regclass, t.oid, c.relnamespace, c.relowner, t.xmin, '{}'
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid
    join pg_proc p on p.oid = t.tgfoid and p.pronamespace::regnamespace::text = any(%(ours)s)
    where not t.tgisinternal
) o
join pg_namespace n on n.oid = o.schema and n.nspname = any(%(ours)s)
cross join lateral pg_identify_object(o.class, o.oid, 0) i
"""


class _Thing(NamedTuple):
    """A routine, view or trigger, which `drop {type} {identity}` drops."""

    type: str
    identity: str
    oid: int
    version: str
    shape: tuple[str | None, ...]

    @property
    def types(self) -> str:
        """The types that a routine takes and returns; the rows of a view are one."""
        return f"{self.identity.partition('(')[2]} {self.shape[0]}" if "(" in self.identity else ""

    def becomes(self, new: _Thing) -> bool:
        """Whether `create or replace` can make `new` of it."""
        return self[:2] == new[:2] and self.shape == new.shape[: len(self.shape)]


def replace(conn: Connection[Any], load: Callable[[], None]) -> None:
    """Have `load` create the code, and drop what an earlier load made and this one does not.

    The caller has a transaction open. Where something of a user's depends on what is to be dropped, the error
    is DependentObjectsStillExist, and its detail names both.
    """
    recorded = set(conn.execute("select type, identity from bcp_migrations.loaded_objects").fetchall())
    old = [thing for thing in _things(conn) if thing[:2] in recorded]
    made, outdated = _in_place(conn, old, load)
    if outdated:
        _set_aside(conn, outdated)
        made = _loaded(conn, load)
        drop(conn, {thing.oid for thing in outdated})
    conn.execute("delete from bcp_migrations.loaded_objects")
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into bcp_migrations.loaded_objects (type, identity) values (%s, %s)",
            sorted(thing[:2] for thing in made),
        )


def _in_place(
    conn: Connection[Any], old: list[_Thing], load: Callable[[], None]
) -> tuple[set[_Thing], list[_Thing]]:
    """Load over what there is, which mostly does. Return what was made, and what has to go first.

    If something has to go, the load is taken back: code that ran in it may have called what is old.
    """
    outdated: list[_Thing] = []
    try:
        with conn.transaction():
            made = _loaded(conn, load)
            outdated = _not_among(old, made)
            if outdated:
                raise psycopg.Rollback
    except (MigrationError, psycopg.Error) as error:
        if not old or error.sqlstate in _LOCKED:
            raise
        # `create or replace` refused, or there was an overload too many. What the files define is found out
        # by loading them as into an empty database.
        with conn.transaction(force_rollback=True):
            _set_aside(conn, old)
            made = _loaded(conn, load)
        outdated = _not_among(old, made)
        if not outdated:
            raise
    return made, outdated


def _not_among(old: list[_Thing], new: set[_Thing]) -> list[_Thing]:
    """Return the old things that `create or replace` cannot make the new ones of."""
    outdated = [thing for thing in old if not any(thing.becomes(other) for other in new)]
    views = [thing.identity for thing in outdated if thing.type == "view"]
    return outdated + [t for t in old if t not in outdated and any(view in t.types for view in views)]


def drop(conn: Connection[Any], oids: set[int] | None = None) -> None:
    """Drop the triggers, views and routines of our schemas, or those of `oids`, and their jobs."""
    left = [thing for thing in _things(conn) if oids is None or thing.oid in oids]
    # A job is of whatever its procedure has been renamed to.
    conn.execute(
        "select public.delete_job(j.job_id) from timescaledb_information.jobs j join pg_proc p"
        " on p.proname = j.proc_name and p.pronamespace::regnamespace::text = j.proc_schema"
        " where p.oid = any(%s)",
        [[thing.oid for thing in left]],
    )
    while left:
        kept = []
        # The newest first: what depends on another is mostly made after it.
        for thing in sorted(left, key=lambda t: t.oid, reverse=True):
            try:
                with conn.transaction():
                    conn.execute(f"drop {thing.type} {thing.identity}".encode())
            except psycopg.errors.DependentObjectsStillExist as error:
                kept.append(thing)
                why = error
        if len(kept) == len(left):
            raise why
        left = kept


def record_all(conn: Connection[Any]) -> None:
    """Record what the owner has in our schemas: of a database that a version without records loaded."""
    conn.execute(
        sql.SQL(
            "insert into bcp_migrations.loaded_objects select type, identity from ({}) as t where is_owned"
        ).format(sql.SQL(_ROUTINES_VIEWS_TRIGGERS)),
        {"ours": OURS},
    )


def _things(conn: Connection[Any]) -> set[_Thing]:
    rows = conn.execute(_ROUTINES_VIEWS_TRIGGERS, {"ours": OURS}).fetchall()
    return {
        _Thing(kind, identity, oid, version, tuple(shape)) for kind, identity, oid, version, shape, _ in rows
    }


def _loaded(conn: Connection[Any], load: Callable[[], None]) -> set[_Thing]:
    before = {(t.oid, t.version) for t in _things(conn)}
    load()
    return {t for t in _things(conn) if (t.oid, t.version) not in before}


def _set_aside(conn: Connection[Any], things: Iterable[_Thing]) -> None:
    """Rename what would be in the way of a new one; a trigger is in nobody's way."""
    for thing in things:
        if thing.type != "trigger":
            conn.execute(f"alter {thing.type} {thing.identity} rename to outdated_{thing.oid}".encode())
