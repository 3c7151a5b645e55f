import { expect, test } from 'vitest';
import { gateSchema, policySchema } from '../../../src/contract/policy.ts';
import {
  type GateRoom,
  gateDigest,
  gatesInForce,
  proofsFor,
  unionOfGates,
} from '../../../src/domain/gates-in-force.ts';

const room: GateRoom = { repository: '/srv/app.git', confinement: 'auto', network: false, values: {} };
const gate = (name: string, more: object = {}) => gateSchema.parse({ name, command: ['run', name], ...more });

test('a gate with paths is in force only for changes that touch one of them', () => {
  const gates = [gate('always'), gate('docs', { paths: ['docs/**'] })];
  expect(gatesInForce(gates, ['src/a.ts']).map(({ name }) => name)).toEqual(['always']);
  expect(gatesInForce(gates, ['docs/a.md']).map(({ name }) => name)).toEqual(['always', 'docs']);
});

test('extra gates of a run add to the branch’s and never replace them', () => {
  const branch = [gate('unit')];
  const weaker = { ...gate('unit'), command: ['true'] };
  expect(unionOfGates(branch, [weaker, gate('unit')])).toEqual([gate('unit'), weaker]);
});

test('the digest covers what a verdict depends on, and not the gate’s name or timeout', () => {
  const { prepare } = policySchema.parse({ prepare: [{ name: 'npm', command: ['npm', 'ci'] }] });
  const base = gateDigest(gate('a'), [], room);
  expect(gateDigest({ ...gate('a'), name: 'b', timeout_seconds: 1 }, [], room)).toBe(base);
  for (const other of [
    gateDigest({ ...gate('a'), command: ['x'] }, [], room),
    gateDigest({ ...gate('a'), env: ['X'] }, [], room),
    gateDigest(gate('a'), prepare, room),
    gateDigest(gate('a'), [], { ...room, repository: '/srv/another.git' }),
    gateDigest(gate('a'), [], { ...room, confinement: 'none' }),
    gateDigest(gate('a'), [], { ...room, network: 'everyGate' }),
    gateDigest(gate('a', { network: true }), [], { ...room, network: true }),
  ]) {
    expect(other).not.toBe(base);
  }
  const asks = { ...gate('a'), env: ['X'] };
  const inValues = (values: Record<string, string>) => gateDigest(asks, [], { ...room, values });
  expect(inValues({ X: 'hash' })).not.toBe(inValues({ X: 'another' }));
  expect(inValues({ X: 'hash' })).toBe(inValues({ X: 'hash', Y: 'of another gate' }));
});

test('a change of pinned files is proven on both trees', () => {
  const proofs = proofsFor([gate('a')], { prepare: [], room }, { landing: 'tree', pinned: 'overlaid' });
  expect(proofs.map(({ treeId, pinned }) => [treeId, pinned])).toEqual([
    ['tree', false],
    ['overlaid', true],
  ]);
});
