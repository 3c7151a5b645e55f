import { forgetLostDispatches } from '../ledger/admission.ts';
import { acquireLease, assertLease, type HeldLease } from '../ledger/leases.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { expireOverdue } from '../ledger/stop-patches.ts';
import { reapWorkers } from '../ledger/workers.ts';
import type { Log } from '../lib/log.ts';

export interface ReconcileTimes {
  unhealthyAfterMs: number;
  leaseMs: number;
  redispatchAfterMs: number;
  holderTtlMs: number;
  /** A longer silence between or within rounds was no contact. */
  contactGapMs: number;
}

export const RECONCILE_TIMES: ReconcileTimes = {
  unhealthyAfterMs: 2_000,
  leaseMs: 6_000,
  redispatchAfterMs: 5_000,
  holderTtlMs: 5_000,
  contactGapMs: 3_000,
};

/**
 * Stage: puts right what a death left behind. One process at a time, by a lease. Reaps nobody until it has itself had a
 * whole lease of unbroken contact with the database: after an outage every lease looks expired, and all workers live.
 */
export class Reconciler {
  readonly #ledger: Ledger;
  readonly #holder: string;
  readonly #log: Log;
  readonly #times: ReconcileTimes;
  #contactSinceMs: number | undefined;
  #lastRoundEndedAtMs = 0;

  constructor(options: { ledger: Ledger; holder: string; log: Log; times?: ReconcileTimes }) {
    this.#ledger = options.ledger;
    this.#holder = options.holder;
    this.#log = options.log;
    this.#times = options.times ?? RECONCILE_TIMES;
  }

  async round(): Promise<void> {
    // A frozen database or a machine that slept throws nothing: the gap in the clock tells.
    if (Date.now() - this.#lastRoundEndedAtMs > this.#times.contactGapMs) this.#contactSinceMs = undefined;
    const startedAtMs = Date.now();
    try {
      const lease = await this.#takeLease();
      if (lease === undefined) {
        this.#contactSinceMs = undefined;
        return;
      }
      this.#contactSinceMs ??= performance.now();
      await this.#repair(lease);
      if (Date.now() - startedAtMs > this.#times.contactGapMs) this.#contactSinceMs = performance.now();
      if (performance.now() - this.#contactSinceMs >= this.#times.leaseMs) await this.#reap(lease);
    } catch (error) {
      this.#contactSinceMs = undefined;
      throw error;
    } finally {
      this.#lastRoundEndedAtMs = Date.now();
    }
  }

  #takeLease(): Promise<HeldLease | undefined> {
    return this.#ledger.write((tx) =>
      acquireLease(tx, { name: 'reconciler', holder: this.#holder, ttlMs: this.#times.holderTtlMs }),
    );
  }

  async #repair(lease: HeldLease): Promise<void> {
    const repaired = await this.#ledger.write(async (tx) => {
      await assertLease(tx, lease);
      return {
        redispatched: await forgetLostDispatches(tx, this.#times.redispatchAfterMs),
        expired: await expireOverdue(tx),
      };
    });
    if (repaired.redispatched + repaired.expired === 0) return;
    this.#log.warn(repaired, 'reconciler.repaired');
    this.#hintAll();
  }

  async #reap(lease: HeldLease): Promise<void> {
    const reaped = await this.#ledger.write(async (tx) => {
      await assertLease(tx, lease);
      return reapWorkers(tx, { unhealthyAfterMs: this.#times.unhealthyAfterMs, deadAfterMs: this.#times.leaseMs });
    });
    if (reaped.unhealthy + reaped.dead + reaped.tasks + reaped.gates === 0) return;
    this.#log.warn(reaped, 'reconciler.reaped');
    this.#hintAll();
  }

  #hintAll(): void {
    for (const hint of ['dispatch', 'landing', 'roll-up']) this.#ledger.hint(hint);
  }
}
