import { type Reader, sql } from '../database/database.ts';
import type { RunHold } from '../domain/admission.ts';
import { liveStates } from '../domain/lifecycle.ts';
import { UNLANDED_PATCH_STATES } from '../domain/lifecycles/patch.ts';

/** One counted group: its labels and its value. */
export interface Measured {
  labels: Readonly<Record<string, string>>;
  value: number;
}

export interface QueuedGroup {
  pool: string;
  tool: string;
  target_id: string | null;
  held_run: string | null;
  tasks: number;
}

/** Reads what `/metrics` shows of the ledger, in few statements that read only live rows. */
export class MetricsDao {
  readonly #source: Reader;

  constructor(source: Reader) {
    this.#source = source;
  }

  /** Live rows by state; rows that have ended are history, not load. */
  async live(): Promise<Record<'runs' | 'tasks' | 'patches' | 'gates' | 'workers', Measured[]>> {
    const unlanded = [...UNLANDED_PATCH_STATES, 'APPLIED'];
    const [runs, tasks, patches, gates, workers] = await Promise.all([
      this.#grouped(sql`
        select jsonb_build_object('state', state) as labels, count(*)::int as value from runs
        where state = any (${liveStates('run')}::text[]) group by state`),
      this.#grouped(sql`
        select jsonb_build_object('state', state, 'pool', pool) as labels, count(*)::int as value from tasks
        where state = any (${liveStates('task')}::text[]) group by state, pool`),
      this.#grouped(sql`
        select jsonb_build_object('state', state, 'target', target_id) as labels, count(*)::int as value from patches
        where state = any (${unlanded}::text[]) group by state, target_id`),
      this.#grouped(sql`
        select jsonb_build_object('state', state, 'pool', pool) as labels, count(*)::int as value from test_gates
        where state = any (${liveStates('gate')}::text[]) group by state, pool`),
      this.#grouped(sql`
        select jsonb_build_object('state', state) as labels, count(*)::int as value from workers
        where state = any (${liveStates('worker')}::text[]) group by state`),
    ]);
    return { runs: runs!, tasks: tasks!, patches: patches!, gates: gates!, workers: workers! };
  }

  /** Seconds that the oldest one waits: tasks for a dispatch by pool, patches for their landing by target. */
  async oldest(): Promise<Record<'tasks' | 'patches', Measured[]>> {
    const [tasks, patches] = await Promise.all([
      this.#grouped(sql`
        select jsonb_build_object('pool', pool) as labels, extract(epoch from now() - min(queued_at))::float8 as value
        from tasks where state = 'QUEUED' and dispatched_at is null group by pool`),
      this.#grouped(sql`
        select jsonb_build_object('target', target_id) as labels, extract(epoch from now() - min(staged_at))::float8 as value
        from patches where state = 'STAGED' group by target_id`),
    ]);
    return { tasks: tasks!, patches: patches! };
  }

  /** 1 where a target is paused, its policy cannot be read, or its coordinator cannot work; 0 elsewhere. */
  targetsInTrouble(): Promise<Measured[]> {
    return this.#grouped(sql`
      select jsonb_build_object('target', target_id, 'kind', kind) as labels, troubled::int as value
      from targets cross join lateral (values
        ('paused', paused_at is not null), ('policy', policy_error is not null), ('fault', fault is not null)
      ) as trouble(kind, troubled)`);
  }

  /** Landings and gate executions that ended in the last hour (indexes patches_applied_at, test_gates_completed_at). */
  async lastHour(): Promise<Record<'landed' | 'landingSeconds' | 'gateRuns' | 'gateSeconds', Measured[]>> {
    const landed = sql`
      from targets a cross join lateral (
        select extract(epoch from p.verified_at - p.staged_at)::float8 as seconds from patches p
        where p.target_id = a.target_id and p.applied_at > now() - interval '1 hour' and p.verified_at is not null) p`;
    const ended = sql`
      from test_gates where completed_at > now() - interval '1 hour' and started_at is not null`;
    const [count, landingSeconds, gateRuns, gateSeconds] = await Promise.all([
      this.#grouped(sql`
        select jsonb_build_object('target', a.target_id) as labels, count(*)::int as value ${landed}
        group by a.target_id`),
      this.#grouped(sql`
        select jsonb_build_object('target', target_id, 'quantile', quantile) as labels, value
        from (select a.target_id, percentile_cont(array[0.5, 0.95]) within group (order by seconds) as values ${landed}
              group by a.target_id) as t
        cross join lateral unnest(array['0.5', '0.95'], t.values) as q(quantile, value)`),
      this.#grouped(sql`
        select jsonb_build_object('target', target_id, 'gate', test_suite, 'outcome', coalesce(outcome, 'passed')) as labels,
               count(*)::int as value ${ended}
        group by target_id, test_suite, outcome`),
      this.#grouped(sql`
        select jsonb_build_object('target', target_id, 'gate', test_suite, 'quantile', quantile) as labels, value
        from (select target_id, test_suite, percentile_cont(array[0.5, 0.95]) within group (
                order by extract(epoch from completed_at - started_at)::float8) as values ${ended}
              group by target_id, test_suite) as t
        cross join lateral unnest(array['0.5', '0.95'], t.values) as q(quantile, value)`),
    ]);
    return { landed: count!, landingSeconds: landingSeconds!, gateRuns: gateRuns!, gateSeconds: gateSeconds! };
  }

  /** Queued tasks that are not dispatched, by pool, tool, target and the run that holds them back, if one does. */
  queuedTasks(holds: readonly RunHold[]): Promise<QueuedGroup[]> {
    const held = holds.map(({ run_id }) => run_id);
    return this.#source.query(sql`
      select pool, tool, target_id, case when run_id = any (${held}::text[]) then run_id end as held_run,
             count(*)::int as tasks
      from tasks where state = 'QUEUED' and dispatched_at is null group by 1, 2, 3, 4`);
  }

  /** Staged patches by their place in the queue, as the coordinator of their target showed it last. */
  placesOfPatches(): Promise<Measured[]> {
    return this.#grouped(sql`
      select jsonb_build_object('target', target_id, 'place', l.patch ->> 'place') as labels, count(*)::int as value
      from targets cross join lateral jsonb_array_elements(landing -> 'line') as l(patch)
      where exists (select 1 from patches p where p.patch_id = l.patch ->> 'patch_id' and p.state = 'STAGED')
      group by target_id, l.patch ->> 'place'`);
  }

  /** By the index runs_completed_at. */
  runSecondsOfLastHour(): Promise<Measured[]> {
    return this.#grouped(sql`
      select jsonb_build_object('outcome', outcome, 'quantile', quantile) as labels, value
      from (select outcome, percentile_cont(array[0.5, 0.95]) within group (
              order by extract(epoch from completed_at - created_at)::float8) as values
            from runs where completed_at > now() - interval '1 hour' group by outcome) as t
      cross join lateral unnest(array['0.5', '0.95'], t.values) as q(quantile, value)`);
  }

  /**
   * Returns what landings cost beyond their gates, and what they saved. A gate execution is saved for each further patch
   * of a batch that one proof covers, and where the proof is older than every patch of its landing.
   */
  async landingsOfLastHour(): Promise<Record<'overheadSeconds' | 'runsSaved' | 'secondsSaved', Measured[]>> {
    const rows = await this.#source.query<{ target: string; overhead: number[]; runs: number; seconds: number }>(sql`
      with landings as (
        select i.target_id, extract(epoch from i.settled_at - max(g.completed_at))::float8 as overhead,
               sum(s.saved) as runs,
               sum(s.saved * extract(epoch from g.completed_at - g.started_at)::float8) as seconds
        from targets t cross join lateral (
          select * from landing_intents i where i.target_id = t.target_id
            and i.created_at > now() - interval '1 hour' and i.outcome = 'applied') i
        cross join lateral (
          select min(p.staged_at) as staged_at from jsonb_array_elements(i.patches) as landed(patch)
          join patches p on p.patch_id = landed.patch ->> 'patch_id') as first
        cross join lateral jsonb_array_elements(i.proofs) as named(proof)
        join test_gates g on g.gate_id = named.proof ->> 'gate_id'
        cross join lateral (
          select case when i.prove = 'batch' then jsonb_array_length(i.patches) - 1 else 0 end
                 + (g.created_at < first.staged_at)::int as saved) as s
        group by i.target_id, i.intent_id, i.settled_at
      )
      select target_id as target, percentile_cont(array[0.5, 0.95]) within group (order by overhead) as overhead,
             sum(runs)::int as runs, sum(seconds)::float8 as seconds
      from landings group by target_id`);
    const each = (value: (row: (typeof rows)[number]) => number): Measured[] =>
      rows.map((row) => ({ labels: { target: row.target }, value: value(row) }));
    return {
      overheadSeconds: rows.flatMap(({ target, overhead }) =>
        ['0.5', '0.95'].map((quantile, n) => ({ labels: { target, quantile }, value: overhead[n]! })),
      ),
      runsSaved: each(({ runs }) => runs),
      secondsSaved: each(({ seconds }) => seconds),
    };
  }

  /** Deliveries that are to be sent, and how many were given up in the last day, by webhook. */
  deliveries(): Promise<Measured[]> {
    return this.#grouped(sql`
      select jsonb_build_object('webhook', webhook, 'outcome', outcome) as labels, count(*)::int as value
      from webhook_deliveries
      where outcome = 'pending' or (outcome = 'failed' and settled_at > now() - interval '1 day')
      group by webhook, outcome`);
  }

  #grouped(statement: ReturnType<typeof sql>): Promise<Measured[]> {
    return this.#source.query(statement) as Promise<Measured[]>;
  }
}
