import { sleep } from '../src/lib/clock.ts';
import { startBenchSluice } from './bench-sluice.ts';
import { median, percentile, tableOf } from './measure.ts';
import { openBullMq } from './raw-queues.ts';
import type { BenchServers } from './servers.ts';
import { noOp, noOpRun } from './whole-ledger.ts';

const TIMES = 200;
const PAUSE_MS = 20;

/** From the call that submits one task to the start of its execution, on an idle installation. */
export async function measureLatency(servers: BenchServers): Promise<string> {
  const kinds = servers.redis === undefined ? (['postgres'] as const) : (['redis', 'postgres'] as const);
  const rows: (string | number)[][] = [];
  for (const kind of kinds) {
    const raw = await rawLatency(servers, kind);
    rows.push(row(`BullMQ alone, ${kind}`, raw), row(`Sluice, ${kind}`, await sluiceLatency(servers, kind)));
  }
  return tableOf(['from submission to start, one task at a time', 'median ms', '99th percentile ms'], rows);
}

async function sluiceLatency(servers: BenchServers, kind: 'redis' | 'postgres'): Promise<number[]> {
  const place = await servers.ledgerAt(kind);
  const started = new Started();
  const sluice = await startBenchSluice({ ...place, taskSlots: 4, gateSlots: 1, execute: noOp(() => started.now()) });
  const times = await repeated(started, () => sluice.client.runs.submit(noOpRun(place.repository, 1)));
  await sluice.stop();
  return times;
}

async function rawLatency({ redis, newDatabase }: BenchServers, kind: 'redis' | 'postgres'): Promise<number[]> {
  const url = kind === 'redis' ? redis!.url : await newDatabase();
  const { queue, openWorker } = await openBullMq(kind, url, `latency-${kind}`);
  const started = new Started();
  const worker = openWorker(async () => started.now(), 4);
  void worker.run();
  const times = await repeated(started, () => queue.add('noop', {}));
  await worker.close();
  await queue.close();
  return times;
}

async function repeated(started: Started, submit: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < TIMES; n += 1) {
    const from = performance.now();
    const start = started.next();
    await submit();
    times.push((await start) - from);
    await sleep(PAUSE_MS);
  }
  // The first ones open connections and mirrors.
  return times.slice(10);
}

class Started {
  #resolve: (atMs: number) => void = () => {};

  next(): Promise<number> {
    return new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  now(): void {
    this.#resolve(performance.now());
  }
}

function row(name: string, times: readonly number[]): (string | number)[] {
  return [name, median(times).toFixed(1), percentile(times, 0.99).toFixed(1)];
}
