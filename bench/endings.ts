import { poll } from '../src/lib/clock.ts';
import { processesWithVariable } from '../src/lib/process-identity.ts';
import { type BenchSluice, startBenchSluice } from './bench-sluice.ts';
import { percentile } from './measure.ts';
import { startServers } from './servers.ts';

/** Scripts of the cancelled tasks, by what makes them hard to end. */
const CHILDREN = {
  'obeys TERM': 'echo ready; sleep 300',
  'ignores TERM': `trap '' TERM; echo ready; while :; do sleep 0.1; done`,
  'leaves its group': `setsid sleep 300 & setsid sh -c 'trap "" TERM; sleep 300 & sleep 300' & echo ready; sleep 300`,
  'holds its output open': '(trap "" TERM; exec setsid sleep 300) & echo ready; wait',
};
const TIMES = 30;
const LINES = 40;

/**
 * `npm run bench:endings` measures the time from a cancel over the API until no process is left, and from a printed
 * line until a log follower has it.
 */
const servers = await startServers();
const place = await servers.ledgerAt('postgres');
const sluice = await startBenchSluice({ ...place, taskSlots: 2, gateSlots: 1 });

console.log('| from a cancel to nothing left | times | median ms | 99th percentile ms |\n|---|---:|---:|---:|');
for (const [name, script] of Object.entries(CHILDREN)) {
  const times: number[] = [];
  for (let n = 0; n < TIMES; n += 1) times.push(await cancelled(sluice, script));
  console.log(row(name, times));
}
console.log('\n| from a printed line to its follower | times | median ms | 99th percentile ms |\n|---|---:|---:|---:|');
console.log(row('one every 300 ms', await followed(sluice)));
await sluice.stop();
await servers.stop();

async function begin({ client }: BenchSluice, script: string): Promise<string> {
  const { id } = await client.runs.submit({
    name: 'bench',
    repository: place.repository,
    workstreams: [{ name: 'w', tasks: [{ name: 't', tool: 'command', input: { argv: ['bash', '-c', script] } }] }],
  });
  return (await client.runs.get(id, { expand: ['tasks'] })).tasks![0]!.id;
}

async function cancelled({ client, ...rest }: BenchSluice, script: string): Promise<number> {
  const taskId = await begin({ client, ...rest }, script);
  await poll(async () => ((await client.tasks.get(taskId)).state === 'RUNNING' ? true : undefined), {
    everyMs: 20,
    limitMs: 30_000,
  });
  for await (const { text } of client.tasks.logs(taskId, { follow: true })) if (text.includes('ready')) break;
  const startedAt = performance.now();
  await client.tasks.cancel(taskId);
  await poll(async () => ((await processesWithVariable(`SLUICE_TASK_ID=${taskId}`)).length === 0 ? true : undefined), {
    everyMs: 5,
    limitMs: 30_000,
  });
  return performance.now() - startedAt;
}

/** Each line holds the time at which it was printed; both clocks are this machine's, so the difference is the delay. */
async function followed(bench: BenchSluice): Promise<number[]> {
  const taskId = await begin(bench, `for i in $(seq ${LINES}); do date +%s%3N; sleep 0.3; done`);
  const times: number[] = [];
  for await (const { text } of bench.client.tasks.logs(taskId, { follow: true })) {
    for (const line of text.split('\n')) if (/^\d{13}$/.test(line)) times.push(Date.now() - Number(line));
  }
  return times;
}

function row(name: string, times: readonly number[]): string {
  return `| ${name} | ${times.length} | ${Math.round(percentile(times, 0.5))} | ${Math.round(percentile(times, 0.99))} |`;
}
