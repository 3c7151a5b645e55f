import { ACTORS, type Actor } from '../contract/order.ts';
import type { Reason, ReasonName } from '../contract/reasons.ts';
import { type RawBuilder, sql, type Tx } from '../database/database.ts';
import { assertEdge, isTerminal, type Kind, type StateOf } from '../domain/lifecycle.ts';
import { stagesWokenBy } from '../domain/wake-up.ts';
import { storableJson, storableText } from '../lib/storable.ts';

/** One object to move, where each has a reason or detail of its own. */
export interface TransitionRow {
  id: string;
  reason?: Reason | null | undefined;
  /** Kept in the audit row. */
  detail?: unknown;
}

/** Objects to move: ids that share a reason and detail, or a row for each. */
type Wanted =
  | { ids: readonly string[]; reason?: Reason | null | undefined; detail?: unknown; rows?: never }
  | { rows: readonly TransitionRow[]; ids?: never; reason?: never; detail?: never };

/** A value for each object to move, in the same order: the column of that name of `w`. */
export interface WantedColumn {
  type: 'text' | 'int4' | 'float8';
  values: readonly (string | number | null | undefined)[];
}

export type Transition<K extends Kind> = Wanted & {
  kind: K;
  from: readonly StateOf[K][];
  /** States between: each edge has an audit row, and the row is written once. */
  via?: readonly StateOf[K][];
  to: StateOf[K];
  actor: Actor;
  /** An operator's edge, from the closed table. */
  forced?: boolean;
  /** For `set` and `where`: `{ attempt: ints([1]) }` is `w.attempt`. */
  data?: Readonly<Record<string, WantedColumn>>;
  /** More columns to write: `, attempt = t.attempt + 1`. The row is `t`, what is wanted of it `w`. */
  set?: RawBuilder<unknown>;
  /** More conditions, fences above all: `and t.attempt = w.attempt`. */
  where?: RawBuilder<unknown>;
};

export function ints(values: WantedColumn['values']): WantedColumn {
  return { type: 'int4', values };
}

export function floats(values: WantedColumn['values']): WantedColumn {
  return { type: 'float8', values };
}

export function texts(values: WantedColumn['values']): WantedColumn {
  return { type: 'text', values };
}

export interface Moved {
  id: string;
  from_state: string;
  run_id: string | null;
  attempt: number | null;
}

/** Actor of repairs: a healthy installation has none. */
export const RECONCILER = 'reconciler' satisfies Actor;

/** Waiting time that one level of priority is worth. Because rank is fixed, no task starves. */
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
 * Returns the rows that moved. An edge that the lifecycle does not have throws `state.illegal_edge`.
 */
export async function transition<K extends Kind>(tx: Tx, move: Transition<K>): Promise<Moved[]> {
  const { kind, from, to, actor, forced = false } = move;
  const path = [...(move.via ?? []), to];
  for (const state of from) assertEdge(kind, state, path[0]!, forced);
  for (const [index, state] of path.slice(1).entries()) assertEdge(kind, path[index]!, state, forced);
  const ids = move.ids ?? move.rows.map(({ id }) => id);
  if (ids.length === 0) return [];
  const { table, key, runId, attempt } = TABLES[kind];
  const keyOf = sql.ref(`t.${key}`);
  const data = Object.entries(move.data ?? {});
  // Each row is found by its primary key, whatever the planner takes the size of the batch to be: a lateral subquery
  // with a row lock cannot be joined in any other way, so the cost of n rows is n. The ids come in order, so that two
  // batches that share rows wait for each other and never in a circle.
  const moved = await tx.query<Moved>(sql`
    with wanted as (
      select * from unnest(${ids}::text[], ${reasonsOf(move, ids)}::text[], ${detailsOf(move, ids)}::text[]${arraysOf(data)})
        as w(id, reason, detail_json${namesOf(data)})
      order by id
    ), locked as (
      select w.*, w.detail_json::jsonb as detail, t.from_state
      from wanted w cross join lateral (
        select t.state as from_state from ${sql.table(table)} t
        where ${keyOf} = w.id and t.state = any (${[...from]}::text[]) ${move.where ?? sql``}
        for update of t
      ) t
    ), moved as (
      update ${sql.table(table)} t
      set state = ${to}, reason = w.reason, version = t.version + ${path.length}::int, updated_at = now()
          ${endingColumns(kind, to)} ${move.set ?? sql``}
      from locked w where ${keyOf} = w.id
      returning ${keyOf} as id, w.from_state, ${sql.raw(runId)} as run_id, ${sql.raw(attempt)} as attempt,
                w.reason, w.detail
    ), audited as (
      insert into state_transitions (kind, entity_id, run_id, attempt, from_state, to_state, reason, actor, forced, detail)
      select ${kind}, id, run_id, attempt, from_state, to_state, reason, ${actor}, ${forced}, detail
      from (${edgesOf(path)}) as edge order by id, place
    )
    select id, from_state, run_id, attempt from moved order by id`);
  for (const state of moved.length === 0 ? [] : path) tx.moved(kind, state, moved.length);
  for (const { id, from_state } of moved) {
    tx.wake(...stagesWokenBy(kind, from_state as StateOf[K], to));
    if (kind === 'task' && to === 'CANCELLED' && from_state === 'RUNNING') tx.wake(`cancel:${id}`);
  }
  return moved;
}

