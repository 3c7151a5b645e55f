import { describe, expect, test } from 'vitest';
import { gateSchema } from '../../../src/contract/policy.ts';
import type { Proof } from '../../../src/domain/gates-in-force.ts';
import {
  type Candidate,
  type LandingSnapshot,
  type ProofState,
  planLanding,
} from '../../../src/domain/landing-planner.ts';

const proof = (name: string, more: Partial<Proof> & { depends_on?: string[]; advisory?: boolean } = {}): Proof => ({
  gate: gateSchema.parse({ name, command: ['true'], depends_on: more.depends_on, advisory: more.advisory }),
  digest: `digest of ${name}`,
  treeId: 'tree',
  pinned: false,
  ...more,
});
const candidate = (proofs: Proof[], more: Partial<Candidate> = {}): Candidate => ({
  patchIds: ['patch'],
  commit: 'commit',
  treeId: 'tree',
  parentTreeId: 'tip tree',
  proofs,
  ...more,
});
const unknown: ProofState = { live: false, unproven: [] };
const green: ProofState = { verdict: { passed: true, gateId: 'g' }, live: false, unproven: [] };
const red: ProofState = { verdict: { passed: false, gateId: 'g' }, live: false, unproven: [] };
const snapshot = (
  line: Candidate[],
  states: Record<string, ProofState> = {},
  more: Partial<LandingSnapshot> = {},
): LandingSnapshot => ({
  paused: false,
  line,
  conflicts: [],
  liveGates: [],
  proofState: (_tree, digest) => states[digest] ?? unknown,
  ...more,
});
const kinds = (s: LandingSnapshot) => planLanding(s).map((step) => step.kind);

test('what is not proven is proven first', () => {
  const proofs = [proof('a'), proof('b')];
  expect(planLanding(snapshot([candidate(proofs)]))).toEqual(
    proofs.map((p) => ({ kind: 'prove', candidate: candidate(proofs), proof: p })),
  );
});

test('a gate starts when those it depends on have passed, and runs once', () => {
  const proofs = [proof('a'), proof('b', { depends_on: ['a'] })];
  const proven = (states: Record<string, ProofState>) =>
    planLanding(snapshot([candidate(proofs)], states)).map((step) =>
      step.kind === 'prove' ? step.proof.gate.name : step.kind,
    );
  expect(proven({})).toEqual(['a']);
  expect(proven({ 'digest of a': { ...unknown, live: true } })).toEqual([]);
  expect(proven({ 'digest of a': green })).toEqual(['b']);
});

test('a candidate lands when every required gate is green', () => {
  const all = candidate([proof('a'), proof('b')]);
  expect(kinds(snapshot([all], { 'digest of a': green, 'digest of b': green }))).toEqual(['land']);
});

test('a paused target tests but does not land', () => {
  const one = candidate([proof('a')]);
  expect(kinds(snapshot([one], { 'digest of a': green }, { paused: true }))).toEqual([]);
  expect(kinds(snapshot([one], {}, { paused: true }))).toEqual(['prove']);
});

describe('what blocks', () => {
  test('P6: no gate in force, or advisory ones alone', () => {
    expect(planLanding(snapshot([candidate([])]))).toMatchObject([{ kind: 'block', reason: 'no_gate' }]);
    expect(planLanding(snapshot([candidate([proof('a', { advisory: true })])]))).toMatchObject([
      { kind: 'block', reason: 'no_gate' },
    ]);
  });

  test('a red gate, with its execution as evidence', () => {
    expect(planLanding(snapshot([candidate([proof('a')])], { 'digest of a': red }))).toEqual([
      { kind: 'block', patchId: 'patch', reason: 'gate_red', evidence: { gate: 'a', gate_id: 'g', pinned: false } },
    ]);
  });

  test('an advisory gate never does', () => {
    const states = { 'digest of a': green, 'digest of b': red };
    expect(kinds(snapshot([candidate([proof('a'), proof('b', { advisory: true })])], states))).toEqual(['land']);
  });

  test.each([
    ['unproven', 1],
    ['timeout', 2],
    ['tainted', 2],
    ['lost', 5],
  ] as const)('%s executions, after %i of them', (outcome, tries) => {
    const after = (times: number) =>
      kinds(
        snapshot([candidate([proof('a')])], {
          'digest of a': { live: false, unproven: Array.from({ length: times }, () => ({ gateId: 'g', outcome })) },
        }),
      );
    expect(after(tries - 1)).toEqual(['prove']);
    expect(after(tries)).toEqual(['block']);
  });
});

test('a candidate that changes nothing is superseded, not landed', () => {
  expect(planLanding(snapshot([candidate([proof('a')], { treeId: 'tip tree' })]))).toEqual([
    { kind: 'supersede', patchId: 'patch', reason: 'already_on_branch' },
  ]);
});

test('executions that nobody waits for any more are withdrawn', () => {
  const liveGates = [
    { gateId: 'wanted', treeId: 'tree', digest: 'digest of a' },
    { gateId: 'obsolete', treeId: 'old tree', digest: 'digest of a' },
  ];
  const states = { 'digest of a': { ...unknown, live: true } };
  expect(planLanding(snapshot([candidate([proof('a')])], states, { liveGates }))).toEqual([
    { kind: 'withdraw', gateId: 'obsolete' },
  ]);
});

test('conflicts are blocked while the line goes on', () => {
  const conflicts = [{ patchId: 'other', reason: 'conflict' as const, evidence: { files: ['x'] } }];
  expect(kinds(snapshot([candidate([proof('a')])], {}, { conflicts }))).toEqual(['block', 'prove']);
});
