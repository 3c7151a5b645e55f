import type { LandingStep } from '../../domain/landing/planner.ts';
import { stopPatch } from '../../ledger/landing/stop-patches.ts';
import type { LandingScene } from './landing-round.ts';

export type StopStep = Extract<LandingStep, { kind: 'block' | 'quarantine' }>;

/** Takes a patch out of the line with its evidence; its task goes back with it where another attempt can help. */
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

/** What the gate printed is the evidence that an author, person or agent, needs. */
async function gateOutput({ deps }: LandingScene, evidence: Readonly<Record<string, unknown>>) {
  if (typeof evidence.gate_id !== 'string') return {};
  const gate = await deps.daos.gates.find(evidence.gate_id);
  return gate === undefined ? {} : { exit_code: gate.exit_code, ...gate.test_results };
}
