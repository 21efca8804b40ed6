// Functions that the engine lacks for serving many clients. The server creates them in its one database at each start.
//
// pg_sleep(): nobody can interrupt the built-in one, so ours sleeps in short pieces.
// Advisory locks: they belong to the backend, which all clients share. The engine holds those of the client whose turn
// it is. The server remembers the others' and writes them into a setting at each turn, where our functions look first.
// A lock that would have to wait raises LOCK_WAIT; the server then gives the turn to others and tries again.

export const HELD_SETTING = 'bcp_embedded.held_locks'
// Not empty once this turn has taken a lock, also inside of a function that says nothing of it.
export const TOUCHED_SETTING = 'bcp_embedded.touched_locks'
export const LOCK_WAIT = 'bcp_embedded: another client holds this advisory lock'

/**
 * Renames the built-in function. Replacing it would have no effect: PostgreSQL calls built-ins by their number.
 * @param {string} name
 * @param {string} args
 */
const native = (name, args) => `do $do$ begin
    if pg_catalog.to_regprocedure('pg_catalog.bcp_native_${name}(${args})') is null then
      alter function pg_catalog.${name}(${args}) rename to bcp_native_${name};
    end if;
  end $do$`

// A lock's key as the setting has it: classid/objid/objsubid of pg_locks. Its objsubid is 1 for a bigint, 2 for two
// integers.
/** @type {Record<string, string>} */
const KEY = {
  'bigint': "((($1 >> 32) & 4294967295)::text || '/' || ($1 & 4294967295)::text || '/1')",
  'integer, integer': "(($1::bigint & 4294967295)::text || '/' || ($2::bigint & 4294967295)::text || '/2')",
}

function* lockFunctions() {
  for (const [args, key] of Object.entries(KEY)) {
    const call = args === 'bigint' ? '$1' : '$1, $2'
    for (const shared of ['', '_shared']) {
      // An exclusive request conflicts with any holder (S or X), a shared one with an exclusive holder (X) only.
      const conflict = `coalesce(pg_catalog.current_setting('${HELD_SETTING}', true), '')
        ~ (' ${shared ? 'X' : '[SX]'}:' || ${key} || ' ')`
      for (const scope of ['', 'xact_']) {
        const touch = scope ? '' : `perform pg_catalog.set_config('${TOUCHED_SETTING}', '1', false);`
        const waits = `pg_advisory_${scope}lock${shared}`
        yield native(waits, args)
        yield `create or replace function pg_catalog.${waits}(${args}) returns void
          language plpgsql volatile strict as $f$ begin
            if ${conflict} then raise exception using errcode = '55P03', message = '${LOCK_WAIT}'; end if;
            ${touch}
            perform pg_catalog.bcp_native_${waits}(${call});
          end $f$`
        const tries = `pg_try_advisory_${scope}lock${shared}`
        yield native(tries, args)
        yield `create or replace function pg_catalog.${tries}(${args}) returns boolean
          language plpgsql volatile strict as $f$ begin
            ${touch}
            return not (${conflict}) and pg_catalog.bcp_native_${tries}(${call});
          end $f$`
      }
    }
  }
}

/** Lists the advisory locks of the client whose turn it is, each as the setting has it. */
export const HELD_LOCKS = `
  select case l.mode when 'ShareLock' then 'S' else 'X' end || ':' || l.classid || '/' || l.objid || '/' || l.objsubid
  from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.granted`

/**
 * Calls that take such a lock and release it.
 * @param {string} held
 */
export function lockCalls(held) {
  const [mode, key] = [held[0], held.slice(2)]
  const [high, low, kind] = key.split('/')
  const args = kind === '1'
    ? BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low)).toString()
    : `${Number(high) | 0}, ${Number(low) | 0}`
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
