import { styleText } from 'node:util';
import type { ExpandedRunObject, PatchObject, TaskObject } from '../contract/objects.ts';
import { evidenceLines } from './evidence.ts';
import { coloured, plain } from './table.ts';

const BAR_WIDTH = 24;
/** Most tasks in the tree where the height of the screen is not known. What runs, failed or waits is shown first. */
const MAX_TASK_LINES = 30;
/** Lines of output below a task that failed. */
const EVIDENCE_LINES = 4;
const ENDED_BADLY = ['FAILED', 'CANCELLED'];

export interface TreeOptions {
  /** Why the run waits, in one sentence. */
  why?: string | undefined;
  /** Most tasks to show. */
  maxTasks?: number | undefined;
}

/**
 * Formats a run as a tree of workstreams and tasks, with the state of each patch and what is known of each failure.
 * Needs a run with these expanded.
 */
export function runTree(run: ExpandedRunObject, { why, maxTasks = MAX_TASK_LINES }: TreeOptions = {}): string {
  const lines = [
    `${styleText('bold', plain(run.name))} ${run.id} ${coloured(run.state, run.outcome)}${because(run.reason)}`,
  ];
  lines.push(
    `${bar(run.progress_percentage)} ${run.progress_percentage} %  ${run.tasks_ended}/${run.tasks_total} tasks`,
  );
  if (why !== undefined) lines.push(styleText('dim', `  ${plain(why)}`));
  const tasks = run.tasks ?? [];
  const shown = tasks.length <= maxTasks ? tasks : mostTelling(tasks, maxTasks);
  for (const workstream of run.workstreams ?? []) {
    lines.push(`  ${plain(workstream.name)} ${coloured(workstream.state)}${because(workstream.reason)}`);
    const own = shown.filter(({ workstream_id }) => workstream_id === workstream.id);
    for (const task of own.toSorted((a, b) => a.position - b.position)) lines.push(...taskLines(task, run));
  }
  const hidden = tasks.length - shown.length;
  if (hidden > 0) lines.push(styleText('dim', `    … and ${hidden} more tasks`));
  return lines.join('\n');
}

function mostTelling(tasks: readonly TaskObject[], limit: number): TaskObject[] {
  const rank = ({ state }: TaskObject): number =>
    ['RUNNING', 'VALIDATING', 'FAILED', 'RETRYING', 'QUEUED'].indexOf(state) + 1 || 9;
  return tasks.toSorted((a, b) => rank(a) - rank(b)).slice(0, limit);
}

/** A line for the task and, when it failed, what the failure says: the output of the gate that stopped its patch, or its own. */
function taskLines(task: TaskObject, { patches = [], gates = [] }: ExpandedRunObject): string[] {
  const line = taskLine(task, patches);
  if (!ENDED_BADLY.includes(task.state)) return [line];
  const gate = gates.findLast(({ task_id, outcome }) => task_id === task.id && outcome === 'red');
  const ofGate =
    gate === undefined ? [] : evidenceLines({ gate: gate.test_suite, ...gate.test_results }, EVIDENCE_LINES);
  const own = evidenceLines(task.evidence, EVIDENCE_LINES);
  const telling = own.length > 0 ? own : ofGate;
  return [line, ...telling.map((text) => styleText('dim', `      | ${text}`))];
}

function taskLine(task: TaskObject, patches: readonly PatchObject[]): string {
  const patch = patches.findLast(({ task_id }) => task_id === task.id);
  const retries = task.retry_count > 0 ? styleText('dim', ` retry ${task.retry_count}/${task.max_retries}`) : '';
  const change = patch === undefined ? '' : `  patch ${patchState(patch)}`;
  return `    ${plain(task.name)} ${styleText('dim', task.tool)} ${coloured(task.state)}${because(task.reason)}${retries}${change}`;
}

/** A patch that waits for an approval is no failure. */
function patchState({ state, reason, awaits_approval }: PatchObject): string {
  if (awaits_approval) return styleText('yellow', `waits for an approval (${plain(reason)})`);
  return `${coloured(state)}${because(reason)}`;
}

function because(reason: string | null): string {
  return reason === null ? '' : styleText('dim', ` (${plain(reason)})`);
}

function bar(percentage: number): string {
  const full = Math.round((BAR_WIDTH * percentage) / 100);
  return styleText('cyan', '█'.repeat(full)) + styleText('dim', '░'.repeat(BAR_WIDTH - full));
}
