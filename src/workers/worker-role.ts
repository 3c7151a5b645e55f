import { hostname } from 'node:os';
import { type Confinement, confinementOf } from '../children/confinement.ts';
import { namedVariables } from '../children/environment.ts';
import { credentialNames } from '../contract/config-schema.ts';
import { SluiceError } from '../contract/errors.ts';
import type { Deps } from '../deps.ts';
import { verdictKeyAgreed, wakeUpListener } from '../deps.ts';
import { cancelledBy } from '../domain/wake-up.ts';
import { mirrorKeeper } from '../git/mirror-keeper.ts';
import type { Mirrors } from '../git/mirrors.ts';
import { buryWorker, registerWorker, stopWorker } from '../ledger/fleet/workers.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import { newId } from '../lib/id.ts';
import { silentLog } from '../lib/log.ts';
import { isDiskFull, isStillOut, type MachineFault } from '../lib/machine-fault.ts';
import { RECONCILE_TIMES } from '../pipeline/reconcile.ts';
import { runGate } from '../pipeline/run-gate/run-gate.ts';
import { type ExecuteAttempt, executeAttempt, runTask } from '../pipeline/run-task/run-task.ts';
import { gateValues } from '../pipeline/support/gate-values.ts';
import type { GateVariables, OnMachineFault } from '../pipeline/support/ports.ts';
import { QueueConsumer } from '../queues/consumer.ts';
import { queueName } from '../queues/queue-names.ts';
import { Preparation } from '../workspaces/prepare.ts';
import { SlotRack } from '../workspaces/slots.ts';
import { ConsumingWatch } from './consuming.ts';
import { Heartbeat } from './heartbeat.ts';
import { HeldWork } from './held-work.ts';

export interface WorkerOptions {
  pools: readonly string[];
  taskSlots: number;
  gateSlots: number;
  /** How long a drain waits for what runs before it is handed back. */
  drainMs: number;
  /** A worker whose process is gone and whose place this one takes; whether it crashed or hung. */
  replaces?: { workerId: string; crashed: boolean };
  /** How an attempt is made; the bench measures the ledger with one that does nothing. */
  execute?: ExecuteAttempt;
}

export const HEARTBEAT_EVERY_MS = 1_000;
/** A message that nobody took for so long waits. */
const WAITING_AFTER_MS = 2_000;
/** So many faults of the machine within so long are believed, whatever it says of itself a moment later. */
const FAULTS_TO_BELIEVE = 3;
const FAULTS_WITHIN_MS = 60_000;

/** Why a worker ends by itself: asked to, given up by the ledger, nothing comes to it any more, or nothing can be done here. */
export type WorkerEnd = 'drained' | 'lease_lost' | 'not_consuming' | 'machine_fault';

/** One worker: a row, a heartbeat, consumers for its pools. `ended` resolves when it must not go on. */
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
  /** One fault is enough if the host confirms it. Messages can be forged through file names, so unconfirmed faults need several. */
  const endIfOut = async (fault: MachineFault): Promise<void> => {
    const now = performance.now();
    faults = [...faults.filter((at) => now - at < FAULTS_WITHIN_MS), now];
    if (faults.length >= FAULTS_TO_BELIEVE || (await isStillOut(fault, deps.settings.dataDir))) end('machine_fault');
  };
  // The supervisor has said it already where there is none.
  const confinement = confinementOf(deps.settings, silentLog());
  const slots = new SlotRack(deps.settings.dataDir, deps.log, (slot) => confinement.uidOf(slot));
  const intake = { open: true };
  const mirrors = deps.mirrorsOf('worker');
  const consumers = createConsumers(
    { ...deps, log },
    { workerId, held, slots, mirrors, confinement, options, intake, onMachineFault: (fault) => void endIfOut(fault) },
  );
  const consuming = new ConsumingWatch({
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
    // Stops first: who drains takes nothing on purpose.
    consuming,
  ];
  return { workerId, components, ended };
}

interface ConsumerParts {
  workerId: string;
  held: HeldWork;
  slots: SlotRack;
  mirrors: Mirrors;
  confinement: Confinement;
  options: WorkerOptions;
  /** Closed by the drain: a message that was fetched at that moment is left to others. */
  intake: { open: boolean };
  onMachineFault: OnMachineFault;
}

function createConsumers(
  deps: Deps,
  { workerId, held, slots, mirrors, confinement, options, intake, onMachineFault }: ConsumerParts,
): QueueConsumer[] {
  const { settings, ledger, log, daos, tools, repositories, seal, crashPoint, queueBackend: backend } = deps;
  const environment = withoutTokens(settings);
  const shared = {
    gateVariables: gateVariablesOf(deps),
    ledger,
    mirrors,
    slots,
    confinement,
    preparation: new Preparation({ dataDir: settings.dataDir, searchPath: environment.PATH ?? '/usr/bin:/bin' }),
    held,
    environment,
    workerId,
    leaseMs: RECONCILE_TIMES.leaseMs,
    onMachineFault,
    log,
  };
  const execute = options.execute ?? executeAttempt;
  const whileOpen =
    <T>(deliver: (message: T) => Promise<void>) =>
    async (message: T): Promise<void> => {
      if (intake.open) await deliver(message);
    };
  return options.pools.flatMap((pool) => [
    new QueueConsumer({
      backend,
      queue: queueName('tasks', pool),
      concurrency: options.taskSlots,
      deliver: whileOpen((message) => runTask({ ...shared, tools }, message, execute)),
      log,
    }),
    new QueueConsumer({
      backend,
      queue: queueName('gates', pool),
      concurrency: options.gateSlots,
      deliver: whileOpen((message) =>
        runGate({ ...shared, patches: daos.patches, repositories, seal, crashPoint }, message),
      ),
      log,
    }),
  ]);
}

function gateVariablesOf({ settings, repositories }: Deps): GateVariables {
  const environment = withoutTokens(settings);
  return (url, names) => {
    const allowed = repositories.gateVariables(url);
    return namedVariables(names?.filter((name) => allowed.includes(name)) ?? allowed, environment);
  };
}

/** The worker's row, from before the first claim until after the last ending. */
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
        if (options.replaces !== undefined) await buryWorker(tx, options.replaces);
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

/** Stops first: nothing new is taken, what runs may end in time, the rest is handed back. */
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

/** Tokens of repositories are for our git alone, whatever a policy or a tool asks for. */
function withoutTokens({ environment, file }: Deps['settings']): Deps['settings']['environment'] {
  const tokens = credentialNames(file.repositories);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !tokens.includes(name)));
}
