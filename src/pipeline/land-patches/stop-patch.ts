import type { LandingStep } from '../../domain/landing/planner.ts';
import { stopPatch } from '../../ledger/landing/stop-patches.ts';
import type { LandingScene } from './landing-round.ts';

export type StopStep = Extract<LandingStep, { kind: 'block' | 'quarantine' }>;

/** Takes a patch out of the landing queue and records its evidence. Its task is retried if another attempt can help. */
export async function stopPatchOf(scene: LandingScene, step: StopStep): Promise<void> {
  const { deps, lease } = scene;
  const { patchId, reason } = step;
  const patch = await deps.daos.patches.get(patchId);
  const task = await deps.daos.tasks.get(patch.task_id);
  const evidence = { ...step.evidence, ...(await gateOutput(scene, step.evidence)) };
  const to = step.kind === 'block' ? 'BLOCKED' : 'QUARANTINED';
  const stopped = { patchId, to, reason, evidence, mayRetry: task.tool !== 'patch' } as const;
  await deps.ledger.write((tx) => stopPatch(tx, lease, stopped));
  deps.log.info({ patchId, reason }, step.kind === 'block' ? 'patch.blocked' : 'patch.quarantined');
}

/** Returns the gate's output: the evidence that the author, a person or an agent, needs. */
async function gateOutput({ deps }: LandingScene, evidence: Readonly<Record<string, unknown>>) {
  if (typeof evidence.gate_id !== 'string') return {};
  const gate = await deps.daos.gates.find(evidence.gate_id);
  return gate === undefined ? {} : { exit_code: gate.exit_code, ...gate.test_results };
}
