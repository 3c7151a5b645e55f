import { SluiceError } from '../../contract/errors.ts';
import { type Order, signed } from '../../contract/order.ts';
import type { BreakerState } from '../../contract/states.ts';
import { sql, type Tx } from '../../database/database.ts';
import type { ToolLimits } from '../../domain/admission.ts';
import { newId } from '../../lib/id.ts';
import { recordCreated, recordNote, transition } from '../transition.ts';

/** A tool as the configuration declares it. */
export interface ToolSettings extends ToolLimits {
  tool: string;
}

/** Evidence of one attempt about its tool. `neutral`: it ended for another reason. */
export interface BreakerFact {
  tool: string;
  taskId: string;
  attempt: number;
  fact: 'success' | 'fault' | 'neutral';
}

const ACTOR = 'breaker';
const OPENS = sql`, opened_at = now(), counts_from = now(), probe_task_id = null, probe_attempt = null`;
const CLOSES = sql`, failure_count = 0, opened_at = null, counts_from = now(), tripped_by = null,
  probe_task_id = null, probe_attempt = null`;

/**
 * Creates a row for each declared tool. Known tools keep their state and take the new settings; tools that are not
 * declared here stay as they are.
 */
export async function declareTools(tx: Tx, settings: readonly ToolSettings[]): Promise<void> {
  await insertTools(tx, {
    settings,
    known: sql`do update
      set failure_threshold = excluded.failure_threshold, cooldown_seconds = excluded.cooldown_seconds,
          concurrency = excluded.concurrency, rate_max = excluded.rate_max,
          rate_per_seconds = excluded.rate_per_seconds, usd_per_day = excluded.usd_per_day, updated_at = now()`,
  });
}

/** Creates rows for tools that have none, so that every tool has a breaker and limits. Known tools stay as they are. */
export async function makeToolsKnown(tx: Tx, settings: readonly ToolSettings[]): Promise<void> {
  await insertTools(tx, { settings, known: sql`do nothing` });
}

async function insertTools(
  tx: Tx,
  { settings, known }: { settings: readonly ToolSettings[]; known: ReturnType<typeof sql> },
): Promise<void> {
  for (const tool of settings) {
    const made = await tx.query<{ breaker_id: string; inserted: boolean }>(sql`
      insert into circuit_breakers (breaker_id, tool_name, state, failure_threshold, cooldown_seconds, concurrency,
                                    rate_max, rate_per_seconds, usd_per_day)
      values (${newId('brk')}, ${tool.tool}, 'CLOSED', ${tool.failure_threshold}, ${tool.cooldown_seconds},
              ${tool.concurrency}, ${tool.rate_max}, ${tool.rate_per_seconds}, ${tool.usd_per_day})
      on conflict (tool_name) ${known}
      returning breaker_id, (xmax = 0) as inserted`);
    const ids = made.filter(({ inserted }) => inserted).map(({ breaker_id }) => breaker_id);
    if (ids.length > 0) await recordCreated(tx, { kind: 'breaker', state: 'CLOSED', ids, runId: null, actor: ACTOR });
  }
}

/** Records facts in order. Most are successes of tools whose breakers have nothing to reset: they cost one read. */
export async function recordFacts(tx: Tx, facts: readonly BreakerFact[]): Promise<void> {
  const neutral = facts.filter(({ fact }) => fact === 'neutral');
  await freeProbes(tx, neutral);
  const telling = facts.filter(({ fact }) => fact !== 'neutral');
  if (telling.length === 0) return;
  const changed = await tx.query<{ tool_name: string }>(sql`
    select tool_name from circuit_breakers
    where tool_name = any (${[...new Set(telling.map(({ tool }) => tool))]}::text[])
      and (state <> 'CLOSED' or failure_count <> 0)`);
  const faulty = telling.filter(({ fact }) => fact === 'fault').map(({ tool }) => tool);
  const touched = new Set([...changed.map(({ tool_name }) => tool_name), ...faulty]);
  for (const fact of telling) if (touched.has(fact.tool)) await recordFact(tx, fact);
}

/**
 * Records a fact: consecutive faults open the breaker, and while it is HALF_OPEN only the named probe counts. A success
 * writes nothing when there is nothing to reset, because this row would otherwise be the hottest of the system.
 */
