import { poll, sleep } from '../src/lib/clock.ts';
import { FAULTS, type Fault, type FaultName } from './faults.ts';
import { Load } from './load.ts';
import { patiently } from './patiently.ts';
import { livingProcess } from './processes.ts';
import { Random } from './random.ts';
import { judge, type Verdict } from './verdict.ts';
import { type Backend, createWorld, type World } from './world.ts';

export interface ChaosOptions {
  seed: number;
  backend: Backend;
  /** None: the load alone, a healthy time in which nothing should have to be put right. */
  faults: readonly FaultName[];
  /** How long faults are injected; what is under way then comes to its end. */
  seconds: number;
  /** Stops earlier, after so many faults. */
  maxFaults?: number;
  /** Stops earlier, when each kind that is possible here came so often. */
  rounds?: number;
  say: (line: string) => void;
}

export interface FaultRecord {
  fault: FaultName;
  /** From the end of the harm until all that it hit was taken up again and a new task went through. */
  recoveryMs: number;
  /** It took longer than anybody should wait; what it hit may still have come to its end. */
  late: boolean;
}

export interface ChaosResult {
  records: FaultRecord[];
  /** Asked for, and not possible on this machine or backend. */
  leftOut: FaultName[];
  tasks: number;
  landed: number;
  repairs: Record<string, number>;
  refusedWrites: number;
  verdict: Verdict;
}

const RECOVERY_LIMIT_MS = 60_000;
const PROGRESS_EVERY = 25;

/** Does harm in an order that the seed decides, measures each recovery, and judges the end from outside. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { seed, backend, say } = options;
  const world = await createWorld({ backend, random: new Random(seed) });
  const load = new Load(world);
  try {
    const possible = await possibleFaults(world, options.faults);
    say(`seed ${seed}, ${backend}, ${possible.length} kinds of faults; logs in ${world.folder}`);
    load.start();
    const records = await injectAll({ world, load }, possible, options);
    await load.stop();
    say(`${records.length} faults injected; waiting for the end of ${load.tasks} tasks`);
    const verdict = await judge(world, load.expected);
    return {
      records,
      leftOut: options.faults.filter((fault) => !possible.includes(fault)),
      tasks: load.tasks,
      landed: (await world.branch.landed()).length,
      repairs: await world.daos.transitions.countRepairs(86_400),
      refusedWrites: await world.daos.workers.countRefusedWrites(),
      verdict,
    };
  } catch (error) {
    say(`the harness failed: ${(error as Error).stack}`);
    throw error;
  } finally {
    await load.stop().catch(() => {});
    await world.stop();
  }
}

async function possibleFaults(world: World, faults: readonly FaultName[]): Promise<FaultName[]> {
  const asked = await Promise.all(
    faults.map(async (name) => ({ name, possible: await ((FAULTS[name] as Fault).possible?.(world) ?? true) })),
  );
  return asked.filter(({ possible }) => possible).map(({ name }) => name);
}

async function injectAll(
  { world, load }: { world: World; load: Load },
  faults: readonly FaultName[],
  { seed, seconds, maxFaults, rounds, say }: ChaosOptions,
): Promise<FaultRecord[]> {
  const records: FaultRecord[] = [];
  if (faults.length === 0) {
    await sleep(seconds * 1_000);
    return records;
  }
  // Of its own: what else draws does so when it comes to it, and the order would depend on the hour.
  const order = new Random(seed);
  const endsAt = performance.now() + seconds * 1_000;
  const most = Math.min(maxFaults ?? Number.POSITIVE_INFINITY, (rounds ?? Number.POSITIVE_INFINITY) * faults.length);
  while (performance.now() < endsAt && records.length < most && !load.failed) {
    await sleep(world.random.between(50, 600));
    // Each kind as often as the others, in an order of chance.
    const turn = records.length % faults.length;
    if (turn === 0) shuffle(faults as FaultName[], order);
    const record = await injectOne(world, faults[turn]!);
    records.push(record);
    if (record.late) say(`${record.fault}: not recovered after ${Math.round(record.recoveryMs)} ms`);
    if (records.length % PROGRESS_EVERY === 0) say(`${records.length} faults`);
  }
  return records;
}

function shuffle(faults: FaultName[], order: Random): void {
  for (let i = faults.length - 1; i > 0; i -= 1) {
    const j = Math.floor(order.next() * (i + 1));
    [faults[i], faults[j]] = [faults[j]!, faults[i]!];
  }
}

async function injectOne(world: World, fault: FaultName): Promise<FaultRecord> {
  const hit = await patiently(() => world.daos.tasks.findByState('RUNNING'));
  await (FAULTS[fault] as Fault).inject(world);
  const startedAt = performance.now();
  const recovered = await Promise.all([takenUpAgain(world, hit), newTaskGoesThrough(world)]);
  return { fault, recoveryMs: performance.now() - startedAt, late: recovered.includes(false) };
}

/** Of what ran at the moment of the fault, nothing hangs on a process that is gone or stands still, whatever the ledger says of it. */
async function takenUpAgain({ daos }: World, hit: readonly { task_id: string }[]): Promise<boolean> {
  const ids = hit.map(({ task_id }) => task_id);
  const done = await poll(
    async () => {
      const running = await patiently(() => daos.tasks.findBy({ task_id: { $in: ids }, state: 'RUNNING' }));
      const workerIds = [...new Set(running.map(({ worker_id }) => worker_id ?? ''))];
      const holders = await patiently(() => daos.workers.findBy({ worker_id: { $in: workerIds } }));
      const alive = await Promise.all(holders.map(({ pid }) => livingProcess(pid ?? 0)));
      return alive.every(Boolean) && holders.length === workerIds.length ? true : undefined;
    },
    { everyMs: 50, limitMs: RECOVERY_LIMIT_MS },
  );
  return done === true;
}

/** Handed in at this moment, ahead of all that waits: from the API through the queue to a worker and back. */
async function newTaskGoesThrough({ client, random }: World): Promise<boolean> {
  const idempotencyKey = `probe-${random.next()}`;
  const spec = {
    name: 'probe',
    repository: 'app',
    priority: 100_000,
    workstreams: [{ name: 'w', tasks: [{ name: 'probe', tool: 'command', input: { argv: ['true'] } }] }],
  };
  const done = await poll(
    async () => {
      const run = await client.runs.submit(spec, { idempotencyKey }).catch(() => undefined);
      return run !== undefined && run.tasks_ended > 0 ? true : undefined;
    },
    { everyMs: 50, limitMs: RECOVERY_LIMIT_MS },
  );
  return done === true;
}
