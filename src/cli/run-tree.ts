import { styleText } from 'node:util';
import type { ExpandedRunObject, PatchObject, TaskObject } from '../contract/objects.ts';
import { evidenceLines } from './evidence.ts';
import { coloured, colouredPatch, plain } from './table.ts';

const BAR_WIDTH = 24;
/** Most tasks in the tree where the height of the screen is not known. What runs, failed or waits is shown first. */
const MAX_TASK_LINES = 30;
/** Lines of output below a task that failed. */
const EVIDENCE_LINES = 4;
const ENDED_BADLY = ['FAILED', 'CANCELLED'];

export interface TreeOptions {
  /** Why the run waits, in one sentence. */
  why?: string | undefined;
  /** Why tasks wait, by their ids. */
  whyTasks?: ReadonlyMap<string, string> | undefined;
  /** Most tasks to show. */
  maxTasks?: number | undefined;
}

/**
 * Formats a run as a tree of workstreams and tasks, with the state of each patch and what is known of each failure.
 * Needs a run with these expanded.
 */
export function runTree(
  run: ExpandedRunObject,
  { why, whyTasks, maxTasks = MAX_TASK_LINES }: TreeOptions = {},
): string {
  const lines = [
    `${styleText('bold', plain(run.name))} ${run.id} ${coloured(run.state, run.outcome)}${because(run.reason)}`,
  ];
  lines.push(
    `${bar(run.progress_percentage)} ${run.progress_percentage} %  ${run.tasks_ended}/${run.tasks_total} tasks${spent(run)}`,
  );
  if (why !== undefined) lines.push(styleText('dim', `  ${plain(why)}`));
  const tasks = run.tasks ?? [];
  const shown = shownTasks(tasks, maxTasks);
  for (const workstream of run.workstreams ?? []) {
    lines.push(`  ${plain(workstream.name)} ${coloured(workstream.state)}${because(workstream.reason)}`);
    const own = shown.filter(({ workstream_id }) => workstream_id === workstream.id);
    for (const task of own.toSorted((a, b) => a.position - b.position))
      lines.push(...taskLines(task, run, whyTasks?.get(task.id)));
  }
  const hidden = tasks.filter((task) => !shown.includes(task));
  if (hidden.length > 0) lines.push(styleText('dim', `    … and ${countsOf(hidden)}`));
  return lines.join('\n');
}

/** Returns the tasks that a tree of so many lines shows: what moves, failed or waits comes before what is done. */
export function shownTasks(tasks: readonly TaskObject[], maxTasks = MAX_TASK_LINES): readonly TaskObject[] {
  return tasks.length <= maxTasks ? tasks : mostTelling(tasks, maxTasks);
}

/** Counts tasks by state, such as `30 QUEUED, 4 COMPLETED`. */
function countsOf(tasks: readonly TaskObject[]): string {
  const byState = Map.groupBy(tasks, ({ state }) => state);
  return [...byState].map(([state, alike]) => `${alike.length} ${state}`).join(', ');
}

function mostTelling(tasks: readonly TaskObject[], limit: number): TaskObject[] {
  const rank = ({ state }: TaskObject): number =>
    ['RUNNING', 'VALIDATING', 'FAILED', 'RETRYING', 'QUEUED'].indexOf(state) + 1 || 9;
  return tasks.toSorted((a, b) => rank(a) - rank(b)).slice(0, limit);
}

/** A line for the task and, when it failed, what the failure says: the output of the gate that stopped its patch, or its own. */
function taskLines(
  task: TaskObject,
  { patches = [], gates = [] }: ExpandedRunObject,
  why: string | undefined,
): string[] {
  const line = taskLine(task, patches);
  // The sentence may be two seconds old, and the task have ended since.
  if (why !== undefined && task.completed_at === null) return [line, styleText('dim', `      ${plain(why)}`)];
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
  return `    ${plain(task.name)} ${styleText('dim', task.tool)} ${coloured(task.state)}${because(task.reason)}${retries}${duration(task)}${spent(task)}${change}`;
}

/** A patch that waits for an approval is no failure. */
function patchState({ state, reason, awaits_approval }: PatchObject): string {
  if (awaits_approval) return styleText('yellow', `waits for an approval (${plain(reason)})`);
  return `${colouredPatch(state)}${because(reason)}`;
}

function because(reason: string | null): string {
  return reason === null ? '' : styleText('dim', ` (${plain(reason)})`);
}

function bar(percentage: number): string {
  const full = Math.round((BAR_WIDTH * percentage) / 100);
  return styleText('cyan', '█'.repeat(full)) + styleText('dim', '░'.repeat(BAR_WIDTH - full));
}

/** Time that the last attempt took, or takes so far. */
function duration({ started_at, completed_at }: TaskObject): string {
  if (started_at === null) return '';
  const seconds = (Date.parse(completed_at ?? new Date().toISOString()) - Date.parse(started_at)) / 1_000;
  const shown =
    seconds < 60 ? `${seconds.toFixed(1)} s` : `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return seconds < 0 ? '' : styleText('dim', ` ${shown}`);
}

function spent({ cost_usd, budget_usd }: Pick<TaskObject, 'cost_usd' | 'budget_usd'>): string {
  if (cost_usd === 0 && budget_usd === null) return '';
  return styleText('dim', ` $${cost_usd.toFixed(2)}${budget_usd === null ? '' : ` of $${budget_usd.toFixed(2)}`}`);
}
