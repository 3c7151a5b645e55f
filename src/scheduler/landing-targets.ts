import { hasCode } from '../contract/errors.ts';
import { activeTargets } from '../ledger/landing/targets.ts';
import { acquireLease, type HeldLease, releaseLease } from '../ledger/leases.ts';
import type { Component } from '../lib/component.ts';
import { machineFault } from '../lib/machine-fault.ts';
import { Ticker } from '../lib/ticker.ts';
import { LandingCoordinator } from '../pipeline/land-patches/coordinator.ts';
import type { LandingDeps } from '../pipeline/land-patches/landing-round.ts';

const DISCOVER_MS = 1_000;
const ROUND_MS = 1_000;
const RENEW_MS = 1_000;
const LEASE_TTL_MS = 5_000;
const STAND_BACK_MS = 10_000;

interface Coordinated {
  lease: HeldLease | undefined;
  coordinator: LandingCoordinator;
  ticker: Ticker;
  /** This process takes the lease no earlier, so that another process can. */
  notBeforeMs: number;
}

/** Coordinates every target with work to do, each under a lease that is renewed every second and expires after 5 s. */
export class LandingTargets implements Component {
  readonly name = 'landing';
  readonly #deps: LandingDeps;
  readonly #holder: string;
  readonly #targets = new Map<string, Coordinated>();
  readonly #discover: Ticker;
  readonly #renew: Ticker;

  constructor(deps: LandingDeps, holder: string) {
    this.#deps = deps;
    this.#holder = holder;
    this.#discover = new Ticker({ name: 'landing', everyMs: DISCOVER_MS, log: deps.log, tick: () => this.#look() });
    this.#renew = new Ticker({ name: 'leases', everyMs: RENEW_MS, log: deps.log, tick: () => this.#renewAll() });
  }

  async start(): Promise<void> {
    await this.#discover.start();
    await this.#renew.start();
  }

  wake(): void {
    this.#discover.wake();
    for (const { lease, ticker } of this.#targets.values()) if (lease !== undefined) ticker.wake();
  }

  async stop(): Promise<void> {
    await this.#discover.stop();
    await this.#renew.stop();
    await Promise.all([...this.#targets.keys()].map((targetId) => this.#leave(targetId)));
  }

  async #look(): Promise<void> {
    const active = await this.#deps.ledger.apart(activeTargets);
    for (const targetId of this.#targets.keys()) if (!active.includes(targetId)) await this.#leave(targetId);
    for (const targetId of active) {
      if (this.#targets.has(targetId)) continue;
      const coordinator = new LandingCoordinator(this.#deps, targetId);
      const ticker = new Ticker({
        name: 'landing.target',
        everyMs: ROUND_MS,
        log: this.#deps.log.child({ targetId }),
        tick: () => this.#round(targetId),
      });
      this.#targets.set(targetId, { lease: undefined, coordinator, ticker, notBeforeMs: 0 });
      await ticker.start();
    }
  }

  /** Stops coordinating a target without work: its remote is no longer polled; another process may take it later. */
  async #leave(targetId: string): Promise<void> {
    const target = this.#targets.get(targetId)!;
    await target.ticker.stop();
    this.#targets.delete(targetId);
    const { lease } = target;
    if (lease !== undefined) await this.#deps.ledger.write((tx) => releaseLease(tx, lease)).catch(() => {});
  }

  async #round(targetId: string): Promise<'again' | undefined> {
    const target = this.#targets.get(targetId)!;
    if (performance.now() < target.notBeforeMs) return undefined;
    target.lease ??= await this.#acquire(targetId);
    if (target.lease === undefined) return undefined;
    try {
      return await target.coordinator.round(target.lease);
    } catch (error) {
      if (machineFault(error) !== undefined) await this.#leaveToOthers(targetId);
      if (!hasCode(error, 'lease.lost')) throw error;
      this.#deps.log.warn({ targetId }, 'landing.lease_lost');
      target.lease = undefined;
      return undefined;
    }
  }

  /** Releases a target because this host is out of a resource, so that a process on another host can take it. */
  async #leaveToOthers(targetId: string): Promise<void> {
    const target = this.#targets.get(targetId)!;
    const { lease } = target;
    target.lease = undefined;
    target.notBeforeMs = performance.now() + STAND_BACK_MS;
    if (lease !== undefined) await this.#deps.ledger.write((tx) => releaseLease(tx, lease)).catch(() => {});
  }

  async #renewAll(): Promise<void> {
    for (const [targetId, target] of this.#targets) {
      if (target.lease !== undefined) target.lease = await this.#acquire(targetId);
    }
  }

  #acquire(targetId: string): Promise<HeldLease | undefined> {
    const lease = { name: `landing:${targetId}`, holder: this.#holder, ttlMs: LEASE_TTL_MS };
    return this.#deps.ledger.apart((tx) => acquireLease(tx, lease));
  }
}
