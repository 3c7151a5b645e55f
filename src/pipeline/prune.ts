import type { Retention } from '../contract/config-schema.ts';
import type { Tx } from '../database/database.ts';
import { sqlState } from '../database/faults.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { type Pruned, pruneDeliveries, pruneEvents, pruneLogs, pruneRuns, pruneWorkers } from '../ledger/runs/prune.ts';
import { sleep } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';

/** Pause between batches, so that pruning takes a small share of the database's time. */
const REST_MS = 100;
/** PostgreSQL: the role lacks the privilege. */
const NOT_ALLOWED = '42501';

/** Deletes one batch of what is older than `days`. */
type PruneBatch = (tx: Tx, days: number) => Promise<Pruned>;

/**
 * Stage: deletes what the configuration no longer keeps, batch by batch. Any number of processes may prune. A role that
 * may not delete audit rows leaves them.
 */
export class Prune {
  readonly #ledger: Ledger;
  readonly #log: Log;
  readonly #retention: Retention;
  /** Audit rows up to here were pruned, or are kept. */
  #eventsUpTo = '0';
  #mayPruneEvents = true;

  constructor({ ledger, log, retention }: { ledger: Ledger; log: Log; retention: Retention }) {
    this.#ledger = ledger;
    this.#log = log;
    this.#retention = retention;
  }

  async round(signal: AbortSignal): Promise<void> {
    const { runs_days, logs_days, events_days } = this.#retention;
    const rounds = {
      logs: () => this.#all(pruneLogs, logs_days, signal),
      runs: () => this.#all(pruneRuns, runs_days, signal),
      workers: () => this.#all(pruneWorkers, runs_days, signal),
      deliveries: () => this.#all(pruneDeliveries, logs_days, signal),
      events: () => this.#pruneEvents(events_days, signal),
    };
    // Each by itself, because one that fails must not stop the others.
    for (const [of, prune] of Object.entries(rounds)) {
      try {
        const deleted = await prune();
        if (deleted > 0) this.#log.info({ of, deleted }, 'prune.done');
      } catch (err) {
        this.#log.error({ err, of }, 'prune.failed');
      }
    }
  }

  /** Returns how many were deleted. */
  async #all(prune: PruneBatch, days: number | null, signal: AbortSignal): Promise<number> {
    let all = 0;
    while (days !== null && !signal.aborted) {
      const { deleted, more } = await this.#ledger.write((tx) => prune(tx, days));
      all += deleted;
      if (!more) break;
      await sleep(REST_MS, signal);
    }
    return all;
  }

  async #pruneEvents(days: number | null, signal: AbortSignal): Promise<number> {
    let all = 0;
    try {
      while (days !== null && this.#mayPruneEvents && !signal.aborted) {
        const { deleted, next } = await this.#ledger.write((tx) => pruneEvents(tx, { days, after: this.#eventsUpTo }));
        all += deleted;
        if (next === undefined) break;
        this.#eventsUpTo = next;
        await sleep(REST_MS, signal);
      }
    } catch (error) {
      if (sqlState(error) !== NOT_ALLOWED) throw error;
      this.#mayPruneEvents = false;
      this.#log.warn({}, 'prune.events_not_allowed');
    }
    return all;
  }
}
