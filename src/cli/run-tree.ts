import { styleText } from 'node:util';
import type { ExpandedRunObject, PatchObject, TaskObject } from '../contract/objects.ts';
import { coloured, plain } from './table.ts';

const BAR_WIDTH = 24;
/** Most tasks in the tree, so that it fits on a screen. Tasks that run, failed or are queued are shown first. */
const MAX_TASK_LINES = 30;

/** Formats a run as a tree of workstreams and tasks, with the state of each patch. Needs a run with these expanded. */
export function runTree(run: ExpandedRunObject): string {
  const lines = [`${styleText('bold', plain(run.name))} ${run.id} ${coloured(run.state)}${because(run.reason)}`];
  lines.push(
    `${bar(run.progress_percentage)} ${run.progress_percentage} %  ${run.tasks_ended}/${run.tasks_total} tasks`,
  );
  const tasks = run.tasks ?? [];
  const shown = tasks.length <= MAX_TASK_LINES ? tasks : mostTelling(tasks);
  for (const workstream of run.workstreams ?? []) {
    lines.push(`  ${plain(workstream.name)} ${coloured(workstream.state)}${because(workstream.reason)}`);
    const own = shown.filter(({ workstream_id }) => workstream_id === workstream.id);
    for (const task of own.toSorted((a, b) => a.position - b.position)) lines.push(taskLine(task, run.patches ?? []));
  }
  const hidden = tasks.length - shown.length;
  if (hidden > 0) lines.push(styleText('dim', `    … and ${hidden} more tasks`));
  return lines.join('\n');
}

function mostTelling(tasks: readonly TaskObject[]): TaskObject[] {
  const rank = ({ state }: TaskObject): number =>
    ['RUNNING', 'VALIDATING', 'FAILED', 'RETRYING', 'QUEUED'].indexOf(state) + 1 || 9;
  return tasks.toSorted((a, b) => rank(a) - rank(b)).slice(0, MAX_TASK_LINES);
}

function taskLine(task: TaskObject, patches: readonly PatchObject[]): string {
  const patch = patches.findLast(({ task_id }) => task_id === task.id);
  const retries = task.retry_count > 0 ? styleText('dim', ` retry ${task.retry_count}/${task.max_retries}`) : '';
  const change = patch === undefined ? '' : `  patch ${coloured(patch.state)}${because(patch.reason)}`;
  return `    ${plain(task.name)} ${styleText('dim', task.tool)} ${coloured(task.state)}${because(task.reason)}${retries}${change}`;
}

function because(reason: string | null): string {
  return reason === null ? '' : styleText('dim', ` (${plain(reason)})`);
}

function bar(percentage: number): string {
  const full = Math.round((BAR_WIDTH * percentage) / 100);
  return styleText('cyan', '█'.repeat(full)) + styleText('dim', '░'.repeat(BAR_WIDTH - full));
}
