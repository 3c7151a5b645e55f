import { type RawBuilder, sql, type Tx } from '../database/database.ts';
import { assertEdge, isTerminal, type Kind, type StateOf } from '../domain/lifecycle.ts';
import { stagesWokenBy } from '../domain/wake-up.ts';
import { storableJson } from '../lib/storable.ts';

export interface TransitionRow {
  id: string;
  reason?: string | null;
  /** Kept in the audit row. */
  detail?: unknown;
  /** For `set` and `where`: read as `w.data ->> 'name'`. */
  data?: Readonly<Record<string, unknown>>;
}

export interface Transition<K extends Kind> {
  kind: K;
  from: readonly StateOf[K][];
  to: StateOf[K];
  rows: readonly TransitionRow[];
  actor: string;
  /** An operator's edge, from the closed table. */
  forced?: boolean;
  /** More columns to write: `, attempt = t.attempt + 1`. The row is `t`, what was wanted of it `w`. */
  set?: RawBuilder<unknown>;
  /** More conditions, fences above all: `and t.attempt = (w.data ->> 'attempt')::int`. */
  where?: RawBuilder<unknown>;
}

export interface Moved {
  id: string;
  from_state: string;
  run_id: string | null;
  attempt: number | null;
}

/** Its transitions are the repairs: a healthy installation has none. */
export const RECONCILER = 'reconciler';

/** One level of priority is worth this much waiting: whoever waits rises, and nobody waits for ever. */
const SECONDS_A_LEVEL = 60;

const TABLES = {
  run: { table: 'runs', key: 'run_id', runId: 't.run_id', attempt: 'null::int' },
  workstream: { table: 'workstreams', key: 'workstream_id', runId: 't.run_id', attempt: 'null::int' },
  task: { table: 'tasks', key: 'task_id', runId: 't.run_id', attempt: 't.attempt' },
  worker: { table: 'workers', key: 'worker_id', runId: 'null::text', attempt: 'null::int' },
  patch: { table: 'patches', key: 'patch_id', runId: 't.run_id', attempt: 't.attempt' },
  gate: { table: 'test_gates', key: 'gate_id', runId: 't.run_id', attempt: 't.attempt' },
  breaker: { table: 'circuit_breakers', key: 'breaker_id', runId: 'null::text', attempt: 'null::int' },
} as const satisfies Record<Kind, { table: string; key: string; runId: string; attempt: string }>;

/**
 * The only statement that changes a `state` column: compare-and-set and audit row in one, for any number of rows of one
 * kind. Rows that are not in one of the `from` states (or fail `where`) do not move; losing that race is a normal answer.
 * Gives the rows that moved. An edge that the lifecycle does not have throws `state.illegal_edge`.
 */
export async function transition<K extends Kind>(tx: Tx, move: Transition<K>): Promise<Moved[]> {
  const { kind, from, to, rows, actor, forced = false } = move;
  for (const state of from) assertEdge(kind, state, to, forced);
  if (rows.length === 0) return [];
  const { table, key, runId, attempt } = TABLES[kind];
  const keyOf = sql.ref(`t.${key}`);
  // The id filter is repeated because the planner misestimates the list of rows and would otherwise scan the table.
  const ids = rows.map(({ id }) => id);
  const moved = await tx.query<Moved>(sql`
    with wanted as (
      select w.id, w.reason, w.detail, w.data
      from jsonb_to_recordset(${storableJson(rows)}::jsonb) as w(id text, reason text, detail jsonb, data jsonb)
    ), locked as (
      -- In id order: two batches that share rows wait for each other, and never in a circle.
      select ${keyOf} as id, t.state as from_state
      from ${sql.table(table)} t join wanted w on w.id = ${keyOf}
      where ${keyOf} = any (${ids}::text[]) and t.state = any (${[...from]}::text[]) ${move.where ?? sql``}
      order by ${keyOf}
      for update of t
    ), moved as (
      update ${sql.table(table)} t
      set state = ${to}, reason = w.reason, version = t.version + 1, updated_at = now()
          ${endingColumns(kind, to)} ${move.set ?? sql``}
      from locked l join wanted w on w.id = l.id
      where ${keyOf} = l.id and ${keyOf} = any (${ids}::text[])
      returning ${keyOf} as id, l.from_state, ${sql.raw(runId)} as run_id, ${sql.raw(attempt)} as attempt,
                w.reason, w.detail
    ), audited as (
      insert into state_transitions (kind, entity_id, run_id, attempt, from_state, to_state, reason, actor, forced, detail)
      select ${kind}, id, run_id, attempt, from_state, ${to}, reason, ${actor}, ${forced}, detail
      from moved order by id
    )
    select id, from_state, run_id, attempt from moved order by id`);
  for (const { id, from_state } of moved) {
    tx.wake(...stagesWokenBy(kind, from_state as StateOf[K], to));
    if (kind === 'task' && to === 'CANCELLED' && from_state === 'RUNNING') tx.wake(`cancel:${id}`);
  }
  return moved;
}

