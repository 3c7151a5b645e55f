import { hasCode, SluiceError } from '../contract/errors.ts';
import type { RunDao } from '../dao/run-dao.ts';
import type { TargetDao } from '../dao/target-dao.ts';
import type { RunRow } from '../entities/run.ts';
import type { Mirrors } from '../git/mirror.ts';
import type { Ledger } from '../ledger/ledger.ts';
import { refuseRun, startRun } from '../ledger/start-run.ts';
import { observeTip } from '../ledger/targets.ts';
import type { Log } from '../lib/log.ts';
import { readPolicy } from './read-policy.ts';

export interface StartRunsDeps {
  ledger: Ledger;
  runs: RunDao;
  targets: TargetDao;
  mirrors: Mirrors;
  log: Log;
}

const BATCH = 50;
/** A repository that cannot be read this often is not a passing fault any more. */
const MAX_READS = 3;

/** Stage: INITIALIZING runs whose target's tip and policy can be read start; the others FAIL with the reason. */
export class StartRuns {
  readonly #deps: StartRunsDeps;
  readonly #failedReads = new Map<string, number>();

  constructor(deps: StartRunsDeps) {
    this.#deps = deps;
  }

  async round(): Promise<'again' | undefined> {
    const waiting = await this.#deps.runs.findToStart(BATCH);
    const byTarget = Map.groupBy(waiting, ({ target_id }) => target_id ?? '');
    for (const runs of byTarget.values()) await this.#startOnTarget(runs);
    return waiting.length === BATCH ? 'again' : undefined;
  }

  /** Runs of one target share one look at the remote. */
  async #startOnTarget(runs: readonly RunRow[]): Promise<void> {
    const { ledger, log } = this.#deps;
    const targetId = runs[0]!.target_id!;
    try {
      await this.#observe(targetId);
    } catch (error) {
      if (!(error instanceof SluiceError)) throw error;
      for (const { run_id } of runs) await this.#refuse(run_id, error);
      return;
    }
    for (const { run_id } of runs) {
      await ledger.write((tx) => startRun(tx, run_id));
      this.#failedReads.delete(run_id);
      log.info({ runId: run_id, targetId }, 'run.started');
    }
    ledger.hint('dispatch');
  }

  async #observe(targetId: string): Promise<void> {
    const target = await this.#deps.targets.get(targetId);
    const mirror = this.#deps.mirrors.of(target.url);
    const tip = await mirror.fetchTip(target.branch);
    const { policy, error } = await readPolicy(mirror, tip.commit);
    await this.#deps.ledger.write((tx) => observeTip(tx, { targetId, ...tip, policy, policyError: error }));
    if (error !== null) throw new SluiceError('policy.invalid', error);
  }

  async #refuse(runId: string, error: SluiceError): Promise<void> {
    const { ledger, log } = this.#deps;
    const failedReads = (this.#failedReads.get(runId) ?? 0) + 1;
    this.#failedReads.set(runId, failedReads);
    if (hasCode(error, 'repository.unreadable') && failedReads < MAX_READS) return;
    this.#failedReads.delete(runId);
    const detail = { message: error.message, ...error.facts };
    await ledger.write((tx) => refuseRun(tx, { runId, reason: error.code, detail }));
    log.warn({ runId, code: error.code }, 'run.refused');
  }
}
