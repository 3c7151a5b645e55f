import type { RunState } from '../contract/states.ts';
import type { AdmissionState, RepositoryState, RunHold, ToolState } from './admission.ts';
import { toolHold } from './admission.ts';

/** Why an object is in its state: a stable code, one sentence, the same facts as data, and when that changes. */
export interface Explanation {
  code: string;
  sentence: string;
  facts: Readonly<Record<string, unknown>>;
  /** When it changes by itself; null if something else must happen first. */
  again_at: string | null;
  /** `again_at` in words, or what must happen first. */
  again_when: string;
}

export interface QueuedTask {
  task_id: string;
  run_id: string;
  tool: string;
  pool: string;
  target_id: string | null;
  cost_usd: number;
  budget_usd: number | null;
  /** Seconds since it was dispatched; null if it was not. */
  dispatched_for_seconds: number | null;
  run_state: RunState;
  run_reason: string | null;
}

export interface PoolFacts {
  /** Slots of living workers that serve the pool. */
  slots: number;
  free: number;
  /** Workers of the pool that take nothing though work waits. */
  starving: number;
  /** Workers of the pool that take nothing because their data folders are over the budget of their disks. */
  over_disk: number;
  /** Tasks of the pool that are ranked before it. */
  before: number;
}

const NEXT_DISPATCH = 'at the next dispatch, within a second';

/** Returns the first reason that holds a QUEUED task, in the order in which admission checks. */
export function whyQueued(task: QueuedTask, admission: AdmissionState, pool: PoolFacts): Explanation {
  if (task.run_state === 'PAUSED') {
    const facts = { run_id: task.run_id, reason: task.run_reason };
    return wait('run_paused', `its run is paused (${task.run_reason ?? 'no reason given'})`, {
      facts,
      when: 'when an operator resumes the run',
    });
  }
  const runHold = admission.runs.find(({ run_id }) => run_id === task.run_id);
  if (runHold !== undefined) return whyRunHolds(runHold);
  if (task.budget_usd !== null && task.cost_usd >= task.budget_usd) {
    const facts = { cost_usd: task.cost_usd, budget_usd: task.budget_usd };
    const sentence = `it has reached its budget (${usd(task.cost_usd)} of ${usd(task.budget_usd)})`;
    return wait('task_budget', sentence, { facts, when: 'when an operator raises its budget' });
  }
  const tool = admission.tools.find(({ tool: name }) => name === task.tool);
  const repository = admission.repositories.find(({ target_ids }) => target_ids.includes(task.target_id ?? ''));
  if (task.dispatched_for_seconds === null) {
    const held = tool === undefined ? undefined : whyToolHolds(tool);
    if (held !== undefined) return held;
    if (repository !== undefined && repository.in_flight >= repository.concurrency) return repositoryFull(repository);
  }
  return whyPool(task, pool);
}

function whyPool(task: QueuedTask, { slots, free, starving, over_disk, before }: PoolFacts): Explanation {
  const facts = {
    pool: task.pool,
    slots,
    free,
    starving,
    over_disk,
    before,
    dispatched_for_seconds: task.dispatched_for_seconds,
  };
  if (slots === 0 && over_disk > 0) {
    const sentence = `the data folders of ${count(over_disk, 'worker')} of the pool ${task.pool} are over \`disk.max_bytes\``;
    return wait('disk_budget', sentence, { facts, when: 'when space is freed there, or another worker registers' });
  }
  if (slots === 0) {
    const sentence = `no living worker serves the pool ${task.pool}`;
    return wait('no_worker', sentence, { facts, when: 'when a worker of the pool registers' });
  }
  if (task.dispatched_for_seconds !== null && free > 0 && starving > 0) {
    const sentence = `${count(starving, 'worker')} of the pool ${task.pool} ${starving === 1 ? 'takes' : 'take'} nothing from the queue though work waits there`;
    return wait('not_consuming', sentence, {
      facts,
      when: 'when a worker has reconnected to the queue, or another has replaced it',
    });
  }
  if (task.dispatched_for_seconds !== null) {
    const ago = `${Math.round(task.dispatched_for_seconds)} s ago`;
    const sentence = `it was dispatched ${ago}; a worker of the pool ${task.pool} claims it as soon as a slot is free`;
    return wait('dispatched', sentence, { facts, when: 'when a worker claims it; it is sent again if none does' });
  }
  if (free > 0 && before === 0) {
    return wait('next', 'it is the next of its pool to be dispatched', { facts, when: NEXT_DISPATCH });
  }
  const sentence = `${count(before, 'task')} of the pool ${task.pool} ${before === 1 ? 'is' : 'are'} ranked before it, for ${count(slots, 'slot')}`;
  return wait('pool_full', sentence, { facts, when: 'when a slot is free and it is its turn' });
}

