import type { Candidate, Conflict, LandingSnapshot, ProofState } from '../../domain/landing-planner.ts';
import { isTerminal } from '../../domain/lifecycle.ts';
import type { PatchRow } from '../../entities/patch.ts';
import type { TestGateRow } from '../../entities/test-gate.ts';
import type { CandidateLine } from './candidate-line.ts';
import type { LandingScene } from './coordinator.ts';

/** Conflicting patches are put aside until one composes; more than this many in one round wait for the next. */
const MAX_LOOKED_AT = 50;

/** Everything that the planner may know, read once. */
export async function readSnapshot(scene: LandingScene, line: CandidateLine): Promise<LandingSnapshot> {
  const { deps, target } = scene;
  const queue = await deps.daos.patches.findQueue(target.target_id, MAX_LOOKED_AT);
  const { candidate, conflicts, head } = await firstCandidate(scene, line, queue);
  const treeIds = [...new Set(candidate?.proofs.map(({ treeId }) => treeId))];
  const [verdicts, executions, live] = await Promise.all([
    deps.daos.verdicts.findByTrees(treeIds),
    deps.daos.gates.findByTrees(treeIds),
    deps.daos.gates.findLive(target.target_id),
  ]);
  const proofState = (treeId: string, digest: string): ProofState => {
    const verdict = verdicts.find((known) => known.tree_id === treeId && known.digest === digest);
    const of = executions.filter((gate) => gate.tree_id === treeId && gate.digest === digest);
    // A red verdict from before the patch was staged (again) blames it for nothing: the gate is asked anew.
    const counts = verdict !== undefined && (verdict.passed || isSince(verdict.updated_at, head));
    return {
      verdict: counts ? { passed: verdict.passed, gateId: verdict.gate_id } : undefined,
      live: of.some((gate) => !isTerminal('gate', gate.state)),
      unproven: of.filter((gate) => isSince(gate.created_at, head)).flatMap(unprovenExecution),
    };
  };
  return {
    paused: target.paused_at !== null,
    line: candidate === undefined ? [] : [candidate],
    conflicts,
    proofState,
    liveGates: live.map((gate) => ({ gateId: gate.gate_id, treeId: gate.tree_id!, digest: gate.digest! })),
  };
}

async function firstCandidate(
  scene: LandingScene,
  line: CandidateLine,
  queue: readonly PatchRow[],
): Promise<{ candidate?: Candidate; head?: PatchRow; conflicts: Conflict[] }> {
  const conflicts: Conflict[] = [];
  for (const patch of queue) {
    const run = await scene.deps.daos.runs.get(patch.run_id!);
    const onTip = await line.onTip(scene, patch, run.extra_gates);
    if ('candidate' in onTip) return { candidate: onTip.candidate, head: patch, conflicts };
    conflicts.push(onTip.conflict);
  }
  return { conflicts };
}

function isSince(instant: Date, patch: PatchRow | undefined): boolean {
  return patch?.staged_at == null || instant >= patch.staged_at;
}

function unprovenExecution(gate: TestGateRow): ProofState['unproven'][number][] {
  const { outcome, gate_id: gateId } = gate;
  return outcome == null || outcome === 'red' ? [] : [{ gateId, outcome }];
}
