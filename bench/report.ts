import { readFileSync } from 'node:fs';
import { wrapped } from '../harness/wrapped.ts';

const LIBRARIES = ['bullmq', 'pg-boss', 'graphile-worker'];

/** The page docs/bench.md, from the tables of all parts. */
export function pageOf(
  tables: Readonly<Record<string, string>>,
  { tasks, cores }: { tasks: number; cores: number },
): string {
  const today = new Date().toISOString().slice(0, 10);
  return wrapped(`# Figures

\`npm run bench\` measures everything on this page and writes it; \`npm run bench -- --only throughput\` prints one
part, and \`npm run bench -- --profile\` shows where the time of one task goes: statements, rows, CPU and functions.
Compare ratios within a run, not the figures of two runs.

Conditions: ${cores} shared cores, Node ${process.versions.node}, PostgreSQL 18 with fsync, Redis, one of each; everything
except the servers in one process. ${LIBRARIES.map(versionOf).join(', ')}. ${today}.

## Drain of tasks that do nothing

${tasks.toLocaleString('en')} tasks (250 for \`work()\` with a job each); five rounds in turns after a warm-up, median and range. For
every contender the bench checks that each task was done exactly once; for Sluice it also checks the audit.

${tables.throughput}

The raw queues move a job. Sluice accepts a run, starts it, admits, marks and publishes each task, claims it by its
fence and ends it. This includes five audit rows, six versions of the task's row, a check of its dependants and of the
patches that it may supersede, and counting it into its workstream and its run. On two cores both PostgreSQL and the
process are busy almost all of the time, so the rate follows the CPU of a task: \`--profile\` has it. More slots make
larger batches, which share the cost of planning and committing a statement.

## Worker processes

${tables.processes}

Two cores are busy with one process already. More of them claim and end smaller batches each, which costs CPU.

## One task at a time

${tables.latency}

A task passes through five transactions before it starts, one after another: submission (10 ms), start of the run (8 ms),
admission (5 ms), publishing and claim (8 ms), start of the attempt (3 ms). What passes between them is a wake-up, and
each waits for its commit. The branch is read from its remote at most once a second for this.

## Large runs

${tables['large-runs']}

## A child process

${tables.children}

A task has a check-out of its own, a sandbox, a capture of what changed, and rows for its output. Starting the child is
a small part of that. The loop starts it from the process of the bench, which is large; Sluice has a small process
start it.

## A long queue

${tables['long-queue']}

## A long history

${tables.history}

A list that is empty on the fresh ledger (FAILED tasks, those of a tool without any) has rows to send on the filled one.

## Idle

${tables.idle}

## Heartbeats of a fleet

${tables.heartbeats}

[landing.md](landing.md) has the figures of landing, by \`npm run bench:landing\`.
`);
}

function versionOf(name: string): string {
  const manifest = new URL(`../node_modules/${name}/package.json`, import.meta.url);
  return `${name} ${(JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version}`;
}
