import { hostname } from 'node:os';
import { type Confinement, confinementOf } from '../children/confinement.ts';
import { SluiceError } from '../contract/errors.ts';
import type { Deps } from '../deps.ts';
import { verdictKeyAgreed, wakeUpListener } from '../deps.ts';
import { cancelledBy } from '../domain/wake-up.ts';
import { mirrorKeeper } from '../git/mirror-keeper.ts';
import { markWorkerDead, registerWorker, stopWorker } from '../ledger/fleet/workers.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import { newId } from '../lib/id.ts';
import { silentLog } from '../lib/log.ts';
import { isDiskFull, isStillOut, type MachineFault } from '../lib/machine-fault.ts';
import { RECONCILE_TIMES } from '../pipeline/reconcile.ts';
import { gateValues } from '../pipeline/support/gate-values.ts';
import type { QueueConsumer } from '../queues/consumer.ts';
import { queueName } from '../queues/queue-names.ts';
import type { Preparation } from '../workspaces/prepare.ts';
import { SlotRack } from '../workspaces/slots.ts';
import { type ConsumerOptions, createConsumers, gateVariablesOf, preparationOf } from './consumers.ts';
import { ConsumptionMonitor } from './consuming.ts';
import { DiskBudget } from './disk-budget.ts';
import { Heartbeat } from './heartbeat.ts';
import { HeldWork } from './held-work.ts';

export interface WorkerOptions extends ConsumerOptions {
  /** How long a drain waits for running work before it is requeued. */
  drainMs: number;
  /** Worker that this one replaces because its process is gone; `crashed` when it crashed or hung. */
  replaces?: { workerId: string; crashed: boolean };
}

export const HEARTBEAT_EVERY_MS = 1_000;
/** A message that no worker has taken for this long is waiting. */
const WAITING_AFTER_MS = 2_000;
/** This many machine faults within 60 s end the worker, even if the host looks healthy when it is checked. */
const FAULTS_TO_BELIEVE = 3;
const FAULTS_WITHIN_MS = 60_000;

/** Why a worker ends by itself: drained, refused by the ledger, not consuming, or this host is out of a resource. */
export type WorkerEnd = 'drained' | 'lease_lost' | 'not_consuming' | 'machine_fault';

/** Creates one worker: a row, a heartbeat, and consumers for its pools. `ended` resolves when it must stop. */
export function createWorkerRole(
  deps: Deps,
  options: WorkerOptions,
): { workerId: string; components: Component[]; ended: Promise<WorkerEnd> } {
  const workerId = newId('wrk');
  const log = deps.log.child({ workerId });
  let end: (how: WorkerEnd) => void = () => {};
  const ended = new Promise<WorkerEnd>((resolve) => {
    end = resolve;
  });
  const held = new HeldWork(() => heartbeat.tellHeld());
  const heartbeat = new Heartbeat({
    databaseUrl: deps.database.url,
    workerId,
    leaseMs: RECONCILE_TIMES.leaseMs,
    everyMs: HEARTBEAT_EVERY_MS,
    held,
    log,
    onRefused: () => end('lease_lost'),
    onDrain: () => end('drained'),
  });
  const listener = wakeUpListener(deps, (wakeUp) => {
    const cancelled = cancelledBy(wakeUp);
    if (cancelled !== undefined) held.abort(cancelled, 'cancelled');
  });
  let faults: number[] = [];
  /** One fault is enough if the host confirms it. Others need several: messages can be forged through file names. */
  const endIfOut = async (fault: MachineFault): Promise<void> => {
    const now = performance.now();
    faults = [...faults.filter((at) => now - at < FAULTS_WITHIN_MS), now];
    if (faults.length >= FAULTS_TO_BELIEVE || (await isStillOut(fault, deps.settings.dataDir))) end('machine_fault');
  };
  // Silent, because the supervisor has already logged a missing sandbox.
  const confinement = confinementOf(deps.settings, silentLog());
  const slots = new SlotRack(deps.settings.dataDir, deps.log, (slot) => confinement.uidOf(slot));
  const intake = { open: true };
  const mirrors = deps.mirrorsOf('worker');
  const preparation = preparationOf(deps);
  const consumers = createConsumers(
    { ...deps, log },
    {
      workerId,
      held,
      slots,
      mirrors,
      preparation,
      confinement,
      options,
      intake,
      onMachineFault: (fault) => void endIfOut(fault),
    },
  );
  const consuming = new ConsumptionMonitor({
    intakes: consumers,
    findWaiting: async () => {
      const waiting = await deps.daos.workers.findWaitingWork(options.pools, WAITING_AFTER_MS);
      return waiting.map(({ family, pool }) => queueName(family, pool));
    },
    pingQueue: () => deps.queueBackend.ping(),
    onStarving: (starving) => heartbeat.tellStarving(starving),
    onGiveUp: () => end('not_consuming'),
    log,
  });
  const components = [
    confinement,
    verdictKeyAgreed(deps),
    registration(deps, { workerId, slots, confinement, options }),
    heartbeat,
    listener,
    mirrorKeeper(mirrors, log),
    ...consumers,
    drain({ consumers, held, intake, drainMs: options.drainMs }),
    // Stops before the drain, because a draining worker must not take work again.
    ...diskBudget({ ...deps, log }, { preparation, consumers, heartbeat }),
    // Stops first, because a draining worker deliberately takes no messages.
    consuming,
  ];
  return { workerId, components, ended };
}

