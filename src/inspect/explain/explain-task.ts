import { explained } from '../../contract/reasons.ts';
import type { PoolFacts, QueuedTask } from '../../domain/wait.ts';
import { type Explanation, stands, wait, whyQueued } from '../../domain/wait.ts';
import type { TaskRow } from '../../entities/task.ts';
import type { Explained, ExplainScene } from './explain-context.ts';
import { silentWorker } from './explain-fleet.ts';
import { explainPatch } from './explain-patch.ts';

export async function explainTask(deps: ExplainScene, id: string): Promise<Explained> {
  const task = await deps.daos.tasks.get(id);
  return { id, kind: 'task', state: task.state, ...(await whyTask(deps, task)) };
}

async function whyTask(deps: ExplainScene, task: TaskRow): Promise<Explanation> {
  switch (task.state) {
    case 'PENDING':
      return whyPending(deps, task);
    case 'BLOCKED':
      return whyBlocked(deps, task);
    case 'QUEUED':
      return whyTaskIsQueued(deps, task);
    case 'RETRYING':
      return whyRetrying(task);
    case 'RUNNING':
      return whyRunning(deps, task);
    case 'VALIDATING':
      return whyValidating(deps, task);
    case 'COMPLETED':
      return stands(
        'completed',
        task.landed_commit ? `landed as ${task.landed_commit}` : `done: ${explained(task.reason ?? 'landed')}`,
        {
          landed_commit: task.landed_commit,
        },
      );
    case 'FAILED':
    case 'CANCELLED': {
      const word = task.state === 'FAILED' ? 'failed' : 'cancelled';
      const facts = {
        reason: task.reason,
        evidence: task.evidence,
        attempt: task.attempt,
        retry_count: task.retry_count,
      };
      const sentence = `${word}: ${explained(task.reason)}, after ${task.attempt} attempts`;
      return stands(word, sentence, facts, 'when an operator retries it');
    }
    default:
      return task.state satisfies never;
  }
}

async function whyPending({ daos }: ExplainScene, task: TaskRow): Promise<Explanation> {
  const run = await daos.runs.get(task.run_id!);
  if (run.state === 'INITIALIZING') {
    const facts = { run_id: run.run_id, target_id: run.target_id };
    return wait('run_initializing', 'its run reads the tip and the policy of its target first', {
      facts,
      when: 'when the run is RUNNING; it is tried each second',
    });
  }
  return whyWorkstreamIsBlocked({ daos }, task.workstream_id);
}

/** Explains a workstream that waits for others, and the tasks of that workstream. */
export async function whyWorkstreamIsBlocked(
  { daos }: Pick<ExplainScene, 'daos'>,
  workstreamId: string,
): Promise<Explanation> {
  const edges = await daos.workstreamDependencies.findByWorkstream(workstreamId);
  const open = edges.filter(({ satisfied_at }) => satisfied_at === null).map(({ depends_on_id }) => depends_on_id);
  const names = await Promise.all(open.map(async (id) => (await daos.workstreams.get(id)).name));
  const sentence = `the workstream begins after ${names.join(', ') || 'another one'}`;
  return wait('workstream_dependency', sentence, {
    facts: { workstreams: open },
    when: 'when those workstreams are COMPLETED',
  });
}

async function whyBlocked({ daos }: ExplainScene, task: TaskRow): Promise<Explanation> {
  const edges = await daos.taskDependencies.findByTask(task.task_id);
  const open = edges.filter(({ satisfied_at }) => satisfied_at === null).map(({ depends_on_id }) => depends_on_id);
  const needed = await Promise.all(open.map((id) => daos.tasks.get(id)));
  const words = needed.map(({ name, state }) => `${name} (${state})`).join(', ');
  const facts = { dependencies: needed.map(({ task_id, name, state }) => ({ task_id, name, state })) };
  return wait('dependency', `it depends on ${words}`, { facts, when: 'when all of them are COMPLETED' });
}

async function whyTaskIsQueued({ admission, capacity, daos }: ExplainScene, task: TaskRow): Promise<Explanation> {
  const run = await daos.runs.get(task.run_id!);
  const pools = await capacity('task');
  const pool = pools.find((offered) => offered.pool === task.pool);
  const facts: PoolFacts = {
    slots: pool?.slots ?? 0,
    free: pool?.free ?? 0,
    starving: await daos.workers.countStarving(task.pool),
    over_disk: await daos.workers.countOverDisk(task.pool),
    before: await daos.tasks.countRankedBefore(task),
  };
  const queued: QueuedTask = {
    task_id: task.task_id,
    run_id: run.run_id,
    tool: task.tool,
    pool: task.pool,
    target_id: task.target_id ?? null,
    cost_usd: task.cost_usd,
    budget_usd: task.budget_usd ?? null,
    dispatched_for_seconds: await daos.tasks.secondsSinceDispatch(task.task_id),
    run_state: run.state,
    run_reason: run.reason ?? null,
  };
  const explanation = whyQueued(queued, await admission(), facts);
  if (!task.queue_expires_at || run.state === 'PAUSED') return explanation;
  return { ...explanation, facts: { ...explanation.facts, queue_expires_at: task.queue_expires_at.toISOString() } };
}

function whyRetrying(task: TaskRow): Explanation {
  const again_at = task.available_at?.toISOString() ?? null;
  const facts = {
    reason: task.reason,
    retry_count: task.retry_count,
    max_retries: task.max_retries,
    available_at: again_at,
  };
  const limited = task.reason === 'tool_limited';
  const sentence = limited
    ? `its tool ${task.tool} asked to be called again later`
    : `its attempt ${task.attempt} failed: ${explained(task.reason)}; retry ${task.retry_count} of ${task.max_retries} comes after a delay`;
  return wait(limited ? 'tool_limited' : 'retry_delay', sentence, { facts, again_at, when: 'when the delay is over' });
}

async function whyRunning({ daos }: ExplainScene, task: TaskRow): Promise<Explanation> {
  const worker = task.worker_id ? await daos.workers.find(task.worker_id) : undefined;
  const facts = { worker_id: task.worker_id, attempt: task.attempt, started_at: task.started_at?.toISOString() };
  const silent = silentWorker(worker, task.lease_expires_at ?? null);
  if (silent !== undefined) return { ...silent, facts: { ...silent.facts, ...facts } };
  return stands(
    'running',
    `attempt ${task.attempt} runs on ${worker?.hostname ?? 'a worker'}`,
    facts,
    'when the attempt ends',
  );
}

async function whyValidating(deps: ExplainScene, task: TaskRow): Promise<Explanation> {
  const patch = (await deps.daos.patches.findByTask(task.task_id)).at(-1);
  if (patch === undefined) return stands('validating', 'its change is being recorded', {}, 'within a moment');
  const { code, sentence, facts, again_at, again_when } = await explainPatch(deps, patch.patch_id);
  return { code, sentence, facts: { patch_id: patch.patch_id, ...facts }, again_at, again_when };
}
