import type { Database, Tx } from '../database/database.ts';
import { codedDatabaseError } from '../database/faults.ts';
import type { SendHint } from '../database/hints.ts';
import { GroupCommit } from '../lib/group-commit.ts';
import { type AttemptEnd, endAttempts } from './attempts/attempts.ts';
import { type Claim, type ClaimedTask, claimTasks } from './attempts/claims.ts';
import { appendLogs, type NewLogChunk } from './attempts/logs.ts';

const MAX_BATCH = 100;

/**
 * The only writer of state. Each call is one transaction; hints go out after its commit. The hot paths (claim, end of an
 * attempt, logs) share transactions between concurrent callers.
 */
export class Ledger {
  readonly hint: SendHint;
  readonly #database: Database;
  readonly #claims: GroupCommit<Claim, ClaimedTask | undefined>;
  readonly #ends: GroupCommit<AttemptEnd, boolean>;
  readonly #logs: GroupCommit<NewLogChunk[], undefined>;

  constructor(database: Database, hint: SendHint) {
    this.#database = database;
    this.hint = hint;
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

  /** All or nothing; driver errors come out coded. */
  async write<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    try {
      return await this.#database.transaction(work);
    } catch (error) {
      throw codedDatabaseError(error);
    }
  }

  claimTask(claim: Claim): Promise<ClaimedTask | undefined> {
    return this.#claims.submit(claim);
  }

  /** False when the fence refused it: the attempt is somebody else's now. */
  async endAttempt(end: AttemptEnd): Promise<boolean> {
    const accepted = await this.#ends.submit(end);
    this.hint('roll-up');
    this.hint('dispatch');
    if (end.ending.kind === 'patch') this.hint('landing');
    return accepted;
  }

  appendLogs(chunks: NewLogChunk[]): Promise<undefined> {
    return this.#logs.submit(chunks);
  }
}
