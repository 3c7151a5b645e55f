import { assertSupported, readPolicy } from '../candidates/read-policy.ts';
import { type ErrorCode, hasCode, SluiceError } from '../contract/errors.ts';
import type { RunDao } from '../dao/run-dao.ts';
import type { TargetDao } from '../dao/target-dao.ts';
import type { RunRow } from '../entities/run.ts';
import type { TargetRow } from '../entities/target.ts';
import type { Mirrors } from '../git/mirrors.ts';
import { observeTip } from '../ledger/landing/targets.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { cancelSuperseded } from '../ledger/runs/cancel.ts';
import { queueStartedTasks, refuseRun, startRun } from '../ledger/runs/start-run.ts';
import { type BackoffPolicy, fullJitterMs } from '../lib/backoff.ts';
import type { Log } from '../lib/log.ts';
import { machineFault } from '../lib/machine-fault.ts';

export interface StartRunsDeps {
  ledger: Ledger;
  runs: RunDao;
  targets: TargetDao;
  mirrors: Mirrors;
  log: Log;
}

const BATCH = 50;
/** Errors that waiting does not change. */
const FINAL: readonly ErrorCode[] = ['branch.missing', 'policy.invalid', 'feature.unsupported'];
/** How long a failed read of a target may be a transient fault. A local path gets less: it is there or it is not. */
const PATIENCE_MS = { remote: 5 * 60_000, path: 3_000 };
const FORGOTTEN_AFTER_MS = 60_000;
/** A tip of this age will do: each task reads the tip and its policy anew, and a push is a compare-and-swap. */
const TIP_AGE_MS = 1_000;
const READ_AGAIN: BackoffPolicy = { baseMs: 500, capMs: 15_000 };

interface FailedReads {
  count: number;
  sinceMs: number;
  nextMs: number;
}

/** Stage: starts INITIALIZING runs whose target's tip and policy can be read, and fails the others with the reason. */
export class StartRuns {
  readonly #deps: StartRunsDeps;
  readonly #failedReads = new Map<string, FailedReads>();

  constructor(deps: StartRunsDeps) {
    this.#deps = deps;
  }

  async round(): Promise<'again' | undefined> {
    while (await this.#deps.ledger.write(queueStartedTasks)) {
      // Each batch is a transaction of its own; another process may take the next one.
    }
    const waiting = await this.#deps.runs.findToStart(BATCH, this.#targetsLeftAlone());
    const byTarget = Map.groupBy(waiting, ({ target_id }) => target_id ?? '');
    const moved = await Promise.all([...byTarget.values()].map((runs) => this.#startOnTarget(runs)));
    // If nothing moved, the same runs would be read again without a pause.
    return waiting.length === BATCH && moved.includes(true) ? 'again' : undefined;
  }

  /** Returns the targets in backoff after a failed read. Forgets targets for which no run has asked for a minute. */
  #targetsLeftAlone(): string[] {
    const now = performance.now();
    for (const [targetId, { nextMs }] of this.#failedReads) {
      if (now - nextMs > FORGOTTEN_AFTER_MS) this.#failedReads.delete(targetId);
    }
    return [...this.#failedReads].filter(([, { nextMs }]) => now < nextMs).map(([targetId]) => targetId);
  }

  /** Reads the remote once for all runs of a target. True when some of them started or ended. */
  async #startOnTarget(runs: readonly RunRow[]): Promise<boolean> {
    const { ledger, log, targets } = this.#deps;
    const targetId = runs[0]!.target_id!;
    const target = await targets.get(targetId);
    try {
      await this.#observe(target);
    } catch (error) {
      if (!(error instanceof SluiceError) || error.code === 'database.unreachable') throw error;
      const machine = machineFault(error);
      if (machine !== undefined) {
        // A fault of this host: another scheduler reads the target, or this one later.
        log.error({ targetId, machine }, 'start-runs.machine_fault');
        return false;
      }
      if (!FINAL.includes(error.code) && !this.#isHopeless(target)) return false;
      this.#failedReads.delete(targetId);
      for (const { run_id } of runs) await this.#refuse(run_id, error);
      return true;
    }
    this.#failedReads.delete(targetId);
    let moved = false;
    for (const { run_id, supersede } of runs) {
      if (supersede && !(await this.#supersedeOlder(run_id))) continue;
      await ledger.write((tx) => startRun(tx, run_id));
      moved = true;
      log.info({ runId: run_id, targetId }, 'run.started');
    }
    return moved;
  }

  /** Cancels the runs that this one supersedes. False while a patch of one is landing; the next round retries. */
  async #supersedeOlder(runId: string): Promise<boolean> {
    const { ledger } = this.#deps;
    try {
      await ledger.write((tx) => cancelSuperseded(tx, runId));
      return true;
    } catch (error) {
      if (hasCode(error, 'run.landing') || hasCode(error, 'patch.landing')) return false;
      throw error;
    }
  }

  async #observe(target: TargetRow): Promise<void> {
    try {
      await this.#observeTip(target, TIP_AGE_MS);
    } catch (error) {
      if (!hasCode(error, 'policy.invalid') && !hasCode(error, 'feature.unsupported')) throw error;
      // A push may have mended it within that age.
      await this.#observeTip(target, 0);
    }
  }

  async #observeTip(target: TargetRow, maxAgeMs: number): Promise<void> {
    const mirror = this.#deps.mirrors.of(target.url);
    const tip = await mirror.fetchTip(target.branch, { maxAgeMs });
    const { policy, error } = await readPolicy(mirror, tip.commit);
    const observed = { targetId: target.target_id, ...tip, policy, policyError: error };
    await this.#deps.ledger.write((tx) => observeTip(tx, observed));
    if (error !== null) throw new SluiceError('policy.invalid', error);
    await assertSupported(mirror, tip.commit);
  }

  /** Counts a failed read of the target. True when it has failed for longer than a transient fault. */
  #isHopeless({ target_id, url }: TargetRow): boolean {
    const now = performance.now();
    const known = this.#failedReads.get(target_id) ?? { count: 0, sinceMs: now, nextMs: now };
    const count = known.count + 1;
    const nextMs = now + READ_AGAIN.baseMs + fullJitterMs(READ_AGAIN, count);
    this.#failedReads.set(target_id, { count, sinceMs: known.sinceMs, nextMs });
    return now - known.sinceMs > (url.startsWith('/') ? PATIENCE_MS.path : PATIENCE_MS.remote);
  }

  async #refuse(runId: string, error: SluiceError): Promise<void> {
    const { ledger, log } = this.#deps;
    const detail = { message: error.message, ...error.facts };
    await ledger.write((tx) => refuseRun(tx, { runId, reason: error.code, detail }));
    log.warn({ runId, code: error.code }, 'run.refused');
  }
}
