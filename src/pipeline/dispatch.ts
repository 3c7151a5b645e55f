import { hasCode } from '../contract/errors.ts';
import { admitGates, admitTasks, type Dispatched, handBackAll, requeueDue } from '../ledger/attempts/admission.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../lib/log.ts';
import { DrainRate } from './support/drain-rate.ts';
import type { Publisher } from './support/ports.ts';

export interface DispatchDeps {
  ledger: Ledger;
  publisher: Publisher;
  log: Log;
}

/**
 * Stage: chooses what may start now, marks it, commits, then publishes the ids. Work that the queue refuses goes back
 * to the ledger at once. Work that may still arrive stays dispatched: with a slow queue every message would otherwise
 * be outdated when it arrives. After a crash in between, the reconciler marks unclaimed work again.
 */
export class Dispatch {
  readonly #deps: DispatchDeps;
  readonly #drained = new DrainRate();

  constructor(deps: DispatchDeps) {
    this.#deps = deps;
  }

  async round(): Promise<void> {
    const { tasks, gates } = await this.#deps.ledger.write(async (tx) => {
      await requeueDue(tx);
      // Tasks first: they take the lock under which one dispatcher at a time admits.
      return { tasks: await admitTasks(tx, (pool) => this.#drained.ahead(pool)), gates: await admitGates(tx) };
    });
    for (const [pool, batch] of Map.groupBy(tasks, (task) => task.pool)) this.#drained.count(pool, batch.length);
    const published = await Promise.allSettled([this.#publish('gates', gates), this.#publish('tasks', tasks)]);
    for (const each of published) if (each.status === 'rejected') throw each.reason;
  }

  async #publish(family: 'tasks' | 'gates', admitted: readonly Dispatched[]): Promise<void> {
    if (admitted.length === 0) return;
    const { ledger, publisher, log } = this.#deps;
    try {
      await publisher.publish(family, admitted);
    } catch (error) {
      const refused = hasCode(error, 'queue.unreachable') && error.facts.in_doubt !== true;
      // Some messages may have arrived. Their claims are refused, because the work is no longer dispatched.
      if (refused) await ledger.write((tx) => handBackAll(tx, family === 'tasks' ? 'task' : 'gate', admitted));
      throw error;
    }
    log.debug({ family, count: admitted.length }, 'dispatched');
  }
}
