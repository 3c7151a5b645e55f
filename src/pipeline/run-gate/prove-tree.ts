import { assertBegan, assertRoom, outputTail, type StopCause } from '../../children/child-outcome.ts';
import type { ChildSurroundings, Confinement } from '../../children/confinement.ts';
import { childEnvironment } from '../../children/environment.ts';
import { programVersions } from '../../children/program-versions.ts';
import { hasNetwork } from '../../domain/gates-in-force.ts';
import type { Mirror } from '../../git/mirror.ts';
import { landedObjects } from '../../git/mirror-folder.ts';
import type { ClaimedGate } from '../../ledger/attempts/claims.ts';
import type { GateEnd } from '../../ledger/landing/gates.ts';
import type { ChildResult } from '../../lib/process.ts';
import { rereadTree } from '../../workspaces/capture.ts';
import { checkOut, takeBack } from '../../workspaces/checkout.ts';
import type { Preparation } from '../../workspaces/prepare.ts';
import { letClockTick } from '../../workspaces/seal.ts';
import { renewChild, type Slot } from '../../workspaces/slot.ts';
import type { SlotRack } from '../../workspaces/slots.ts';
import type { GateVariables, RepositoryBook } from '../support/ports.ts';
import type { RebuiltCandidate } from './rebuild-candidate.ts';

export interface ProveDeps {
  slots: SlotRack;
  confinement: Confinement;
  preparation: Preparation;
  environment: Readonly<Record<string, string | undefined>>;
  repositories: Pick<RepositoryBook, 'gateRoom'>;
  gateVariables: GateVariables;
}

/** A gate to run on one tree. `tip_commit` is the commit of the branch that the tree builds on. */
export type GateToProve = Pick<
  ClaimedGate,
  'run_id' | 'task_id' | 'attempt' | 'url' | 'tip_commit' | 'tree_id' | 'definition' | 'timeout_seconds'
>;

/** Result of a command on a tree; `results` is evidence for people. */
export type Outcome = Pick<GateEnd, 'outcome' | 'exitCode' | 'results'>;

const TOO_MANY: StopCause = 'too_many_processes';
/** POSIX: not executable, not found. The command did not run, so nothing is proven. */
const NOT_RUN = [126, 127];

interface InSlot extends RebuiltCandidate {
  gate: GateToProve;
  mirror: Mirror;
  slot: Slot;
  output: { write: NonNullable<ChildSurroundings['onOutput']> };
  signal: AbortSignal;
}

/**
 * Checks the tree out in a slot and judges it there. `onSlot` gets the slot, which the caller releases. Throws what is a
 * fault of this host or of git, and says nothing about the tree.
 */
export async function proveTree(
  deps: ProveDeps,
  call: Omit<InSlot, 'slot'>,
  onSlot: (slot: Slot) => void,
): Promise<Outcome> {
  const { gate, mirror, commit, policy } = call;
  const worth = { mirror, steps: policy.prepare };
  const fromTip = await deps.preparation.isWorthMaking(worth, { tip: gate.tip_commit, commit });
  const slot = await deps.slots.acquireWith(mirror, fromTip ? gate.tip_commit : commit);
  onSlot(slot);
  if (fromTip) await prepareFromTip(deps, { ...call, slot });
  return proveInSlot(deps, { ...call, slot });
}

/**
 * Prepares the slot at the tip, so that the results may be cached for all candidates, then checks out the candidate.
 */
async function prepareFromTip(deps: ProveDeps, call: InSlot): Promise<void> {
  const { gate, mirror, slot, commit, policy } = call;
  const variables = (names: readonly string[]) => deps.gateVariables(gate.url, names);
  const runStep = deps.confinement.stepsIn(slot, () => childOf(deps, call), variables);
  const steps = policy.prepare;
  await deps.preparation.run({ mirror, slot, steps, commit: gate.tip_commit, landed: true, runStep });
  await takeBack(slot);
  await checkOut(mirror, slot, commit);
}

/** Runs the `prepare` steps and the command of the gate, and judges the result and the tree that it leaves. */
async function proveInSlot(deps: ProveDeps, call: InSlot): Promise<Outcome> {
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
async function childOf({ slots, environment }: ProveDeps, { gate, mirror, slot, output, signal }: InSlot) {
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

/** The result of a run that says nothing about the patch. */
export function lost(signal: AbortSignal): Outcome {
  return { outcome: 'lost', exitCode: null, results: { message: `interrupted: ${String(signal.reason)}` } };
}

/** Values that must not be stored. */
export function secretsOf(
  { gateVariables }: Pick<ProveDeps, 'gateVariables'>,
  gate: Pick<GateToProve, 'url'>,
): string[] {
  return Object.values(gateVariables(gate.url)).filter((value) => value !== '');
}
