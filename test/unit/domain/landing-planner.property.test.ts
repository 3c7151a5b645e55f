import fc from 'fast-check';
import { expect, test } from 'vitest';
import { gateSchema } from '../../../src/contract/policy.ts';
import { type Candidate, type ProofState, planLanding } from '../../../src/domain/landing-planner.ts';

const state = fc.record({
  passed: fc.option(fc.boolean(), { nil: undefined }),
  live: fc.boolean(),
  outcomes: fc.array(fc.constantFrom('timeout', 'lost', 'unproven', 'tainted', 'withdrawn'), { maxLength: 3 }),
});
const proofs = fc.uniqueArray(
  fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd'), advisory: fc.boolean(), pinned: fc.boolean(), state }),
  { selector: ({ name, pinned }) => `${name} ${pinned}`, maxLength: 6 },
);

test('P3: whatever is known, a candidate lands only when every required (tree, digest) has a green verdict', () => {
  fc.assert(
    fc.property(proofs, fc.boolean(), (given, paused) => {
      const states = new Map<string, ProofState>();
      const candidate: Candidate = {
        patchIds: ['p'],
        commit: 'c',
        treeId: 'tree',
        parentTreeId: 'tip',
        proofs: given.map(({ name, advisory, pinned, state: known }) => {
          const treeId = pinned ? 'pinned tree' : 'tree';
          states.set(`${treeId} ${name}`, {
            verdict: known.passed === undefined ? undefined : { passed: known.passed, gateId: 'g' },
            live: known.live,
            unproven: known.outcomes.map((outcome) => ({ gateId: 'g', outcome })),
          });
          return { gate: gateSchema.parse({ name, command: ['true'], advisory }), digest: name, treeId, pinned };
        }),
      };
      const steps = planLanding({
        paused,
        line: [candidate],
        conflicts: [],
        liveGates: [],
        proofState: (tree, digest) => states.get(`${tree} ${digest}`)!,
      });
      const required = candidate.proofs.filter(({ gate }) => !gate.advisory);
      const proven =
        required.length > 0 && required.every((p) => states.get(`${p.treeId} ${p.digest}`)?.verdict?.passed === true);
      const lands = steps.some(({ kind }) => kind === 'land');
      expect(lands).toBe(proven && !paused);
      // Nothing known is asked again, and nothing runs twice at once.
      for (const step of steps) {
        if (step.kind !== 'prove') continue;
        const known = states.get(`${step.proof.treeId} ${step.proof.digest}`)!;
        expect(known.live || known.verdict !== undefined).toBe(false);
      }
    }),
    { numRuns: 500 },
  );
});
