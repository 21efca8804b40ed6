// TimescaleDB's scheduler needs background workers, which this build lacks. So the server runs due jobs itself, one at
// a time, in the same queue as the clients' turns. run_job() records nothing, so we write what the scheduler would:
// timescaledb_information.job_stats, jobs.next_start and job_errors say what happened.
import { reason } from './log.mjs'
import { quoteIdent, quoteLiteral } from './sqlscan.mjs'

/** @typedef {import('./wire.mjs').ErrorFields} ErrorFields */

const POLL_MS = 1000
const IDLE_POLL_MS = 15_000 // while nothing is due and no client is active, so that jobs cannot have changed
const SLOW_MS = 5000
const MAX_BACKOFF = 5 // doublings of the retry period

const DUE = `
  select j.id, j.owner::regrole::text, j.proc_schema || '.' || j.proc_name, extract(epoch from j.max_runtime) * 1000
  from _timescaledb_config.bgw_job j left join _timescaledb_internal.bgw_job_stat s on s.job_id = j.id
  where j.scheduled and coalesce(s.next_start, j.initial_start, '-infinity') <= now()
    and (j.max_retries < 0 or coalesce(s.consecutive_failures, 0) <= j.max_retries)
  order by coalesce(s.next_start, '-infinity'), j.id limit 1`

const NEXT = `
  select extract(epoch from min(coalesce(s.next_start, 'infinity'))) * 1000
  from _timescaledb_config.bgw_job j left join _timescaledb_internal.bgw_job_stat s on s.job_id = j.id
  where j.scheduled`

/**
 * Records a run of a job as the scheduler would.
 * @param {{id: string, started: number, failure?: ErrorFields | null}} run
 */
const books = ({ id, started, failure }) => `
  with job as (select * from _timescaledb_config.bgw_job where id = ${id}),
  run as (select to_timestamp(${started / 1000}) as began, clock_timestamp() as ended, ${!failure} as ok),
  said as (
    insert into _timescaledb_internal.bgw_job_stat_history
      (job_id, pid, execution_start, execution_finish, succeeded, data)
    select job.id, ${process.pid}, run.began, run.ended, false, jsonb_build_object('job', to_jsonb(job), 'error_data',
      jsonb_build_object('sqlerrcode', ${quoteLiteral(failure?.C ?? '')}, 'message', ${quoteLiteral(failure?.M ?? '')}))
    from job, run where not run.ok
  ),
  failures as (select case when run.ok then 0 else coalesce(s.consecutive_failures, 0) + 1 end as n
    from run left join _timescaledb_internal.bgw_job_stat s on s.job_id = ${id}),
  next as (
    select case
      when not run.ok then run.ended + job.retry_period * power(2, least(failures.n - 1, ${MAX_BACKOFF}))
      when job.fixed_schedule and job.initial_start > '-infinity' and extract(month from job.schedule_interval) = 0
        and extract(year from job.schedule_interval) = 0 and job.schedule_interval > '0'
      then job.initial_start + job.schedule_interval * (floor(extract(epoch from run.ended - job.initial_start)
        / extract(epoch from job.schedule_interval)) + 1)::double precision
      else run.ended + job.schedule_interval end as at
    from job, run, failures
  )
  insert into _timescaledb_internal.bgw_job_stat as s (job_id, last_start, last_finish, next_start,
    last_successful_finish, last_run_success, total_runs, total_duration, total_duration_failures, total_successes,
    total_failures, total_crashes, consecutive_failures, consecutive_crashes, flags)
  select job.id, run.began, run.ended, next.at, case when run.ok then run.ended else '-infinity' end, run.ok, 1,
    case when run.ok then run.ended - run.began else '0' end, case when run.ok then '0' else run.ended - run.began end,
    run.ok::int, (not run.ok)::int, 0, failures.n, 0, 0
  from job, run, next, failures
  on conflict (job_id) do update set last_start = excluded.last_start, last_finish = excluded.last_finish,
    -- A job that sets its own next start by alter_job() has the last word.
    next_start = case when excluded.last_run_success and s.next_start > now()
      then s.next_start else excluded.next_start end,
    last_successful_finish = greatest(s.last_successful_finish, excluded.last_successful_finish),
    last_run_success = excluded.last_run_success, total_runs = s.total_runs + 1,
    total_duration = s.total_duration + excluded.total_duration,
    total_duration_failures = s.total_duration_failures + excluded.total_duration_failures,
    total_successes = s.total_successes + excluded.total_successes,
    total_failures = s.total_failures + excluded.total_failures, consecutive_failures = excluded.consecutive_failures`

