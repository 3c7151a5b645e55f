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
  /** Empty: only the load runs, and the reconciler should have nothing to repair. */
  faults: readonly FaultName[];
  /** How long faults are injected; tasks under way are then left to end. */
  seconds: number;
  /** Stops earlier, after this many faults. */
  maxFaults?: number;
  /** Stops earlier, after each possible kind of fault was injected this many times. */
  rounds?: number;
  /** Longest recovery from a fault that does not count as late. */
  recoveryLimitMs: number;
  say: (line: string) => void;
}

export interface FaultRecord {
  fault: FaultName;
  /** From the end of the fault until no task that it hit is left on a dead worker and a new task has gone through. */
  recoveryMs: number;
  /** Recovery took longer than `recoveryLimitMs`; the tasks that the fault hit may still have ended later. */
  late: boolean;
}

export interface ChaosResult {
  records: FaultRecord[];
  /** Faults that were requested but are not possible on this machine or backend. */
  leftOut: FaultName[];
  tasks: number;
  landed: number;
  repairs: Record<string, number>;
  refusedWrites: number;
  verdict: Verdict;
}

const PROGRESS_EVERY = 25;

/** Injects faults in an order set by the seed, measures each recovery, and judges the final state from outside. */
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
  { seed, seconds, maxFaults, rounds, recoveryLimitMs, say }: ChaosOptions,
): Promise<FaultRecord[]> {
  const records: FaultRecord[] = [];
  if (faults.length === 0) {
    await sleep(seconds * 1_000);
    return records;
  }
  // A separate generator, because other code draws from `world.random` at times that vary from run to run.
  const order = new Random(seed);
  const endsAt = performance.now() + seconds * 1_000;
  const most = Math.min(maxFaults ?? Number.POSITIVE_INFINITY, (rounds ?? Number.POSITIVE_INFINITY) * faults.length);
  while (performance.now() < endsAt && records.length < most && !load.failed) {
    await sleep(world.random.between(50, 600));
    // Inject every kind equally often, in random order.
    const turn = records.length % faults.length;
    if (turn === 0) shuffle(faults as FaultName[], order);
    const record = await injectOne(world, { fault: faults[turn]!, recoveryLimitMs });
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

async function injectOne(
  world: World,
  { fault, recoveryLimitMs }: { fault: FaultName; recoveryLimitMs: number },
): Promise<FaultRecord> {
  const hit = await patiently(() => world.daos.tasks.findByState('RUNNING'));
  await (FAULTS[fault] as Fault).inject(world);
  const startedAt = performance.now();
  const recovered = await Promise.all([
    takenUpAgain(world, { hit, limitMs: recoveryLimitMs }),
    newTaskGoesThrough(world, recoveryLimitMs),
  ]);
  return { fault, recoveryMs: performance.now() - startedAt, late: recovered.includes(false) };
}

/**
 * Waits until no task that ran at the moment of the fault is RUNNING on a process that is gone or stopped. /proc
 * decides, not the state of the worker's row.
 */
async function takenUpAgain(
  { daos }: World,
  { hit, limitMs }: { hit: readonly { task_id: string }[]; limitMs: number },
): Promise<boolean> {
  const ids = hit.map(({ task_id }) => task_id);
  const done = await poll(
    async () => {
      const running = await patiently(() => daos.tasks.findBy({ task_id: { $in: ids }, state: 'RUNNING' }));
      const workerIds = [...new Set(running.map(({ worker_id }) => worker_id ?? ''))];
      const holders = await patiently(() => daos.workers.findBy({ worker_id: { $in: workerIds } }));
      const alive = await Promise.all(holders.map(({ pid }) => livingProcess(pid ?? 0)));
      return alive.every(Boolean) && holders.length === workerIds.length ? true : undefined;
    },
    { everyMs: 50, limitMs },
  );
  return done === true;
}

/** Submits a task with top priority and waits for its end, which takes the API, the queue and a worker. */
async function newTaskGoesThrough({ client, random }: World, limitMs: number): Promise<boolean> {
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
    { everyMs: 50, limitMs },
  );
  return done === true;
}