/** Returns nothing where the configuration sets no budget: measuring a large folder costs time. */
function diskBudget(
  { settings, log }: Deps,
  parts: { preparation: Preparation; consumers: readonly QueueConsumer[]; heartbeat: Heartbeat },
): Component[] {
  const { preparation, consumers, heartbeat } = parts;
  const { max_bytes: maxBytes } = settings.file.disk;
  if (maxBytes === undefined) return [];
  const budget = new DiskBudget({
    dataDir: settings.dataDir,
    searchPath: settings.environment.PATH ?? '/usr/bin:/bin',
    maxBytes,
    makeRoom: (bytes) => preparation.makeRoom(bytes),
    onOver: async (isOver) => {
      heartbeat.tellOverDisk(isOver);
      await Promise.all(consumers.map((consumer) => (isOver ? consumer.pause() : consumer.resume())));
    },
    log,
  });
  return [budget];
}

/** Inserts the worker's row before the first claim, and ends it after the last attempt. */
function registration(
  deps: Deps,
  {
    workerId,
    slots,
    confinement,
    options,
  }: { workerId: string; slots: SlotRack; confinement: Confinement; options: WorkerOptions },
): Component {
  const { ledger, log, settings, repositories, seal } = deps;
  const holds = { seal, gateVariables: gateVariablesOf(deps) };
  let registered = false;
  return {
    name: 'registration',
    async start() {
      if (await isDiskFull(settings.dataDir)) {
        throw new SluiceError('machine.fault', `no space is left below ${settings.dataDir}`, { retryable: true });
      }
      const freed = await slots.sweep();
      if (freed.length > 0) log.warn({ slots: freed }, 'slots.swept');
      await ledger.write(async (tx) => {
        if (options.replaces !== undefined) await markWorkerDead(tx, options.replaces);
        await registerWorker(tx, {
          workerId,
          hostname: hostname(),
          pid: process.pid,
          pools: options.pools,
          taskSlots: options.taskSlots,
          gateSlots: options.gateSlots,
          confinement: confinement.state.kind,
          gateValues: Object.fromEntries(
            repositories.urlsWithGateVariables().map((url) => [url, gateValues(holds, url)]),
          ),
        });
      });
      registered = true;
    },
    async stop() {
      if (!registered) return;
      registered = false;
      await slots.close();
      await ledger.write((tx) => stopWorker(tx, workerId));
    },
  };
}

/** Takes no more messages, waits `drainMs` for running work to end, and aborts the rest, which is requeued. */
function drain({
  consumers,
  held,
  intake,
  drainMs,
}: {
  consumers: readonly QueueConsumer[];
  held: HeldWork;
  intake: { open: boolean };
  drainMs: number;
}): Component {
  return {
    name: 'drain',
    start: async () => {},
    async stop() {
      intake.open = false;
      await Promise.all(consumers.map((consumer) => consumer.pause().catch(() => {})));
      const timer = new AbortController();
      await Promise.race([held.whenIdle(), sleep(drainMs, timer.signal)]);
      timer.abort();
      held.abortAll('shutdown');
      await held.whenIdle();
    },
  };
}