/** `completed_at` and `outcome` follow from the state, so no caller can forget them. */
function endingColumns(kind: Kind, to: string): RawBuilder<unknown> {
  const ended = isTerminal(kind, to as never);
  const completedAt = ended ? sql`now()` : sql`null`;
  switch (kind) {
    case 'run':
    case 'workstream':
    case 'task': {
      const outcome = ended ? outcomeColumn(to) : sql`null`;
      const ofTask = kind === 'task' ? taskColumns(to) : sql``;
      return sql`, completed_at = ${completedAt}, outcome = ${outcome} ${ofTask}`;
    }
    case 'gate':
      return ended
        ? sql`, completed_at = now(), worker_id = null, lease_expires_at = null`
        : sql`, completed_at = null`;
    default:
      return sql``;
  }
}

/** Only what runs has a worker. A requeued task keeps its original `ranked_at`, so a retry does not lose its place. */
function taskColumns(to: string): RawBuilder<unknown> {
  if (to === 'RUNNING') return sql``;
  const left = sql`, worker_id = null, lease_expires_at = null`;
  if (to !== 'QUEUED') return left;
  return sql`${left}, queued_at = now(), dispatched_at = null, available_at = null,
    ranked_at = coalesce(t.ranked_at, now() - make_interval(secs => ${SECONDS_A_LEVEL} * t.priority)),
    queue_expires_at = now() + make_interval(secs => t.queue_timeout_seconds)`;
}

/** A run or task that FAILED because it was cancelled has the outcome `cancelled`. */
function outcomeColumn(to: string): RawBuilder<unknown> {
  if (to === 'COMPLETED') return sql`'succeeded'`;
  if (to === 'FAILED') return sql`case when w.reason = 'cancelled' then 'cancelled' else 'failed' end`;
  return sql`'cancelled'`;
}

/** Writes the audit rows of objects that were just made. */
export async function recordCreated<K extends Kind>(
  tx: Tx,
  created: { kind: K; state: StateOf[K]; ids: readonly string[]; runId: string | null; actor: string },
): Promise<void> {
  await tx.query(sql`
    insert into state_transitions (kind, entity_id, run_id, to_state, actor)
    select ${created.kind}, id, ${created.runId}, ${created.state}, ${created.actor}
    from unnest(${[...created.ids]}::text[]) as id`);
  tx.wake(...stagesWokenBy(created.kind, undefined, created.state));
}

/** What the reconciler put right on objects that stay in their state: a row of the audit each, with the cause. */
export async function recordRepairs(
  tx: Tx,
  {
    kind,
    cause,
    rows,
  }: { kind: Kind; cause: string; rows: readonly { id: string; run_id: string | null; state: string }[] },
): Promise<void> {
  if (rows.length === 0) return;
  await tx.query(sql`
    insert into state_transitions (kind, entity_id, run_id, from_state, to_state, reason, actor)
    select ${kind}, r.id, r.run_id, r.state, r.state, ${cause}, ${RECONCILER}
    from jsonb_to_recordset(${storableJson(rows)}::jsonb) as r(id text, run_id text, state text)`);
  tx.wake('dispatch', 'landing', 'roll-up');
}

/** What an operator did to an object that stays in its state. */
export async function recordNote(
  tx: Tx,
  note: { kind: Kind; id: string; runId: string | null; state: string; reason: string; actor: string; detail: unknown },
): Promise<void> {
  await tx.query(sql`
    insert into state_transitions (kind, entity_id, run_id, from_state, to_state, reason, actor, forced, detail)
    values (${note.kind}, ${note.id}, ${note.runId}, ${note.state}, ${note.state}, ${note.reason}, ${note.actor}, true,
            ${storableJson(note.detail)}::jsonb)`);
}

export function toRows(ids: readonly string[], reason?: string, detail?: unknown): TransitionRow[] {
  return ids.map((id) => ({ id, reason, detail }));
}

/** What ended a patch stands on the patch itself, beside what was known of it before. */
export const KEEP_DETAIL = sql`, evidence = coalesce(t.evidence, '{}'::jsonb) || coalesce(w.detail, '{}'::jsonb)`;
