import { styleText } from 'node:util';
import { plain } from '../src/cli/table.ts';
import type { BreakerObject, ExpandedRunObject, PatchObject } from '../src/contract/objects.ts';
import { EXPECTATIONS, type Expectation } from './main-run.ts';
import { run } from './shell.ts';
import type { TargetRepository } from './target-repository.ts';

const EVIDENCE_LINES = 8;

/** Prints what landed and what was stopped, with reasons. Returns every unexpected outcome. */
export async function report(
  run: ExpandedRunObject,
  breaker: BreakerObject,
  target: TargetRepository,
): Promise<string[]> {
  const faults = EXPECTATIONS.flatMap((expected) => faultOf(expected, run));
  if (run.state !== 'COMPLETED') faults.push(`the run is ${run.state}, not COMPLETED`);
  if (breaker.state !== 'OPEN') faults.push(`the breaker is ${breaker.state}, not OPEN`);
  const log = await landed(target);
  const expectedCommits = EXPECTATIONS.filter(({ patch }) => patch?.state === 'VERIFIED').length;
  if (log.length !== expectedCommits) faults.push(`${log.length} commits landed, not ${expectedCommits}`);

  say(styleText('bold', '\nLanded on the branch (git log of the remote)'));
  for (const line of log) say(`  ${styleText('green', '✔')} ${plain(line)}`);
  say(styleText('bold', '\nStopped'));
  for (const expected of EXPECTATIONS.filter(({ state }) => state !== 'COMPLETED')) stoppedLine(expected, run);
  const { tool_name, state, failure_count, reason } = breaker;
  say(`  ${styleText('red', '✘')} breaker of ${tool_name}: ${state} after ${failure_count} faults (${reason})`);
  return faults;
}

function faultOf({ task: name, state, patch: expected }: Expectation, run: ExpandedRunObject): string[] {
  const task = run.tasks?.find((candidate) => candidate.name === name);
  const patch = patchOf(run, task?.id);
  const faults: string[] = [];
  if (task?.state !== state) faults.push(`task ${name} is ${task?.state}, not ${state} (${task?.reason})`);
  if (patch?.state !== expected?.state || (expected?.reason !== undefined && patch?.reason !== expected.reason)) {
    const wanted = expected === null ? 'no patch' : `${expected.state} ${expected.reason ?? ''}`;
    faults.push(`the patch of ${name} is ${patch?.state} ${patch?.reason ?? ''}, not ${wanted}`);
  }
  return faults;
}

function stoppedLine({ task: name, what }: Expectation, run: ExpandedRunObject): void {
  const task = run.tasks?.find((candidate) => candidate.name === name);
  const patch = patchOf(run, task?.id);
  const why = patch === undefined ? task?.reason : `${patch.state}: ${patch.reason}`;
  say(`  ${styleText('red', '✘')} ${name} (${what}): ${plain(why)}`);
  for (const line of evidenceLines(patch)) say(styleText('dim', `      ${plain(line)}`));
}

function evidenceLines(patch: PatchObject | undefined): string[] {
  const { output_tail, messages, files, paths } = (patch?.evidence ?? {}) as Record<string, unknown>;
  if (typeof output_tail === 'string') return tellingLines(output_tail);
  if (Array.isArray(files)) return [`conflicting files: ${files.join(', ')}`];
  if (Array.isArray(paths)) return [`outside its scope: ${paths.join(', ')}`];
  return messages === undefined ? [] : String(messages).split('\n').slice(0, EVIDENCE_LINES);
}

/** Returns the lines of a test runner's output from the first failure on. */
function tellingLines(output: string): string[] {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const start = lines.findIndex((line) => /FAIL|Error/.test(line));
  return lines.slice(Math.max(0, start), Math.max(0, start) + EVIDENCE_LINES);
}

function patchOf(run: ExpandedRunObject, taskId: string | undefined): PatchObject | undefined {
  return run.patches?.findLast(({ task_id }) => task_id === taskId);
}

async function landed({ remote, base }: TargetRepository): Promise<string[]> {
  const log = await run(['git', 'log', '--reverse', '--format=%h %s', `${base}..main`], { cwd: remote });
  return log.split('\n').filter((line) => line !== '');
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
