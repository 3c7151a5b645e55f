import type { Database, Reader, Tx } from '../database/database.ts';
import { codedDatabaseError } from '../database/faults.ts';
import type { SendWakeUp } from '../database/wake-ups.ts';
import type { WakeUp } from '../domain/wake-up.ts';
import { GroupCommit } from '../lib/group-commit.ts';
import { meters } from '../lib/meters.ts';
import { type AttemptEnd, endAttempts } from './attempts/attempts.ts';
import { type Claim, type ClaimedTask, claimTasks } from './attempts/claims.ts';
import { appendLogs, type NewLogChunk } from './attempts/logs.ts';

/** Callers that share a statement: its locks must not last long, and larger batches save little more. */
const MAX_BATCH = 200;

/**
 * The only writer of state. Wake-ups go out after the commit. The hot paths (claim, end of an attempt, logs) share
 * statements between concurrent callers.
 */
export class Ledger {
  readonly #database: Database;
  readonly #send: SendWakeUp;
  readonly #claims: GroupCommit<Claim, ClaimedTask | undefined>;
  readonly #ends: GroupCommit<AttemptEnd, boolean>;
  readonly #logs: GroupCommit<NewLogChunk[], undefined>;

  constructor(database: Database, send: SendWakeUp) {
    this.#database = database;
    this.#send = send;
    this.#claims = new GroupCommit({
      keyOf: ({ id }) => id,
      commit: (claims) => this.write((tx) => claimTasks(tx, claims)),
      maxBatch: MAX_BATCH,
    });
    this.#ends = new GroupCommit({
      keyOf: ({ taskId }) => taskId,
      commit: (ends) => this.write((tx) => endAttempts(tx, ends)),
      maxBatch: MAX_BATCH,
    });
    this.#logs = new GroupCommit({
      commit: async (chunks) => {
        await this.write((tx) => appendLogs(tx, chunks.flat()));
        return chunks.map(() => undefined);
      },
      maxBatch: MAX_BATCH,
    });
  }

  /** Runs `work` in one transaction and sends its wake-ups after the commit. Errors of the driver come out coded. */
  async write<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    let effects = new CommitEffects();
    const result = await coded(
      this.#database.transaction((transaction) => {
        effects = new CommitEffects();
        return work(effects.txOn(transaction));
      }),
    );
    effects.apply(this.#send);
    return result;
  }

  /**
   * Runs statements that each commit by themselves, for work that may stop after any of them: it saves the begin and the
   * commit around them. Wake-ups go out at the end, also after a failure, because what came before it stands.
   */
  async apart<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    const effects = new CommitEffects();
    try {
      return await coded(work(effects.txOn(this.#database)));
    } finally {
      effects.apply(this.#send);
    }
  }

  claimTask(claim: Claim): Promise<ClaimedTask | undefined> {
    return this.#claims.submit(claim);
  }

  /** Returns false when the fence refused it, because the attempt belongs to another worker by now. */
  endAttempt(end: AttemptEnd): Promise<boolean> {
    return this.#ends.submit(end);
  }

  appendLogs(chunks: NewLogChunk[]): Promise<undefined> {
    return this.#logs.submit(chunks);
  }
}

/** Wake-ups to send and transitions to count once a transaction is committed. */
class CommitEffects {
  readonly #wakeUps = new Set<WakeUp>();
  readonly #moves: { kind: string; to: string; count: number }[] = [];

  txOn(reader: Reader): Tx {
    return {
      query: (statement) => reader.query(statement),
      wake: (...names) => {
        for (const name of names) this.#wakeUps.add(name);
      },
      moved: (kind, to, count) => this.#moves.push({ kind, to, count }),
    };
  }

  apply(send: SendWakeUp): void {
    for (const wakeUp of this.#wakeUps) send(wakeUp);
    for (const { kind, to, count } of this.#moves) meters.transitions.inc({ kind, to }, count);
  }
}

async function coded<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw codedDatabaseError(error);
  }
}
