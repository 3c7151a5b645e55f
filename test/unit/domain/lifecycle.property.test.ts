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

  test('every edge leads to a known state', () => {
    for (const from of states) for (const to of edgesFrom(kind, from)) expect(states).toContain(to);
  });

  test('a random walk takes legal edges only, and any other step is an error that names both states', () => {
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

test('no forced edge leads a patch to APPLIED or VERIFIED', () => {
  for (const from of statesOf('patch')) {
    for (const to of ['APPLIED', 'VERIFIED'] as const) expect(() => assertEdge('patch', from, to, true)).toThrow();
  }
});