function whyRunHolds(hold: RunHold): Explanation {
  if (hold.code === 'run_budget') {
    const { cost_usd, budget_usd, run_id } = hold;
    const sentence = `its run has reached its budget (${usd(cost_usd)} of ${usd(budget_usd)})`;
    return wait('run_budget', sentence, {
      facts: { run_id, cost_usd, budget_usd },
      when: 'when an operator raises the budget of the run',
    });
  }
  const { run_id, key, max, holders } = hold;
  const who = holders.join(', ');
  const sentence = `the key ${key} is at its limit of ${count(max, 'run')}, held by ${who}`;
  return wait('run_key', sentence, { facts: { run_id, key, max, holders }, when: `when ${who} has ended` });
}

/** Returns why a tool takes no more tasks now; undefined if it does. */
export function whyToolHolds(tool: ToolState): Explanation | undefined {
  const hold = toolHold(tool);
  if (hold === undefined) return undefined;
  const { tool: name } = tool;
  const again = { again_at: hold.again_at };
  switch (hold.code) {
    case 'tool_breaker': {
      const facts = {
        tool: name,
        state: tool.state,
        reason: tool.reason,
        tripped_by: tool.tripped_by,
        probe_task_id: tool.probe_task_id,
      };
      if (tool.tripped_by !== null) {
        const sentence = `${tool.tripped_by} stopped the tool ${name} (${tool.reason})`;
        return wait('tool_breaker', sentence, { facts, when: 'when an operator resets the breaker' });
      }
      if (tool.state === 'HALF_OPEN') {
        const sentence = `the breaker of ${name} is half open and waits for the result of its probe ${tool.probe_task_id}`;
        return wait('tool_breaker', sentence, { facts, when: `when ${tool.probe_task_id} has ended` });
      }
      const sentence = `the breaker of ${name} is open (${tool.reason})`;
      return wait('tool_breaker', sentence, { facts, ...again, when: 'when the cooldown is over, by one probe' });
    }
    case 'tool_budget': {
      const facts = { tool: name, usd_today: tool.usd_today, usd_per_day: tool.usd_per_day };
      const sentence = `the tool ${name} has reached its daily budget (${usd(tool.usd_today)} of ${usd(tool.usd_per_day ?? 0)})`;
      return wait('tool_budget', sentence, { facts, ...again, when: 'when the day turns (UTC)' });
    }
    case 'tool_rate': {
      const { rate_max: max, rate_per_seconds: per, recent_starts, unclaimed } = tool;
      const facts = { tool: name, max, per_seconds: per, recent_starts, unclaimed };
      const sentence = `the tool ${name} is at its rate limit (${max} starts in ${per} s)`;
      return wait('tool_rate', sentence, { facts, ...again, when: 'when the oldest start leaves the window' });
    }
    case 'tool_concurrency': {
      const facts = { tool: name, concurrency: tool.concurrency, in_flight: tool.in_flight };
      const sentence = `the tool ${name} is at its concurrency limit (${tool.in_flight} of ${tool.concurrency ?? 0})`;
      return wait('tool_concurrency', sentence, { facts, when: 'when one of its tasks has ended' });
    }
    default:
      return hold satisfies never;
  }
}

function repositoryFull({ repository, concurrency, in_flight }: RepositoryState): Explanation {
  const sentence = `the repository ${repository} is at its concurrency limit (${in_flight} of ${concurrency})`;
  return wait('repository_concurrency', sentence, {
    facts: { repository, concurrency, in_flight },
    when: 'when one of its tasks has ended',
  });
}

/** Builds the explanation of an object that waits: `waits: …`. */
export function wait(
  code: string,
  sentence: string,
  {
    facts = {},
    again_at = null,
    when,
  }: { facts?: Readonly<Record<string, unknown>>; again_at?: string | null; when: string },
): Explanation {
  return { code, sentence: `waits: ${sentence}.`, facts, again_at, again_when: when };
}

/** Builds the explanation of an object that works or has ended. */
export function stands(
  code: string,
  sentence: string,
  facts: Readonly<Record<string, unknown>> = {},
  when = 'never by itself',
): Explanation {
  return { code, sentence: `${sentence}.`, facts, again_at: null, again_when: when };
}

export function count(n: number, noun: string, plural = `${noun}s`): string {
  return `${n} ${n === 1 ? noun : plural}`;
}

function usd(amount: number): string {
  return `$${amount.toFixed(2)}`;
}