/** Rows of `moved` for each edge of the path; only the last one has the reason and the detail. */
function edgesOf(path: readonly string[]): RawBuilder<unknown> {
  const edges = path.map((to, place) => {
    const from = place === 0 ? sql`from_state` : sql`${path[place - 1]!}::text`;
    const told = place === path.length - 1 ? sql`reason, detail` : sql`null::text, null::jsonb`;
    return sql`select id, run_id, attempt, ${from} as from_state, ${to}::text as to_state, ${told}, ${place}::int from moved`;
  });
  const columns = sql`id, run_id, attempt, from_state, to_state, reason, detail, place`;
  return sql`select * from (${sql.join(edges, sql` union all `)}) as edges(${columns})`;
}

function reasonsOf(move: Wanted, ids: readonly string[]): (string | null)[] {
  const reasons = move.rows?.map(({ reason }) => reason) ?? ids.map(() => move.reason);
  return reasons.map((reason) => (reason == null ? null : storableText(reason)));
}

function detailsOf(move: Wanted, ids: readonly string[]): (string | null)[] {
  if (move.rows === undefined) {
    const shared = move.detail === undefined ? null : storableJson(move.detail);
    return ids.map(() => shared);
  }
  return move.rows.map(({ detail }) => (detail === undefined ? null : storableJson(detail)));
}

function arraysOf(data: readonly [string, WantedColumn][]): RawBuilder<unknown> {
  const arrays = data.map(([, { type, values }]) => sql`, ${[...values]}::${sql.raw(type)}[]`);
  return sql.join(arrays, sql``);
}

function namesOf(data: readonly [string, WantedColumn][]): RawBuilder<unknown> {
  return sql.join(
    data.map(([name]) => sql`, ${sql.id(name)}`),
    sql``,
  );
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

/**
 * Only a RUNNING task has a worker. A requeued task keeps its original `ranked_at`, so a retry does not lose its place.
 */
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

/** Writes the audit rows of new objects. */
export async function recordCreated<K extends Kind>(
  tx: Tx,
  created: { kind: K; state: StateOf[K]; ids: readonly string[]; runId: string | null; actor: Actor },
): Promise<void> {
  await tx.query(sql`
    insert into state_transitions (kind, entity_id, run_id, to_state, actor)
    select ${created.kind}, id, ${created.runId}, ${created.state}, ${created.actor}
    from unnest(${[...created.ids]}::text[]) as id`);
  tx.moved(created.kind, created.state, created.ids.length);
  tx.wake(...stagesWokenBy(created.kind, undefined, created.state));
}

/** Writes an audit row for each object that the reconciler corrected without changing its state, with the cause. */
export async function recordRepairs(
  tx: Tx,
  {
    kind,
    cause,
    rows,
  }: { kind: Kind; cause: ReasonName; rows: readonly { id: string; run_id: string | null; state: string }[] },
): Promise<void> {
  if (rows.length === 0) return;
  await tx.query(sql`
    insert into state_transitions (kind, entity_id, run_id, from_state, to_state, reason, actor)
    select ${kind}, r.id, r.run_id, r.state, r.state, ${cause}, ${RECONCILER}
    from jsonb_to_recordset(${storableJson(rows)}::jsonb) as r(id text, run_id text, state text)`);
  tx.wake('dispatch', 'landing', 'roll-up');
}

/** Records a fact about an object whose state stays, such as an operator's order. */
export async function recordNote(
  tx: Tx,
  note: { kind: Kind; id: string; runId: string | null; state: string; reason: Reason; actor: Actor; detail: unknown },
): Promise<void> {
  const forced = !(ACTORS as readonly string[]).includes(note.actor);
  await tx.query(sql`
    insert into state_transitions (kind, entity_id, run_id, from_state, to_state, reason, actor, forced, detail)
    values (${note.kind}, ${note.id}, ${note.runId}, ${note.state}, ${note.state}, ${note.reason}, ${note.actor}, ${forced},
            ${storableJson(note.detail)}::jsonb)`);
}

/** Adds the reason why a patch ended to the evidence that it had. */
export const KEEP_DETAIL = sql`, evidence = coalesce(t.evidence, '{}'::jsonb) || coalesce(w.detail, '{}'::jsonb)`;
