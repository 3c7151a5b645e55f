import type { Confinement } from '../children/confinement.ts';
import { namedVariables } from '../children/environment.ts';
import { credentialNames } from '../contract/config-schema.ts';
import type { Deps } from '../deps.ts';
import type { Work } from '../domain/work.ts';
import type { Mirrors } from '../git/mirrors.ts';
import { type DispatchedKind, handBackAll } from '../ledger/attempts/admission.ts';
import { RECONCILE_TIMES } from '../pipeline/reconcile.ts';
import { runGate } from '../pipeline/run-gate/run-gate.ts';
import { executeAttempt } from '../pipeline/run-task/execute-attempt.ts';
import { type ExecuteAttempt, runTask } from '../pipeline/run-task/run-task.ts';
import type { GateVariables, OnMachineFault } from '../pipeline/support/ports.ts';
import { QueueConsumer } from '../queues/consumer.ts';
import { queueName } from '../queues/queue-names.ts';
import { cacheLimits, Preparation } from '../workspaces/prepare.ts';
import type { SlotRack } from '../workspaces/slots.ts';
import type { HeldWork } from './held-work.ts';

/** Work that a worker takes. */
export interface ConsumerOptions {
  pools: readonly string[];
  taskSlots: number;
  gateSlots: number;
  /** Executes an attempt; the bench passes one that does nothing, to measure the ledger. */
  execute?: ExecuteAttempt | undefined;
}

interface ConsumerParts {
  workerId: string;
  held: HeldWork;
  slots: SlotRack;
  mirrors: Mirrors;
  preparation: Preparation;
  confinement: Confinement;
  options: ConsumerOptions;
  /** Closed by the drain: a message that was fetched at that moment is left to another worker. */
  intake: { open: boolean };
  onMachineFault: OnMachineFault;
}

/** Creates the consumers of a worker: one for the tasks and one for the gates of each of its pools. */
export function createConsumers(
  deps: Deps,
  { workerId, held, slots, mirrors, preparation, confinement, options, intake, onMachineFault }: ConsumerParts,
): QueueConsumer[] {
  const { settings, ledger, log, daos, tools, repositories, seal, crashPoint, queueBackend: backend } = deps;
  const environment = withoutTokens(settings);
  const shared = {
    gateVariables: gateVariablesOf(deps),
    ledger,
    mirrors,
    slots,
    confinement,
    preparation,
    held,
    environment,
    workerId,
    leaseMs: RECONCILE_TIMES.leaseMs,
    onMachineFault,
    log,
  };
  const execute = options.execute ?? executeAttempt;
  const whileOpen =
    <T>(deliver: (work: T) => Promise<void>) =>
    async (work: T): Promise<void> => {
      if (intake.open) await deliver(work);
    };
  const giveBack = (kind: DispatchedKind) => (work: readonly Work[]) =>
    ledger.write(async (tx) => {
      await handBackAll(tx, kind, work);
      tx.wake('dispatch');
    });
  return options.pools.flatMap((pool) => [
    new QueueConsumer({
      backend,
      queue: queueName('tasks', pool),
      slots: options.taskSlots,
      deliver: whileOpen((work) => runTask({ ...shared, tools }, work, execute)),
      giveBack: giveBack('task'),
      log,
    }),
    new QueueConsumer({
      backend,
      queue: queueName('gates', pool),
      slots: options.gateSlots,
      deliver: whileOpen((work) => runGate({ ...shared, patches: daos.patches, repositories, seal, crashPoint }, work)),
      giveBack: giveBack('gate'),
      log,
    }),
  ]);
}

export function preparationOf({ settings }: Deps): Preparation {
  const searchPath = settings.environment.PATH ?? '/usr/bin:/bin';
  return new Preparation({ dataDir: settings.dataDir, searchPath, limits: cacheLimits(settings.file) });
}

export function gateVariablesOf({ settings, repositories }: Deps): GateVariables {
  const environment = withoutTokens(settings);
  return (url, names) => {
    const allowed = repositories.gateVariables(url);
    return namedVariables(names?.filter((name) => allowed.includes(name)) ?? allowed, environment);
  };
}

/** Leaves out the tokens of repositories: only Sluice's own git may use them, whatever a policy or a tool asks for. */
function withoutTokens({ environment, file }: Deps['settings']): Deps['settings']['environment'] {
  const tokens = [
    ...credentialNames(file.repositories),
    ...file.webhooks.flatMap(({ secret_env }) => secret_env ?? []),
  ];
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !tokens.includes(name)));
}