export class Jobs {
  /** @param {import('./server.mjs').Server} server */
  constructor(server) {
    this.server = server
    this.busy = false
    this.more = false // another job may be due at once
    this.lastPoll = 0
    this.nextDue = 0
    this.servedAtPoll = 0
    /** @type {{id: string, started: number} | null} */
    this.underWay = null
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined
  }

  start() {
    if (this.server.options.runJobs) this.timer = setInterval(() => this.#poll(), POLL_MS)
  }

  stop() {
    clearInterval(this.timer)
  }

  #poll() {
    const { server } = this
    const quiet = server.turns.served === this.servedAtPoll && !this.more
    const rests = quiet && Date.now() - this.lastPoll < IDLE_POLL_MS && Date.now() < this.nextDue
    if (this.busy || !server.open || rests) return
    this.busy = true
    this.servedAtPoll = server.turns.served
    this.lastPoll = Date.now()
    server.turns.schedule(() => this.#runOne())
      .catch((/** @type {unknown} */ error) => server.log.error(`jobs: ${reason(error)}`))
      .finally(() => {
        this.busy = false
        if (this.more && server.open) setImmediate(() => this.#poll()) // behind the clients that wait by now
      })
  }

  async #runOne() {
    const { server } = this
    const { engine, log, turns } = server
    this.more = false
    if (server.stopping) return
    await turns.unload()
    if (this.underWay) {
      // The engine died of this job. Without a record the job would be due again at once and kill the new engine, too.
      await this.#own(books({ ...this.underWay, failure: { C: '57P02', M: 'the database engine stopped' } }))
      this.underWay = null
    }
    const due = await this.#own(DUE)
    if (!due.length) {
      const [[next]] = await this.#own(NEXT)
      this.nextDue = next === null ? Infinity : Number(next) // "Infinity" reads as itself
      return
    }
    const [id, owner, name, maxRuntime] = due[0].map(String)
    const began = Date.now()
    const limit = Number(maxRuntime) > 0 ? setTimeout(() => engine.interrupt(), Number(maxRuntime)) : undefined
    const user = owner.startsWith('"') ? owner.slice(1, -1).replaceAll('""', '"') : owner
    /** @type {ErrorFields | null} */
    let failure
    this.underWay = { id, started: began }
    try {
      const switched = await engine.query(`set session authorization ${quoteIdent(user)}`)
      failure = switched.error ?? (await engine.query(`call public.run_job(${id})`)).error
    } finally {
      clearTimeout(limit)
    }
    for (const sql of ['rollback', 'set session authorization postgres', 'reset all']) await engine.query(sql)
    await this.#own(books({ id, started: began, failure }))
    this.underWay = null
    const took = Date.now() - began
    const said = failure ? `failed after ${took} ms: ${failure.C} ${failure.M}; it will run again` : `took ${took} ms`
    log.write(failure || took > SLOW_MS ? 'warning' : 'debug', `job ${id} (${name}) ${said}`)
    this.more = true
  }

  /** @param {string} sql */
  async #own(sql) {
    const { rows, error } = await this.server.engine.query(sql)
    if (error) throw new Error(`${error.C} ${error.M}`)
    return rows
  }
}
