// What the engine's SQL lacks for a server of many clients, made at each start in the one database it has.
//
// pg_sleep() blocks in a wait nobody can interrupt: ours sleeps in short pieces. Advisory locks belong to the backend,
// and all clients share it: it has those of the client whose turn it is, the server remembers the others' and says so
// in a setting at each turn, and our functions look there first. A lock that would have to wait raises LOCK_WAIT; the server then gives the turn to others and tries again.

export const HELD_SETTING = 'bcp_embedded.held_locks'
export const TOUCHED_SETTING = 'bcp_embedded.touched_locks' // not empty once a turn has taken a lock, in whatever function
export const LOCK_WAIT = 'bcp_embedded: another client holds this advisory lock'

/** Moves the built-in out of the way: replacing it would not do, since built-ins are called by their number. */
const native = (name, args) => `do $do$ begin
    if pg_catalog.to_regprocedure('pg_catalog.bcp_native_${name}(${args})') is null then
      alter function pg_catalog.${name}(${args}) rename to bcp_native_${name};
    end if;
  end $do$`

/** A key as the setting spells it: "classid/objid/objsubid" of pg_locks, where objsubid is 1 for a bigint, 2 for two integers. */
const KEY = {
  'bigint': "((($1 >> 32) & 4294967295)::text || '/' || ($1 & 4294967295)::text || '/1')",
  'integer, integer': "(($1::bigint & 4294967295)::text || '/' || ($2::bigint & 4294967295)::text || '/2')",
}

function* lockFunctions() {
  for (const [args, key] of Object.entries(KEY)) {
    const call = args === 'bigint' ? '$1' : '$1, $2'
    for (const shared of ['', '_shared']) {
      // An exclusive request conflicts with any holder (S or X), a shared one with an exclusive holder (X) only.
      const conflict = `coalesce(pg_catalog.current_setting('${HELD_SETTING}', true), '') ~ (' ${shared ? 'X' : '[SX]'}:' || ${key} || ' ')`
      for (const scope of ['', 'xact_']) {
        const touch = scope ? '' : `perform pg_catalog.set_config('${TOUCHED_SETTING}', '1', false);`
        const waits = `pg_advisory_${scope}lock${shared}`
        yield native(waits, args)
        yield `create or replace function pg_catalog.${waits}(${args}) returns void language plpgsql volatile strict as $f$
          begin
            if ${conflict} then raise exception using errcode = '55P03', message = '${LOCK_WAIT}'; end if;
            ${touch}
            perform pg_catalog.bcp_native_${waits}(${call});
          end $f$`
        const tries = `pg_try_advisory_${scope}lock${shared}`
        yield native(tries, args)
        yield `create or replace function pg_catalog.${tries}(${args}) returns boolean language plpgsql volatile strict as $f$
          begin
            ${touch}
            return not (${conflict}) and pg_catalog.bcp_native_${tries}(${call});
          end $f$`
      }
    }
  }
}

/** Advisory locks the engine holds, which are those of the client whose turn it is, spelt as the setting spells them. */
export const HELD_LOCKS = `select case l.mode when 'ShareLock' then 'S' else 'X' end || ':' || l.classid::text || '/' || l.objid::text || '/' || l.objsubid::text
  from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.granted`

/** Function calls that take such a lock, and let go of it. */
export function lockCalls(held) {
  const [mode, key] = [held[0], held.slice(2)]
  const [high, low, kind] = key.split('/')
  const args = kind === '1'
    ? BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)).toString()
    : `${high | 0}, ${low | 0}`
  const shared = mode === 'S' ? '_shared' : ''
  return {
    take: `pg_catalog.bcp_native_pg_advisory_lock${shared}(${args})`,
    free: `pg_catalog.pg_advisory_unlock${shared}(${args})`,
  }
}

export const SETUP = [
  native('pg_sleep', 'double precision'),
  `create or replace function pg_catalog.pg_sleep(double precision) returns void language plpgsql volatile strict as $f$
    declare v_until double precision := extract(epoch from pg_catalog.clock_timestamp()) + $1;
            v_left double precision;
    begin
      loop
        v_left := v_until - extract(epoch from pg_catalog.clock_timestamp());
        exit when v_left <= 0;
        perform pg_catalog.bcp_native_pg_sleep(least(v_left, 0.01));
      end loop;
    end $f$`,
  ...lockFunctions(),
]
