import { hasCode } from '../../contract/errors.ts';
import type { Work } from '../../domain/work.ts';
import type { Mirrors } from '../../git/mirrors.ts';
import type { ClaimedGate } from '../../ledger/attempts/claims.ts';
import { claimGate } from '../../ledger/attempts/claims.ts';
import { endGate } from '../../ledger/landing/gates.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { Log } from '../../lib/log.ts';
import { machineFault } from '../../lib/machine-fault.ts';
import { meters, stopwatch } from '../../lib/meters.ts';
import { redactDeep, redactor } from '../../lib/redact.ts';
import type { Slot } from '../../workspaces/slot.ts';
import { OutputLog } from '../support/output-log.ts';
import { persist } from '../support/persist.ts';
import type { CrashPoint, HeldWorkRegistry, OnMachineFault } from '../support/ports.ts';
import { lost, type Outcome, type ProveDeps, proveTree, secretsOf } from './prove-tree.ts';
import { type RebuildDeps, rebuildCandidate } from './rebuild-candidate.ts';

export interface RunGateDeps extends RebuildDeps, Omit<ProveDeps, keyof RebuildDeps> {
  ledger: Ledger;
  mirrors: Mirrors;
  held: HeldWorkRegistry;
  crashPoint: CrashPoint;
  workerId: string;
  leaseMs: number;
  onMachineFault: OnMachineFault;
  log: Log;
}

/**
 * Stage: claims a gate execution, rebuilds the candidate, runs the command on exactly that tree, records the verdict.
 */
export async function runGate(deps: RunGateDeps, work: Work): Promise<void> {
  const { ledger, held, workerId, leaseMs, log } = deps;
  const gate = await ledger.write((tx) => claimGate(tx, { ...work, workerId, leaseMs }));
  if (gate === undefined) return;
  const { gate_id: gateId, attempt } = gate;
  const ended = stopwatch(meters.gateSeconds);
  await deps.crashPoint('gate-claimed');
  const signal = held.begin(gateId, attempt);
  let leave = async (): Promise<void> => {};
  try {
    const proven = await prove(deps, gate, signal);
    leave = proven.leave;
    await deps.crashPoint('gate-judged');
    const outcome = redactDeep(proven.outcome, redactor(secretsOf(deps, gate)));
    const accepted = await persist(
      () => ledger.write((tx) => endGate(tx, { gateId, workerId, attempt, ...outcome }, deps.seal)),
      signal,
    );
    ended({ outcome: outcome.outcome ?? 'passed' });
    log.info({ gateId, attempt, outcome: outcome.outcome, accepted }, 'gate.ended');
  } finally {
    // The slot is emptied after the verdict is written, so that landing need not wait for the clean-up.
    await leave();
    held.end(gateId, attempt);
  }
}

async function prove(
  deps: RunGateDeps,
  gate: ClaimedGate,
  signal: AbortSignal,
): Promise<{ outcome: Outcome; leave: () => Promise<void> }> {
  const output = outputOf(deps, gate);
  let slot: Slot | undefined;
  const leave = async (): Promise<void> => {
    if (slot !== undefined) await deps.slots.release(slot);
  };
  try {
    const mirror = deps.mirrors.of(gate.url);
    const { commit, policy } = await rebuildCandidate(deps, mirror, gate);
    await deps.crashPoint('gate-checked-out');
    const take = (taken: Slot): void => {
      slot = taken;
    };
    return { outcome: await proveTree(deps, { gate, mirror, commit, policy, output, signal }, take), leave };
  } catch (error) {
    if (signal.aborted) return { outcome: lost(signal), leave };
    // A fault of this host (disk, git, an unreachable remote) says nothing about the patch: the run is lost, and
    // repeated. A candidate that comes out differently here must not be judged on another tree: it is unproven.
    const mismatch = hasCode(error, 'candidate.mismatch') || isUncheckable(error);
    const machine = machineFault(error);
    if (machine !== undefined) deps.onMachineFault(machine);
    deps.log.error({ err: error, gateId: gate.gate_id }, 'gate.fault');
    if (machine === undefined && hasCode(error, 'git.failed')) await deps.mirrors.of(gate.url).mend();
    const results = { message: (error as Error).message };
    return { outcome: { outcome: mismatch ? 'unproven' : 'lost', exitCode: null, results }, leave };
  } finally {
    await output.end();
  }
}

/** True when the file system refuses a file of the candidate. No other worker or run could check it out. */
function isUncheckable(error: unknown): boolean {
  return (
    hasCode(error, 'git.failed') &&
    /^git (checkout-index|read-tree): .*(File name too long|Invalid argument|Illegal byte sequence|invalid path)/s.test(
      error.message,
    )
  );
}

function outputOf(deps: RunGateDeps, gate: ClaimedGate): OutputLog {
  return new OutputLog({
    ledger: deps.ledger,
    taskId: gate.task_id,
    gateId: gate.gate_id,
    attempt: gate.attempt,
    workerId: deps.workerId,
    secrets: secretsOf(deps, gate),
  });
}
