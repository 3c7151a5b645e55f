import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  assertEdge,
  edgesFrom,
  isTerminal,
  KINDS,
  liveStates,
  statesOf,
  terminalStates,
} from '../../../src/domain/lifecycle.ts';

describe.each(KINDS)('the lifecycle of a %s', (kind) => {
  const states = statesOf(kind) as unknown as readonly never[];

  test('every edge leads to a state it knows', () => {
    for (const from of states) for (const to of edgesFrom(kind, from)) expect(states).toContain(to);
  });

  test('a random walk only takes legal edges, and every other step names both states', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...states),
        fc.array(fc.constantFrom(...states), { maxLength: 20 }),
        (start, steps) => {
          let state = start;
          for (const to of steps) {
            if (edgesFrom(kind, state).includes(to)) {
              assertEdge(kind, state, to);
              state = to;
            } else {
              expect(() => assertEdge(kind, state, to)).toThrow(
                expect.objectContaining({ code: 'state.illegal_edge' }),
              );
              expect(() => assertEdge(kind, state, to)).toThrow(new RegExp(`${state}.*${to}`));
            }
          }
        },
      ),
    );
  });

  test('states are live or terminal, never both', () => {
    expect([...liveStates(kind), ...terminalStates(kind)].toSorted()).toEqual([...statesOf(kind)].toSorted());
    for (const state of terminalStates(kind)) expect(isTerminal(kind, state)).toBe(true);
  });
});

test('nothing forces a patch onto the branch', () => {
  for (const from of statesOf('patch')) {
    for (const to of ['APPLIED', 'VERIFIED'] as const) expect(() => assertEdge('patch', from, to, true)).toThrow();
  }
});
