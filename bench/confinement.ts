import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConfinedChild, Confinement } from '../src/children/confinement.ts';
import { childEnvironment } from '../src/children/environment.ts';
import { configSchema } from '../src/contract/config-schema.ts';
import { silentLog } from '../src/lib/log.ts';
import { runChild } from '../src/lib/process.ts';
import { renewChild } from '../src/workspaces/slot.ts';
import { SlotRack } from '../src/workspaces/slots.ts';

/**
 * Measures what confinement adds to a command. Confined and plain runs alternate, so that both see the same load of
 * the machine.
 */
const TURNS = Number(process.argv[2] ?? 300);
const dataDir = await mkdtemp(join(tmpdir(), 'sluice-bench-confinement-'));
const slots = new SlotRack(dataDir);
const slot = await slots.acquire();
const searchPath = process.env.PATH!;

const rules = configSchema.parse({ sandbox: { mode: 'require' } }).sandbox;
const confinement = new Confinement({ rules, searchPath, dataDir, hidden: [], log: silentLog() });
await confinement.start();

type Child = Pick<ConfinedChild, 'env' | 'argv' | 'timeoutMs' | 'signal'>;
const confined = (child: Child) => confinement.run(slot, { ...child, network: false, limits: {}, readable: [] });
/**
 * A plain child without a control group: a group would also wait for the kernel to tear down the sandbox of the turn
 * before.
 */
const free = (child: Child) => runChild({ ...child, cwd: slot.work });

async function runOnce(run: (child: Child) => Promise<unknown>): Promise<number> {
  renewChild(slot);
  const context = { runId: 'run', taskId: 'task', attempt: 1, baseCommit: '0', input: {}, evidence: null };
  const env = await childEnvironment(slot, context, process.env);
  const startedAt = performance.now();
  await run({ env, argv: ['true'], timeoutMs: 60_000, signal: new AbortController().signal });
  return performance.now() - startedAt;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

await mkdir(slot.work, { recursive: true });
const took = { confined: [] as number[], free: [] as number[] };
for (let turn = 0; turn < TURNS; turn += 1) {
  took.confined.push(await runOnce(confined));
  took.free.push(await runOnce(free));
}
const [inside, outside] = [median(took.confined), median(took.free)];
console.log(
  `a no-op command, ${TURNS} turns, median: confined ${inside.toFixed(1)} ms, plain ${outside.toFixed(1)} ms`,
);
console.log(`confinement costs ${(inside - outside).toFixed(1)} ms`);
await slots.release(slot);
await slots.close();
await rm(dataDir, { recursive: true, force: true });
