import { explained } from '../../contract/reasons.ts';
import type { TaskState } from '../../contract/states.ts';
import { count, type Explanation, stands, wait } from '../../domain/wait.ts';
import type { RunRow } from '../../entities/run.ts';
import type { TaskRow } from '../../entities/task.ts';
import type { WorkstreamRow } from '../../entities/workstream.ts';
import type { Explained, ExplainScene } from './explain-context.ts';
import { explainTask, whyWorkstreamIsBlocked } from './explain-task.ts';

/** Most live tasks of a run or workstream that are explained one by one. */
const SAMPLED = 20;

export async function explainRun(deps: ExplainScene, id: string): Promise<Explained> {
  const run = await deps.daos.runs.get(id);
  return { id, kind: 'run', state: run.state, ...(await whyRun(deps, run)) };
}

async function whyRun(deps: ExplainScene, run: RunRow): Promise<Explanation> {
  const facts = {
    progress_percentage: run.progress_percentage,
    tasks_total: run.tasks_total,
    tasks_ended: run.tasks_ended,
  };
  switch (run.state) {
    case 'INITIALIZING':
      return whyInitializing(deps, run, facts);
    case 'PAUSED':
      return wait(
        'run_paused',
        `it is paused (${run.reason ?? 'no reason given'}); running tasks finish and staged patches land`,
        { facts, when: 'when an operator resumes it' },
      );
    case 'RUNNING':
      return whyTasksWait(deps, {
        live: await deps.daos.tasks.findLive({ run_id: run.run_id }, SAMPLED),
        states: await deps.daos.tasks.countByState({ run_id: run.run_id }),
        facts,
      });
    case 'COMPLETED':
      return stands('completed', 'it is done', facts);
    case 'FAILED':
      return stands(
        'failed',
        `it ended: ${explained(run.reason)}`,
        { ...facts, reason: run.reason, evidence: run.evidence },
        'when an operator retries its failed tasks',
      );
    default:
      return run.state satisfies never;
  }
}

async function whyInitializing({ daos }: ExplainScene, run: RunRow, facts: Explanation['facts']): Promise<Explanation> {
  if (run.supersede && run.concurrency_key) {
    const older = await daos.runs.findLiveWithKey(run.concurrency_key, run.run_id);
    if (older.length > 0) {
      const ids = older.map(({ run_id }) => run_id);
      return wait('run_supersedes', `it supersedes ${ids.join(', ')}, which must end first`, {
        facts: { ...facts, runs: ids },
        when: 'tried each second; a patch that is being landed is finished first',
      });
    }
  }
  const sentence = `the tip and the policy of ${run.target_id} are being read`;
  return wait('run_initializing', sentence, {
    facts: { ...facts, target_id: run.target_id },
    when: 'each second, less often while the remote does not answer',
  });
}

export async function explainWorkstream(deps: ExplainScene, id: string): Promise<Explained> {
  const workstream = await deps.daos.workstreams.get(id);
  return { id, kind: 'workstream', state: workstream.state, ...(await whyWorkstream(deps, workstream)) };
}

async function whyWorkstream(deps: ExplainScene, workstream: WorkstreamRow): Promise<Explanation> {
  const { workstream_id, state, reason, tasks_total, tasks_ended } = workstream;
  const facts = { run_id: workstream.run_id, tasks_total, tasks_ended };
  switch (state) {
    case 'PENDING':
    case 'INITIALIZING':
    case 'PAUSED': {
      const { code, sentence, again_at, again_when } = await whyRun(deps, await deps.daos.runs.get(workstream.run_id));
      return { code, sentence, facts, again_at, again_when };
    }
    case 'BLOCKED':
      return whyWorkstreamIsBlocked(deps, workstream_id);
    case 'RUNNING': {
      const live = await deps.daos.tasks.findLive({ workstream_id }, SAMPLED);
      return whyTasksWait(deps, { live, states: await deps.daos.tasks.countByState({ workstream_id }), facts });
    }
    case 'COMPLETED':
      return stands('completed', 'it is done', facts);
    case 'FAILED':
    case 'CANCELLED':
    case 'ABANDONED':
      return stands(
        state.toLowerCase(),
        `it ended ${state}: ${explained(reason)}`,
        facts,
        'when its tasks are retried',
      );
    default:
      return state satisfies never;
  }
}

/** Explains what the tasks wait for, the most frequent reason first. If one of them runs, the run does not wait. */
async function whyTasksWait(
  deps: ExplainScene,
  {
    live,
    states,
    facts,
  }: { live: readonly TaskRow[]; states: Partial<Record<TaskState, number>>; facts: Explanation['facts'] },
): Promise<Explanation> {
  const explained = await Promise.all(live.map(({ task_id }) => explainTask(deps, task_id)));
  const groups = Map.groupBy(explained, ({ code }) => code);
  const waits = [...groups]
    .map(([code, tasks]) => ({
      code,
      tasks: tasks.length,
      for_example: tasks[0]!.id,
      sentence: tasks[0]!.sentence,
      again_at: tasks[0]!.again_at,
    }))
    .toSorted((a, b) => b.tasks - a.tasks);
  const all = { ...facts, states, waits };
  const running = states.RUNNING ?? 0;
  if (running > 0)
    return stands(
      'running',
      `${count(running, 'task')} of it ${running === 1 ? 'runs' : 'run'}`,
      all,
      'as its tasks end',
    );
  const main = waits[0];
  if (main === undefined)
    return stands('ending', 'all its tasks have ended', all, 'within a second, by the next roll-up');
  const again_at =
    explained
      .map((task) => task.again_at)
      .filter((at) => at !== null)
      .toSorted()[0] ?? null;
  return {
    code: main.code,
    sentence: main.sentence,
    facts: all,
    again_at,
    again_when: explained.find(({ code }) => code === main.code)!.again_when,
  };
}
