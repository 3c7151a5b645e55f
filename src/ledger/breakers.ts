import { sql, type Tx } from '../database/database.ts';
import { newId } from '../lib/id.ts';
import { recordCreated, toRows, transition } from './transition.ts';

export interface BreakerSettings {
  tool: string;
  failureThreshold: number;
  cooldownSeconds: number;
}

/** What one attempt says of its tool. Neutral: it ended for another reason. */
export interface BreakerFact {
  tool: string;
  taskId: string;
  attempt: number;
  fact: 'success' | 'fault' | 'neutral';
}

const ACTOR = 'breaker';

/** One row a declared tool; known ones keep their state and take the new settings. */
export async function declareBreakers(tx: Tx, settings: readonly BreakerSettings[]): Promise<void> {
  for (const { tool, failureThreshold, cooldownSeconds } of settings) {
    const made = await tx.query<{ breaker_id: string; inserted: boolean }>(sql`
      insert into circuit_breakers (breaker_id, tool_name, state, failure_threshold, cooldown_seconds)
      values (${newId('brk')}, ${tool}, 'CLOSED', ${failureThreshold}, ${cooldownSeconds})
      on conflict (tool_name) do update
        set failure_threshold = excluded.failure_threshold, cooldown_seconds = excluded.cooldown_seconds, updated_at = now()
      returning breaker_id, (xmax = 0) as inserted`);
    const ids = made.filter(({ inserted }) => inserted).map(({ breaker_id }) => breaker_id);
    if (ids.length > 0) await recordCreated(tx, { kind: 'breaker', state: 'CLOSED', ids, runId: null, actor: ACTOR });
  }
}

/**
 * Lets the row decide: consecutive faults open it, while HALF_OPEN only the named probe counts. A success writes nothing
 * where there is nothing to reset, else this row would be the hottest of the system.
 */
export async function recordFact(tx: Tx, { tool, taskId, attempt, fact }: BreakerFact): Promise<void> {
  const isProbe = sql`probe_task_id = ${taskId} and probe_attempt = ${attempt}`;
  if (fact === 'fault') {
    await tx.query(sql`
      update circuit_breakers set failure_count = failure_count + 1, last_failure_at = now(), updated_at = now()
      where tool_name = ${tool} and (state = 'CLOSED' or (state = 'HALF_OPEN' and ${isProbe}))`);
    await openWhereDue(tx, { tool, isProbe });
    return;
  }
  if (fact === 'success') {
    await tx.query(sql`
      update circuit_breakers set failure_count = 0, updated_at = now()
      where tool_name = ${tool} and state = 'CLOSED' and failure_count <> 0`);
    await transition(tx, {
      kind: 'breaker',
      from: ['HALF_OPEN'],
      to: 'CLOSED',
      rows: toRows(await breakerIds(tx, tool), 'probe_succeeded', { task_id: taskId, attempt }),
      actor: ACTOR,
      where: sql`and t.probe_task_id = ${taskId} and t.probe_attempt = ${attempt}`,
      set: sql`, failure_count = 0, probe_task_id = null, probe_attempt = null, opened_at = null`,
    });
    return;
  }
  await freeProbes(tx, [{ taskId, attempt }]);
}

/** Probes that ended without saying anything: the next admitted task of the tool is the probe. */
export async function freeProbes(tx: Tx, ended: readonly { taskId: string; attempt: number }[]): Promise<void> {
  if (ended.length === 0) return;
  await tx.query(sql`
    update circuit_breakers b set probe_task_id = null, probe_attempt = null, updated_at = now()
    from unnest(${ended.map(({ taskId }) => taskId)}::text[], ${ended.map(({ attempt }) => attempt)}::int[]) as e(task_id, attempt)
    where b.state = 'HALF_OPEN' and b.probe_task_id = e.task_id and b.probe_attempt = e.attempt`);
}

async function openWhereDue(
  tx: Tx,
  { tool, isProbe }: { tool: string; isProbe: ReturnType<typeof sql> },
): Promise<void> {
  const ids = await breakerIds(tx, tool);
  const set = sql`, opened_at = now(), probe_task_id = null, probe_attempt = null`;
  await transition(tx, {
    kind: 'breaker',
    from: ['HALF_OPEN'],
    to: 'OPEN',
    rows: toRows(ids, 'probe_failed'),
    actor: ACTOR,
    where: sql`and ${isProbe}`,
    set,
  });
  await transition(tx, {
    kind: 'breaker',
    from: ['CLOSED'],
    to: 'OPEN',
    rows: toRows(ids, 'consecutive_faults'),
    actor: ACTOR,
    where: sql`and t.failure_count >= t.failure_threshold`,
    set,
  });
}

async function breakerIds(tx: Tx, tool: string): Promise<string[]> {
  const rows = await tx.query<{ breaker_id: string }>(
    sql`select breaker_id from circuit_breakers where tool_name = ${tool}`,
  );
  return rows.map(({ breaker_id }) => breaker_id);
}
