import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { GitSandbox } from '../harness/git-sandbox.ts';
import { sizeOfMirror } from '../src/git/maintain-mirror.ts';
import { poll } from '../src/lib/clock.ts';
import { startBenchSluice } from './bench-sluice.ts';
import { percentile } from './measure.ts';
import { startServers } from './servers.ts';

/** Measures landing cost by the age of a mirror: `node bench/mirror-age.ts [LANDINGS]`, 5,000 by default. */
const LANDINGS = Number(process.argv[2] ?? 5_000);
const FILES = 1_000;
/** MEASURED patches land one at a time for one figure; BURST patches are submitted at once, to age the mirror fast. */
const MEASURED = 40;
const BURST = 100;
/** Landings change one of this many files in turn, so that the tree does not grow. */
const PATHS = 200;
const AGES = [50, 500, 1_000, 2_500, 5_000].filter((age) => age <= LANDINGS);

const servers = await startServers();
const git = await GitSandbox.create(
  Object.fromEntries(Array.from({ length: FILES }, (_, i) => [`src/${i % 50}/${i}.txt`, `${i}\n`])),
  { gates: [{ name: 'gate', command: ['true'] }], landing: { slots: 4 } },
);
const place = await servers.ledgerAt('postgres');
const sluice = await startBenchSluice({ ...place, taskSlots: 4, gateSlots: 4 });
let landed = 0;

try {
  console.log(
    '| landed before | median ms from staged to on the branch, minus the gate | packs | loose objects | MiB |',
  );
  console.log('|---:|---:|---:|---:|---:|');
  for (const age of AGES) {
    while (landed < age) await landBurst(Math.min(BURST, age - landed));
    const before = landed;
    const overheads: number[] = [];
    for (let n = 0; n < MEASURED; n += 1) overheads.push(await landOne());
    const { packs, looseObjects, sizeBytes } = await schedulerMirror();
    const cells = [
      before,
      percentile(overheads, 0.5).toFixed(1),
      packs,
      looseObjects,
      (sizeBytes / 1024 / 1024).toFixed(1),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  }
} finally {
  await sluice.stop();
  await git.remove();
  await servers.stop();
}

async function submit(): Promise<string> {
  const n = landed;
  landed += 1;
  const files = [{ path: `landed/${n % PATHS}.txt`, content: `${n}\n` }];
  const { run } = await sluice.client.patches.submit({ repository: git.remote, input: { format: 'inline', files } });
  return run.id;
}

async function landBurst(count: number): Promise<void> {
  const runs: string[] = [];
  for (let n = 0; n < count; n += 1) runs.push(await submit());
  for (const run of runs) await completed(run);
}

async function landOne(): Promise<number> {
  const runId = await submit();
  await completed(runId);
  const { patches: [patch] = [], gates = [] } = await sluice.client.runs.get(runId, { expand: ['patches', 'gates'] });
  const gateMs = gates.reduce((sum, gate) => sum + Number(gate.test_results?.duration_ms ?? 0), 0);
  return Date.parse(patch!.applied_at!) - Date.parse(patch!.staged_at!) - gateMs;
}

async function completed(runId: string): Promise<void> {
  const done = await poll(
    async () => ((await sluice.client.runs.get(runId)).state === 'COMPLETED' ? true : undefined),
    { everyMs: 20, limitMs: 120_000 },
  );
  if (done === undefined) throw new Error(`run ${runId} did not land`);
}

async function schedulerMirror() {
  const mirrors = join(place.folder, 'data', 'mirrors', 'scheduler');
  const [name] = (await readdir(mirrors)).filter((entry) => entry.endsWith('.git'));
  return sizeOfMirror(join(mirrors, name!));
}
