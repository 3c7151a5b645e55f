import type { RunSpecInput } from '../src/contract/run-spec.ts';
import { makePatch, type TargetRepository } from './target-repository.ts';

/** The required end of one task. */
export interface Expectation {
  task: string;
  /** Description of the task in the summary. */
  what: string;
  state: 'COMPLETED' | 'FAILED' | 'CANCELLED';
  patch: { state: string; reason?: string } | null;
}

export const EXPECTATIONS: readonly Expectation[] = [
  { task: 'format', what: 'a formatter, run in a worktree', state: 'COMPLETED', patch: { state: 'VERIFIED' } },
  { task: 'duration', what: 'a ready-made patch', state: 'COMPLETED', patch: { state: 'VERIFIED' } },
  {
    task: 'duration-test',
    what: 'a patch that needs the one before',
    state: 'COMPLETED',
    patch: { state: 'VERIFIED' },
  },
  { task: 'reword', what: 'an independent patch', state: 'COMPLETED', patch: { state: 'VERIFIED' } },
  { task: 'notes', what: 'another independent patch', state: 'COMPLETED', patch: { state: 'VERIFIED' } },
  {
    task: 'breaks-a-test',
    what: 'a patch that breaks a test',
    state: 'FAILED',
    patch: { state: 'BLOCKED', reason: 'gate_red' },
  },
  {
    task: 'malformed',
    what: 'a malformed patch',
    state: 'FAILED',
    patch: { state: 'QUARANTINED', reason: 'malformed' },
  },
  {
    task: 'out-of-scope',
    what: 'a patch that leaves its scope',
    state: 'FAILED',
    patch: { state: 'QUARANTINED', reason: 'out_of_scope' },
  },
  {
    task: 'conflicts',
    what: 'a patch that conflicts with a landed one',
    state: 'FAILED',
    patch: { state: 'BLOCKED', reason: 'conflict' },
  },
  { task: 'crash-1', what: 'a tool that crashes', state: 'FAILED', patch: null },
  { task: 'crash-2', what: 'it crashes again', state: 'FAILED', patch: null },
  { task: 'crash-3', what: 'and again: its breaker opens', state: 'FAILED', patch: null },
  { task: 'crash-4', what: 'stopped by the open breaker, then cancelled', state: 'CANCELLED', patch: null },
];

/** Breaker of the tool `crasher`; its cooldown outlasts the demo. */
export const CRASHER = { failure_threshold: 3, cooldown_seconds: 3_600 };

/** Builds the demo's run. Tasks that must fail are in workstreams that are not critical, so that the run completes. */
export async function mainRun(target: TargetRepository): Promise<RunSpecInput> {
  const ready = async (
    name: string,
    edits: Parameters<typeof makePatch>[1],
    more: { message?: string; depends_on?: string[]; scope?: string[] } = {},
  ) => ({
    name,
    tool: 'patch',
    input: { format: 'git_patch', base: target.base, content: await makePatch(target, edits) },
    ...more,
  });
  const heading = (title: string) => (text: string) => text.replace(/^# .*$/m, `# ${title}`);
  return {
    name: 'demo',
    repository: target.remote,
    branch: 'main',
    labels: { shown_by: 'demo' },
    workstreams: [
      {
        name: 'good',
        tasks: [
          {
            name: 'format',
            tool: 'command',
            input: { argv: ['node_modules/.bin/biome', 'format', '--write', '--line-width=100', 'src/queues'] },
            scope: ['src/queues/**'],
            message: 'style: narrower lines in src/queues',
          },
          await ready('duration', { 'src/lib/duration.ts': () => DURATION }, { message: 'feat: words for durations' }),
          await ready(
            'duration-test',
            { 'test/unit/lib/duration.test.ts': () => DURATION_TEST },
            { message: 'test: words for durations', depends_on: ['duration'] },
          ),
          await ready(
            'reword',
            { 'ARCHITECTURE.md': heading('How Sluice is built') },
            { message: 'docs: a plainer title' },
          ),
          await ready(
            'notes',
            { 'docs/demo-notes.md': () => '# Notes\n\nWritten by the demo.\n' },
            { message: 'docs: notes' },
          ),
        ],
      },
      {
        name: 'stopped',
        critical: false,
        tasks: [
          await ready('breaks-a-test', {
            'src/lib/backoff.ts': (text) =>
              text.replace('backoffMs(policy, failures))', 'backoffMs(policy, failures) + 86_400_000)'),
          }),
          {
            name: 'malformed',
            tool: 'patch',
            input: {
              format: 'unified_diff',
              content: '--- a/README.md\n+++ b/README.md\n@@ -1,3 +1,9 @@\n nonsense\n',
            },
          },
          await ready(
            'out-of-scope',
            { 'package.json': (text) => text.replace('"MIT"', '"UNLICENSED"') },
            { scope: ['src/**'] },
          ),
        ],
      },
      {
        name: 'too-late',
        critical: false,
        depends_on: ['good'],
        tasks: [await ready('conflicts', { 'ARCHITECTURE.md': heading('Sluice from the inside') })],
      },
      {
        name: 'broken-tool',
        critical: false,
        tasks: [1, 2, 3, 4].map((n) => ({ name: `crash-${n}`, tool: 'crasher', max_retries: 0 })),
      },
    ],
  };
}

const DURATION = `/** \`90_000\` is \`1 min 30 s\`. */
export function durationInWords(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const minutes = Math.floor(seconds / 60);
  return minutes === 0 ? \`\${seconds} s\` : \`\${minutes} min \${seconds % 60} s\`;
}
`;

const DURATION_TEST = `import { expect, test } from 'vitest';
import { durationInWords } from '../../../src/lib/duration.ts';

test('says minutes and seconds', () => {
  expect(durationInWords(90_000)).toBe('1 min 30 s');
});
`;
