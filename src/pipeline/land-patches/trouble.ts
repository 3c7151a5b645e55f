import { SluiceError } from '../../contract/errors.ts';
import type { TargetFault, TargetRow } from '../../entities/target.ts';
import { clearTargetFault, noteTargetFault } from '../../ledger/landing/targets.ts';
import { assertLease, type HeldLease } from '../../ledger/leases.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import { machineFault } from '../../lib/machine-fault.ts';

const MAX_MESSAGE_CHARS = 2_000;

/** Records on a target why its coordinator cannot work, until a round succeeds. */
export class TargetTrouble {
  readonly #ledger: Ledger;
  readonly #targetId: string;

  constructor({ ledger }: { ledger: Ledger }, targetId: string) {
    this.#ledger = ledger;
    this.#targetId = targetId;
  }

  /**
   * Skips faults of the ledger and of this host, which are not the target's. Never throws, because the fault itself
   * must reach the caller.
   */
  async record(lease: HeldLease, { fault: known }: TargetRow, error: unknown): Promise<void> {
    if (!(error instanceof SluiceError) || machineFault(error) !== undefined || NOT_THE_TARGETS.includes(error.code))
      return;
    const fault: TargetFault = { code: error.code, message: error.message.slice(0, MAX_MESSAGE_CHARS) };
    if (known?.code === fault.code && known.message === fault.message) return;
    await this.#ledger
      .write(async (tx) => {
        await assertLease(tx, lease);
        await noteTargetFault(tx, this.#targetId, fault);
      })
      .catch(() => {});
  }

  async clear(lease: HeldLease, { fault }: TargetRow): Promise<void> {
    if (fault === null || fault === undefined) return;
    await this.#ledger.write(async (tx) => {
      await assertLease(tx, lease);
      await clearTargetFault(tx, this.#targetId);
    });
  }
}

const NOT_THE_TARGETS: readonly string[] = ['lease.lost', 'database.unreachable', 'queue.unreachable'];
