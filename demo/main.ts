import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { styleText } from 'node:util';
import { watchRun } from '../src/cli/watch-run.ts';
import { SluiceClient } from '../src/client/sluice-client.ts';
import type { BreakerObject, RunObject } from '../src/contract/objects.ts';
import { poll } from '../src/lib/clock.ts';
import { type DaemonProcess, startDaemon } from './daemon-process.ts';
import { mainRun } from './main-run.ts';
import { report } from './report.ts';
import { makeTarget } from './target-repository.ts';

const BREAKER_LIMIT_MS = 120_000;

/** Demonstrates Sluice on a clone of this repository. Exits with 0 only if every outcome is as expected. */
const CONFINEMENT = {
  bubblewrap: 'Tools, gates and prepare steps are confined by bubblewrap.',
  user: 'NOT CONFINED: bubblewrap does not work here; tools, gates and prepare steps run as other users.',
  none: 'NOT CONFINED: bubblewrap does not work here; tools, gates and prepare steps run as you.',
} as const;
const startedAt = performance.now();
const root = resolve(import.meta.dirname, '..');
const keep = process.argv.includes('--keep');
const folder = await mkdtemp(join(tmpdir(), 'sluice-demo-'));
let daemon: DaemonProcess | undefined;
process.once('SIGINT', () => void leave(130));

say(`Sluice demo. Everything happens in ${folder}`);
try {
  const target = await makeTarget(root, folder);
  say('A clone of this repository is pushed to a bare remote. Its gates: type check, unit tests.');
  daemon = await startDaemon(root, folder);
  say(`The daemon runs at ${daemon.url} with two worker processes.`);
  const client = new SluiceClient({ url: daemon.url, token: daemon.token });
  const { items: workers } = await client.workers.list();
  say(`${CONFINEMENT[workers[0]?.confinement ?? 'none']}\n`);
  const submitted = await client.runs.submit(await mainRun(target));
  const watching = watchRun(cliContext(), client, { runId: submitted.id, inJson: false });
  const breaker = await cancelWhatTheBreakerHolds(client, submitted);
  const faults = await report(await watching, breaker, target);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  for (const fault of faults) say(styleText('red', `unexpected: ${fault}`));
  say(`\n${faults.length === 0 ? 'All outcomes are as expected' : 'Something went wrong'}, ${seconds} s.`);
  if (keep) {
    say(`The daemon keeps running: ${daemon.url} (board: ${daemon.url}/board), remote: ${target.remote}`);
    say(`Its token is in ${daemon.tokenFile}; for the CLI: export SLUICE_DATA_DIR=${daemon.dataDir}`);
    say(`Stop it with: kill ${daemon.pid}   Log: ${daemon.logFile}`);
    daemon.leave();
    process.exit(faults.length === 0 ? 0 : 1);
  }
  await leave(faults.length === 0 ? 0 : 1);
} catch (error) {
  say(`${(error as Error).stack}`);
  await leave(1);
}

/** Waits for the breaker to open, then cancels the fourth `crasher` task, which waits QUEUED, as an operator would. */
async function cancelWhatTheBreakerHolds(client: SluiceClient, run: RunObject): Promise<BreakerObject> {
  const open = await poll(
    async () =>
      (await client.breakers.list()).items.find(({ tool_name, state }) => tool_name === 'crasher' && state === 'OPEN'),
    { everyMs: 200, limitMs: BREAKER_LIMIT_MS },
  );
  if (open === undefined) throw new Error('the breaker of the crashing tool did not open');
  const waiting = (await client.tasks.list({ run: run.id, tool: 'crasher', state: 'QUEUED' })).items;
  for (const { id } of waiting) await client.tasks.cancel(id, { reason: 'its tool is broken' });
  return open;
}

async function leave(code: number): Promise<void> {
  await daemon?.stop();
  await rm(folder, { recursive: true, force: true });
  process.exit(code);
}

function cliContext() {
  return { environment: process.env, stdout: process.stdout, stderr: process.stdout, version: 'demo' };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
