import { hasCode } from '../contract/errors.ts';
import {
  type AdmittedTask,
  admitGates,
  admitTasks,
  type Dispatched,
  handBackAll,
  requeueDue,
} from '../ledger/attempts/admission.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../lib/log.ts';
import { DrainRate } from './support/drain-rate.ts';
import type { Publisher } from './support/ports.ts';

export interface DispatchDeps {
  ledger: Ledger;
  publisher: Publisher;
  log: Log;
}

/** Admitted tasks or gates of one pool that go out in one message. */
type Group = [Dispatched, ...Dispatched[]];

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
    const published = await Promise.allSettled([
      this.#publish(
        'gates',
        gates.map((gate) => [gate]),
      ),
      this.#publish('tasks', this.#grouped(tasks)),
    ]);
    for (const each of published) if (each.status === 'rejected') throw each.reason;
  }

  /** Groups tasks of one pool in the order of their admission. */
  #grouped(tasks: readonly AdmittedTask[]): Group[] {
    return [...Map.groupBy(tasks, ({ pool }) => pool)].flatMap(([pool, batch]) => {
      this.#drained.count(pool, batch.length);
      const size = this.#drained.together(pool, batch[0]!.workers);
      return Array.from(
        { length: Math.ceil(batch.length / size) },
        (_, place) => batch.slice(place * size, (place + 1) * size) as unknown as Group,
      );
    });
  }

  async #publish(family: 'tasks' | 'gates', groups: readonly Group[]): Promise<void> {
    if (groups.length === 0) return;
    const { ledger, publisher, log } = this.#deps;
    try {
      await publisher.publish(
        family,
        groups.map((group) => ({ pool: group[0].pool, name: nameOf(group), work: group })),
      );
    } catch (error) {
      const refused = hasCode(error, 'queue.unreachable') && error.facts.in_doubt !== true;
      // Some messages may have arrived. Their claims are refused, because the work is no longer dispatched.
      if (refused) await ledger.write((tx) => handBackAll(tx, family === 'tasks' ? 'task' : 'gate', groups.flat()));
      throw error;
    }
    log.debug({ family, messages: groups.length, count: groups.flat().length }, 'dispatched');
  }
}

function nameOf(group: Group): string {
  const names = [...new Set(group.map(({ name }) => name))].join(', ');
  return group.length === 1 ? names : `${names} (${group.length})`;
}
