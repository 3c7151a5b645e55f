import { expect, test } from 'vitest';
import { runGuarded } from '../../../src/tools/breaker-guard.ts';

const act = (fact: 'success' | 'fault' | 'neutral') => async () => ({ fact, note: 'value' });

test.each(['success', 'fault', 'neutral'] as const)(
  'a closed guard runs the action and returns the value of a %s',
  async (fact) => {
    expect(await runGuarded('CLOSED', act(fact))).toEqual({ kind: 'ran', value: { fact, note: 'value' } });
  },
);

test('an open guard refuses without running the action', async () => {
  let ran = false;
  const action = async () => {
    ran = true;
    return { fact: 'success' as const };
  };
  expect(await runGuarded('OPEN', action)).toEqual({ kind: 'refused' });
  expect(ran).toBe(false);
});

test('a half-open guard runs the probe', async () => {
  expect(await runGuarded('HALF_OPEN', act('fault'))).toMatchObject({ kind: 'ran' });
});

test('an unexpected error is rethrown', async () => {
  await expect(
    runGuarded('CLOSED', async () => {
      throw new Error('disk full');
    }),
  ).rejects.toThrow('disk full');
});
