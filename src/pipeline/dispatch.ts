import { admitGates, admitTasks, type Dispatched, requeueDue } from '../ledger/admission.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../lib/log.ts';
import type { Publisher } from './ports.ts';

export interface DispatchDeps {
  ledger: Ledger;
  publisher: Publisher;
  log: Log;
}

/**
 * Stage: decides what may start now, marks it, commits, then publishes the ids. Killed or refused in between, the
 * reconciler marks again what nobody claims.
 */
export async function dispatch({ ledger, publisher, log }: DispatchDeps): Promise<void> {
  const { tasks, gates } = await ledger.write(async (tx) => {
    await requeueDue(tx);
    return { gates: await admitGates(tx), tasks: await admitTasks(tx) };
  });
  await publish('gates', gates);
  await publish('tasks', tasks);

  async function publish(family: 'tasks' | 'gates', admitted: readonly Dispatched[]): Promise<void> {
    if (admitted.length === 0) return;
    await publisher.publish(family, admitted);
    log.debug({ family, count: admitted.length }, 'dispatched');
  }
}
