import { assertBegan, assertRoom, outputTail, type StopCause } from '../../children/child-outcome.ts';
import type { Confinement } from '../../children/confinement.ts';
import { childEnvironment } from '../../children/environment.ts';
import { programVersions } from '../../children/program-versions.ts';
import { hasCode } from '../../contract/errors.ts';
import { hasNetwork } from '../../domain/gates-in-force.ts';
import type { Work } from '../../domain/work.ts';
import type { Mirror } from '../../git/mirror.ts';
import { landedObjects } from '../../git/mirror-folder.ts';
import type { Mirrors } from '../../git/mirrors.ts';
import type { ClaimedGate } from '../../ledger/attempts/claims.ts';
import { claimGate } from '../../ledger/attempts/claims.ts';
import { endGate, type GateEnd } from '../../ledger/landing/gates.ts';
import type { Ledger } from '../../ledger/ledger.ts';
import type { Log } from '../../lib/log.ts';
import { machineFault } from '../../lib/machine-fault.ts';
import type { ChildResult } from '../../lib/process.ts';
import { redactDeep, redactor } from '../../lib/redact.ts';
import { rereadTree } from '../../workspaces/capture.ts';
import { checkOut, takeBack } from '../../workspaces/checkout.ts';
import type { Preparation } from '../../workspaces/prepare.ts';
import { letClockTick } from '../../workspaces/seal.ts';
import { renewChild, type Slot } from '../../workspaces/slot.ts';
import type { SlotRack } from '../../workspaces/slots.ts';
import { OutputLog } from '../support/output-log.ts';
import { persist } from '../support/persist.ts';
import type { CrashPoint, HeldWorkRegistry, OnMachineFault } from '../support/ports.ts';
import { type RebuildDeps, type RebuiltCandidate, rebuildCandidate } from './rebuild-candidate.ts';

export interface RunGateDeps extends RebuildDeps {
  ledger: Ledger;
  mirrors: Mirrors;
  slots: SlotRack;
  confinement: Confinement;
  preparation: Preparation;
  held: HeldWorkRegistry;
  environment: Readonly<Record<string, string | undefined>>;
  crashPoint: CrashPoint;
  workerId: string;
  leaseMs: number;
  onMachineFault: OnMachineFault;
  log: Log;
}

type Outcome = Pick<GateEnd, 'outcome' | 'exitCode' | 'results'>;

const TOO_MANY: StopCause = 'too_many_processes';
/** POSIX: not executable, not found. The command did not run, so nothing is proven. */
const NOT_RUN = [126, 127];

/**
 * Stage: claims a gate execution, rebuilds the candidate, runs the command on exactly that tree, records the verdict.
 */
