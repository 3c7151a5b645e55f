import {
  expireQueued,
  forgetDispatches,
  type LostDispatch,
  pruneToolUse,
  recountRollUps,
  suspectLostDispatches,
  takeBackFromLeftPools,
  unblockOverlooked,
} from '../ledger/fleet/repair.ts';
import { reapWorkers } from '../ledger/fleet/workers.ts';
import { expireOverdue } from '../ledger/landing/stop-patches.ts';
import { acquireLease, assertLease, type HeldLease, releaseLease } from '../ledger/leases.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../lib/log.ts';

export interface ReconcileTimes {
  unhealthyAfterMs: number;
  leaseMs: number;
  redispatchAfterMs: number;
  holderTtlMs: number;
  /** A longer silence between or within rounds was no contact. */
  contactGapMs: number;
  /** Between looks that read every live row. */
  deepLookEveryMs: number;
}

export const RECONCILE_TIMES: ReconcileTimes = {
  unhealthyAfterMs: 2_000,
  leaseMs: 6_000,
  redispatchAfterMs: 5_000,
  holderTtlMs: 5_000,
  contactGapMs: 3_000,
  deepLookEveryMs: 20_000,
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
  #nextDeepLookMs = 0;
  #lease: HeldLease | undefined;
  /** Seen in the round before: what is lost stays so, what only waited for a slot that fell free is gone by the next. */
  #suspects: LostDispatch[] = [];

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
      this.#lease = lease;
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

  /** Lets the next process begin at once. */
  async release(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined) await this.#ledger.write((tx) => releaseLease(tx, lease)).catch(() => {});
  }

  #takeLease(): Promise<HeldLease | undefined> {
    return this.#ledger.write((tx) =>
      acquireLease(tx, { name: 'reconciler', holder: this.#holder, ttlMs: this.#times.holderTtlMs }),
    );
  }

  async #repair(lease: HeldLease): Promise<void> {
    const { redispatchAfterMs } = this.#times;
    const repaired = await this.#ledger.write(async (tx) => {
      await assertLease(tx, lease);
      const suspects = await suspectLostDispatches(tx, redispatchAfterMs);
      const lost = suspects.filter((suspect) => this.#suspects.some((before) => isSame(before, suspect)));
      return {
        suspects,
        redispatched: await forgetDispatches(tx, lost),
        taken_back: await takeBackFromLeftPools(tx, redispatchAfterMs),
        expired: await expireOverdue(tx),
        timed_out: await expireQueued(tx),
      };
    });
    const { suspects, ...counts } = repaired;
    this.#suspects = suspects;
    const deep = await this.#lookDeep(lease);
    const ended = counts.expired + counts.timed_out;
    const mended = counts.redispatched + deep;
    if (ended + mended + counts.taken_back === 0) return;
    if (mended > 0) this.#log.warn({ redispatched: counts.redispatched, recounted: deep }, 'reconciler.repaired');
    if (ended > 0) this.#log.info({ expired: counts.expired, timed_out: counts.timed_out }, 'reconciler.expired');
  }

  /** Counters that drifted; none should, so it is looked for seldom. */
  async #lookDeep(lease: HeldLease): Promise<number> {
    if (performance.now() < this.#nextDeepLookMs) return 0;
    this.#nextDeepLookMs = performance.now() + this.#times.deepLookEveryMs;
    return this.#ledger.write(async (tx) => {
      await assertLease(tx, lease);
      await pruneToolUse(tx);
      return (await recountRollUps(tx)) + (await unblockOverlooked(tx));
    });
  }

  async #reap(lease: HeldLease): Promise<void> {
    const reaped = await this.#ledger.write(async (tx) => {
      await assertLease(tx, lease);
      return reapWorkers(tx, { unhealthyAfterMs: this.#times.unhealthyAfterMs, deadAfterMs: this.#times.leaseMs });
    });
    if (reaped.unhealthy + reaped.dead + reaped.tasks + reaped.gates === 0) return;
    this.#log.warn(reaped, 'reconciler.reaped');
  }
}

function isSame(a: LostDispatch, b: LostDispatch): boolean {
  return a.kind === b.kind && a.id === b.id && a.dispatch === b.dispatch;
}
