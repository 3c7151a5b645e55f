import { requiredProofs } from '../../src/domain/landing/candidate-status.ts';
import type { LandingPlan, LandingStep } from '../../src/domain/landing/planner.ts';
import type { Candidate, LandingSnapshot } from '../../src/domain/landing/snapshot.ts';

const RETRIES = 1;

/**
 * Zuul's dependent pipeline as a planner. Its window starts at 20, grows by one with each landing and is halved by each
 * failure at the head, down to 3.
 */
export function zuulPlanner(): (snapshot: LandingSnapshot) => LandingPlan {
  let window = 20;
  return (snapshot) => {
    const kept: Candidate[] = [];
    const steps: LandingStep[] = [];
    for (const { patchId } of snapshot.queue.slice(0, window)) {
      const ids = [...(kept.at(-1)?.patchIds ?? []), patchId];
      const composed = snapshot.compose(ids);
      if (composed === undefined) return planOf([], [ids]);
      if ('conflict' in composed) {
        if (kept.length === 0) steps.push({ patchId, ...composed.conflict });
        continue;
      }
      const red = requiredProofs(composed.candidate).find(({ treeId, digest }) => {
        const { passed, spoiled } = snapshot.proofState(treeId, digest);
        return !passed && spoiled.filter(({ outcome }) => outcome === 'red').length > RETRIES;
      });
      if (red === undefined) kept.push(composed.candidate);
      else if (kept.length === 0) {
        window = Math.max(3, Math.floor(window / 2));
        steps.push({ kind: 'block', patchId, reason: 'gate_red', evidence: { gate: red.gate.name } });
      }
    }
    const head = kept[0];
    if (head !== undefined && !snapshot.paused && isProven(head, snapshot)) {
      window += 1;
      steps.push({ kind: 'land', candidate: head, proofs: requiredProofs(head) });
    }
    return planOf([...steps, ...keepUnderTest(kept, snapshot)], []);
  };
}

function isProven(candidate: Candidate, snapshot: LandingSnapshot): boolean {
  return requiredProofs(candidate).every(({ treeId, digest }) => snapshot.proofState(treeId, digest).passed);
}

function keepUnderTest(kept: readonly Candidate[], snapshot: LandingSnapshot): LandingStep[] {
  const trees = kept.map(({ treeId }) => treeId);
  const obsolete = snapshot.liveGates.filter(({ treeId }) => !trees.includes(treeId));
  const open = kept.filter((candidate) => !isProven(candidate, snapshot));
  const isLive = ({ treeId }: Candidate): boolean => snapshot.liveGates.some((gate) => gate.treeId === treeId);
  const free = Math.max(0, snapshot.slots - open.filter(isLive).length);
  const fresh = open.filter((candidate) => !isLive(candidate)).slice(0, free);
  return [
    ...obsolete.map(({ gateId }): LandingStep => ({ kind: 'withdraw', gateId })),
    ...fresh.flatMap((candidate) =>
      candidate.proofs.map(
        (proof): LandingStep => ({ kind: 'prove', candidate, proof, owner: candidate.patchIds.at(-1)! }),
      ),
    ),
  ];
}

function planOf(steps: LandingStep[], missing: string[][]): LandingPlan {
  const empty = {
    accepted: [],
    suspects: [],
    refused: [],
    waiting: [],
    foreseen: [],
    unseen: [],
    splitAfter: undefined,
  };
  const line = { ...empty, missing };
  return { missing, steps, unseen: [], redTip: null, line };
}