export async function runGate(deps: RunGateDeps, work: Work): Promise<void> {
  const { ledger, held, workerId, leaseMs, log } = deps;
  const gate = await ledger.write((tx) => claimGate(tx, { ...work, workerId, leaseMs }));
  if (gate === undefined) return;
  const { gate_id: gateId, attempt } = gate;
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
    const worth = { mirror, steps: policy.prepare };
    const fromTip = await deps.preparation.isWorthMaking(worth, { tip: gate.tip_commit, commit });
    slot = await deps.slots.acquireWith(mirror, fromTip ? gate.tip_commit : commit);
    const call = { gate, mirror, slot, commit, policy, output, signal };
    if (fromTip) await prepareFromTip(deps, call);
    return { outcome: await proveInSlot(deps, call), leave };
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

interface InSlot extends RebuiltCandidate {
  gate: ClaimedGate;
  mirror: Mirror;
  slot: Slot;
  output: OutputLog;
  signal: AbortSignal;
}

/**
 * Prepares the slot at the tip, so that the results may be cached for all candidates, then checks out the candidate.
 */
async function prepareFromTip(deps: RunGateDeps, call: InSlot): Promise<void> {
  const { gate, mirror, slot, commit, policy } = call;
  const variables = (names: readonly string[]) => deps.gateVariables(gate.url, names);
  const runStep = deps.confinement.stepsIn(slot, () => childOf(deps, call), variables);
  const steps = policy.prepare;
  await deps.preparation.run({ mirror, slot, steps, commit: gate.tip_commit, landed: true, runStep });
  await takeBack(slot);
  await checkOut(mirror, slot, commit);
}

async function proveInSlot(deps: RunGateDeps, call: InSlot): Promise<Outcome> {
  const { preparation, confinement } = deps;
  const { gate, mirror, slot, signal, commit, policy } = call;
  const secrets = secretsOf(deps, gate);
  const variables = (names: readonly string[]) => deps.gateVariables(gate.url, names);
  const { prepare: steps } = policy;
  const runStep = confinement.stepsIn(slot, () => childOf(deps, call), variables);
  const prepared = await preparation.run({ mirror, slot, steps, commit, landed: false, runStep });
  if (!prepared.ok) {
    if (signal.aborted) return lost(signal);
    await assertRoom(slot.dir);
    const results = { step: prepared.step, output_tail: outputTail(prepared.result, secrets) };
    // Red, although a registry may be unreachable: more runs, and the tip's, show whether the patch is the cause.
    return { outcome: 'red', exitCode: null, results: { ...results, message: 'a prepare step failed' } };
  }
  // Read while the command runs and kept with the result, because no digest covers the versions behind `PATH`.
  const programs = programVersions(deps.environment.PATH ?? '');
  await letClockTick(slot.content?.signedAtMs);
  const common = await childOf(deps, call);
  const result = await confinement.run(slot, {
    ...common,
    env: { ...common.env, ...variables(gate.definition.env) },
    argv: gate.definition.command,
    network: hasNetwork(gate.definition, deps.repositories.gateRoom(gate.url)),
    limits: confinement.rules.gate_limits ?? {},
    timeoutMs: gate.timeout_seconds * 1_000,
  });
  assertBegan(result);
  const reread = await rereadTree(mirror, slot, commit);
  const outcome = judge(result, { changed: reread !== gate.tree_id, signal, secrets });
  if (outcome.outcome !== 'passed') await assertRoom(slot.dir);
  return { ...outcome, results: { ...outcome.results, programs: await programs } };
}

/** Returns the surroundings of one child of a gate, with new folders: it must not find what an earlier child left. */
async function childOf(
  { slots, environment }: RunGateDeps,
  {
    gate,
    mirror,
    slot,
    output,
    signal,
  }: { gate: ClaimedGate; mirror: Mirror; slot: Slot; output: OutputLog; signal: AbortSignal },
) {
  renewChild(slot);
  const env = await childEnvironment(
    slot,
    {
      runId: gate.run_id,
      taskId: gate.task_id,
      attempt: gate.attempt,
      baseCommit: gate.tip_commit,
      input: { gate: gate.definition.name, tree: gate.tree_id },
      evidence: null,
    },
    environment,
  );
  const onSpawn = (groupId: number): void => slots.noteGroup(slot, groupId);
  return { env, readable: [landedObjects(mirror.dir)], signal, onSpawn, onOutput: output.write };
}

function judge(
  result: ChildResult,
  { changed, signal, secrets }: { changed: boolean; signal: AbortSignal; secrets: readonly string[] },
): Outcome {
  const { ending, durationMs } = result;
  const results = { duration_ms: Math.round(durationMs), output_tail: outputTail(result, secrets) };
  if (ending.kind === 'aborted' && ending.cause === TOO_MANY) {
    return {
      outcome: 'red',
      exitCode: null,
      results: { ...results, message: 'the gate started more processes than its limit allows' },
    };
  }
  if (ending.kind === 'aborted') return lost(signal);
  if (ending.kind === 'timeout') return { outcome: 'timeout', exitCode: null, results };
  if (ending.kind === 'not_started') {
    return { outcome: 'unproven', exitCode: null, results: { ...results, message: ending.message } };
  }
  // A shell would report 128 and the signal, so this is red like any other end that is not 0.
  if (ending.kind === 'signalled') return { outcome: 'red', exitCode: null, results: { ...results, ...ending } };
  const { exitCode } = ending;
  if (NOT_RUN.includes(exitCode)) {
    return {
      outcome: 'unproven',
      exitCode,
      results: { ...results, message: 'the command of the gate could not be run' },
    };
  }
  if (changed)
    return { outcome: 'tainted', exitCode, results: { ...results, message: 'the gate changed tracked files' } };
  return { outcome: exitCode === 0 ? 'passed' : 'red', exitCode, results };
}

function lost(signal: AbortSignal): Outcome {
  return { outcome: 'lost', exitCode: null, results: { message: `interrupted: ${String(signal.reason)}` } };
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

function secretsOf({ gateVariables }: RunGateDeps, gate: ClaimedGate): string[] {
  return Object.values(gateVariables(gate.url)).filter((value) => value !== '');
}
