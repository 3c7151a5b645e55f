import { overdue } from '../ledger/fleet/overlooked.ts';
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
  /** A longer gap between or within rounds counts as lost contact with the database. */
  contactGapMs: number;
  /** Interval between checks that read every live row. */
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
 * Stage: repairs what crashed processes left behind. A lease admits one process at a time. Reaps no worker until it has
 * itself been in unbroken contact with the database for a whole lease: after an outage every lease looks expired
 * although all workers live.
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
  /**
   * Suspects of the round before. A lost message is still suspect in the next round; one that waited for a slot is
   * claimed by then.
   */
  #suspects: LostDispatch[] = [];

  constructor(options: { ledger: Ledger; holder: string; log: Log; times?: ReconcileTimes }) {
    this.#ledger = options.ledger;
    this.#holder = options.holder;
    this.#log = options.log;
    this.#times = options.times ?? RECONCILE_TIMES;
  }

  async round(): Promise<void> {
    // A frozen database or a suspended machine throws nothing; only the gap in the clock shows it.
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
      const late = await this.#ledger.apart((tx) => overdue(tx, this.#times));
      if (late.work) await this.#repair(lease);
      else this.#suspects = [];
      await this.#lookDeep(lease);
      if (Date.now() - startedAtMs > this.#times.contactGapMs) this.#contactSinceMs = performance.now();
      if (late.workers && performance.now() - this.#contactSinceMs >= this.#times.leaseMs) await this.#reap(lease);
    } catch (error) {
      this.#contactSinceMs = undefined;
      throw error;
    } finally {
      this.#lastRoundEndedAtMs = Date.now();
    }
  }

  /** Releases the lease, so that the next process need not wait for it to expire. */
  async release(): Promise<void> {
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined) await this.#ledger.write((tx) => releaseLease(tx, lease)).catch(() => {});
  }

  #takeLease(): Promise<HeldLease | undefined> {
    return this.#ledger.apart((tx) =>
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
        takenBack: await takeBackFromLeftPools(tx, redispatchAfterMs),
        expired: await expireOverdue(tx),
        timed_out: await expireQueued(tx),
      };
    });
    const { suspects, redispatched, expired, timed_out } = repaired;
    this.#suspects = suspects;
    if (redispatched > 0) this.#log.warn({ redispatched }, 'reconciler.repaired');
    if (expired + timed_out > 0) this.#log.info({ expired, timed_out }, 'reconciler.expired');
  }

  /** Corrects counters that drifted. None should, and the check reads every live row, so it runs rarely. */
  async #lookDeep(lease: HeldLease): Promise<void> {
    if (performance.now() < this.#nextDeepLookMs) return;
    this.#nextDeepLookMs = performance.now() + this.#times.deepLookEveryMs;
    const recounted = await this.#ledger.write(async (tx) => {
      await assertLease(tx, lease);
      await pruneToolUse(tx);
      return (await recountRollUps(tx)) + (await unblockOverlooked(tx));
    });
    if (recounted > 0) this.#log.warn({ recounted }, 'reconciler.repaired');
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
