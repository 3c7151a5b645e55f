import type { LandingStep } from '../../domain/landing/planner.ts';
import { requestGate, withdrawGates } from '../../ledger/landing/gates.ts';
import { concludeUnlanded, supersedeLandedElsewhere } from '../../ledger/landing/stop-patches.ts';
import { newId } from '../../lib/id.ts';
import { land } from './land.ts';
import type { LandingScene } from './landing-round.ts';
import { stopPatchOf } from './stop-patch.ts';

type Step<K extends LandingStep['kind']> = Extract<LandingStep, { kind: K }>;

/** Carries out a plan, each step by compare-and-set. True when the next plan may differ. */
export async function carryOut(scene: LandingScene, steps: readonly LandingStep[]): Promise<boolean> {
  let moved = false;
  // Gates first, because slots stay idle until their gates are requested.
  await withdraw(scene, ofKind(steps, 'withdraw'));
  await prove(scene, ofKind(steps, 'prove'));
  for (const step of steps) moved = (await carryOutOne(scene, step)) || moved;
  return moved;
}

async function carryOutOne(scene: LandingScene, step: LandingStep): Promise<boolean> {
  const { deps, lease, tip } = scene;
  switch (step.kind) {
    case 'block':
    case 'quarantine':
      await stopPatchOf(scene, step);
      return true;
    case 'supersede':
      await deps.ledger.write((tx) => supersedeLandedElsewhere(tx, lease, { patchId: step.patchId, tip: tip.commit }));
      return true;
    case 'conclude':
      await deps.ledger.write((tx) => concludeUnlanded(tx, lease, { patchId: step.patchId, tip: tip.commit }));
      return true;
    case 'land':
      return land(scene, step);
    case 'prove':
    case 'withdraw':
      return false;
    default:
      return step satisfies never;
  }
}

async function prove({ deps, lease, target, tip }: LandingScene, steps: readonly Step<'prove'>[]): Promise<void> {
  if (steps.length === 0) return;
  await deps.ledger.write(async (tx) => {
    for (const { candidate, proof, owner } of steps) {
      await requestGate(tx, lease, {
        gate_id: newId('gate'),
        target_id: target.target_id,
        definition: proof.gate,
        digest: proof.digest,
        tree_id: proof.treeId,
        tip_commit: tip.commit,
        patch_ids: candidate.patchIds,
        pinned: proof.pinned,
        owner,
      });
    }
  });
}

async function withdraw({ deps, lease }: LandingScene, steps: readonly Step<'withdraw'>[]): Promise<void> {
  if (steps.length === 0) return;
  const gateIds = steps.map(({ gateId }) => gateId);
  await deps.ledger.write((tx) => withdrawGates(tx, lease, gateIds));
}

function ofKind<K extends LandingStep['kind']>(steps: readonly LandingStep[], kind: K): Step<K>[] {
  return steps.filter((step): step is Step<K> => step.kind === kind);
}