async function recordFact(tx: Tx, { tool, taskId, attempt, fact }: BreakerFact): Promise<void> {
  const isProbe = sql`probe_task_id = ${taskId} and probe_attempt = ${attempt}`;
  // A result of an attempt that began before the last opening or closing says nothing about the tool as it is now.
  const beganInTime = sql`(counts_from is null
    or counts_from <= (select started_at from tasks where task_id = ${taskId}))`;
  if (fact === 'fault') {
    await tx.query(sql`
      update circuit_breakers set failure_count = failure_count + 1, last_failure_at = now(), updated_at = now()
      where tool_name = ${tool} and ((state = 'CLOSED' and ${beganInTime}) or (state = 'HALF_OPEN' and ${isProbe}))`);
    await openWhereDue(tx, { tool, isProbe });
    return;
  }
  if (fact === 'success') {
    await tx.query(sql`
      update circuit_breakers set failure_count = 0, updated_at = now()
      where tool_name = ${tool} and state = 'CLOSED' and failure_count <> 0 and ${beganInTime}`);
    await transition(tx, {
      kind: 'breaker',
      from: ['HALF_OPEN'],
      to: 'CLOSED',
      ids: await breakerIds(tx, tool),
      reason: 'probe_succeeded',
      detail: { task_id: taskId, attempt },
      actor: ACTOR,
      where: sql`and t.probe_task_id = ${taskId} and t.probe_attempt = ${attempt}`,
      set: CLOSES,
    });
    return;
  }
  await freeProbes(tx, [{ taskId, attempt }]);
}

/** Frees the names of probes that ended without evidence: the next admitted task of the tool becomes the probe. */
export async function freeProbes(tx: Tx, ended: readonly { taskId: string; attempt: number }[]): Promise<void> {
  if (ended.length === 0) return;
  await tx.query(sql`
    update circuit_breakers b set probe_task_id = null, probe_attempt = null, updated_at = now()
    from unnest(${ended.map(({ taskId }) => taskId)}::text[], ${ended.map(({ attempt }) => attempt)}::int[]) as e(task_id, attempt)
    where b.state = 'HALF_OPEN' and b.probe_task_id = e.task_id and b.probe_attempt = e.attempt`);
}

interface BreakerOrder extends Order {
  tool: string;
}

/**
 * Any state→CLOSED by an operator: counts start afresh. Throws `entity.not_found`. Does nothing to the state when it is
 * CLOSED already.
 */
export async function resetBreaker(tx: Tx, order: BreakerOrder): Promise<void> {
  const { tool } = order;
  const breaker = await lockBreaker(tx, tool);
  if (breaker.state !== 'CLOSED') {
    const from = ['OPEN', 'HALF_OPEN'] as const;
    await transition(tx, {
      kind: 'breaker',
      from,
      to: 'CLOSED',
      ids: [breaker.breaker_id],
      ...signed(order),
      forced: true,
      set: CLOSES,
    });
    return;
  }
  await tx.query(
    sql`update circuit_breakers set failure_count = 0, counts_from = now(), updated_at = now() where tool_name = ${tool}`,
  );
  await note(tx, breaker, order);
}

/** Any state→OPEN by an operator. No probe runs until an operator resets it. */
export async function tripBreaker(tx: Tx, order: BreakerOrder): Promise<void> {
  const { tool } = order;
  const breaker = await lockBreaker(tx, tool);
  if (breaker.state !== 'OPEN') {
    const from = ['CLOSED', 'HALF_OPEN'] as const;
    const set = sql`${OPENS}, tripped_by = ${order.actor}`;
    await transition(tx, {
      kind: 'breaker',
      from,
      to: 'OPEN',
      ids: [breaker.breaker_id],
      ...signed(order),
      forced: true,
      set,
    });
    return;
  }
  await tx.query(sql`
    update circuit_breakers set tripped_by = ${order.actor}, reason = ${order.reason}, updated_at = now() where tool_name = ${tool}`);
  await note(tx, breaker, order);
}

async function lockBreaker(tx: Tx, tool: string): Promise<{ breaker_id: string; state: BreakerState }> {
  const [breaker] = await tx.query<{ breaker_id: string; state: BreakerState }>(sql`
    select breaker_id, state from circuit_breakers where tool_name = ${tool} for update`);
  if (breaker === undefined) throw new SluiceError('entity.not_found', `there is no tool ${tool} with a breaker`);
  return breaker;
}

function note(
  tx: Tx,
  { breaker_id: id, state }: { breaker_id: string; state: BreakerState },
  order: Order,
): Promise<void> {
  return recordNote(tx, { kind: 'breaker', id, runId: null, state, ...signed(order), detail: {} });
}

async function openWhereDue(
  tx: Tx,
  { tool, isProbe }: { tool: string; isProbe: ReturnType<typeof sql> },
): Promise<void> {
  const ids = await breakerIds(tx, tool);
  const set = OPENS;
  await transition(tx, {
    kind: 'breaker',
    from: ['HALF_OPEN'],
    to: 'OPEN',
    ids,
    reason: 'probe_failed',
    actor: ACTOR,
    where: sql`and ${isProbe}`,
    set,
  });
  await transition(tx, {
    kind: 'breaker',
    from: ['CLOSED'],
    to: 'OPEN',
    ids,
    reason: 'consecutive_faults',
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
