import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Confinement } from '../src/children/confinement.ts';
import { childEnvironment } from '../src/children/environment.ts';
import { configSchema } from '../src/contract/config-schema.ts';
import { silentLog } from '../src/lib/log.ts';
import { renewChild } from '../src/workspaces/slot.ts';
import { SlotRack } from '../src/workspaces/slots.ts';

/** What confinement costs a gate: the same command with and without, turn by turn, so that both meet the same machine. */
const TURNS = Number(process.argv[2] ?? 300);
const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-confinement-'));
const slots = new SlotRack(dataDir);
const slot = await slots.acquire();
const searchPath = process.env.PATH!;

async function confinementOf(mode: 'require' | 'none'): Promise<Confinement> {
  const rules = configSchema.parse({ sandbox: { mode, run_as: 'daemon' } }).sandbox;
  const confinement = new Confinement({ rules, searchPath, dataDir, hidden: [], log: silentLog() });
  await confinement.start();
  return confinement;
}

async function runOnce(confinement: Confinement): Promise<number> {
  renewChild(slot);
  const context = { runId: 'run', taskId: 'task', attempt: 1, baseCommit: '0', input: {}, evidence: null };
  const env = await childEnvironment(slot, context, process.env);
  const startedAt = performance.now();
  await confinement.run(slot, {
    env,
    argv: ['true'],
    network: false,
    limits: {},
    readable: [],
    timeoutMs: 60_000,
    signal: new AbortController().signal,
  });
  return performance.now() - startedAt;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

await mkdir(slot.work, { recursive: true });
const [confined, free] = [await confinementOf('require'), await confinementOf('none')];
const took = { confined: [] as number[], free: [] as number[] };
for (let turn = 0; turn < TURNS; turn += 1) {
  took.confined.push(await runOnce(confined));
  took.free.push(await runOnce(free));
}
const [inside, outside] = [median(took.confined), median(took.free)];
console.log(
  `a command that does nothing, ${TURNS} turns, median: confined ${inside.toFixed(1)} ms, not ${outside.toFixed(1)} ms`,
);
console.log(`confinement costs ${(inside - outside).toFixed(1)} ms`);
await slots.release(slot);
await slots.close();
await rm(dataDir, { recursive: true, force: true });
