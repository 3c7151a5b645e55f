import { expect, test } from 'vitest';
import { runGuarded } from '../../../src/tools/breaker-guard.ts';

const act = (fact: 'success' | 'fault' | 'neutral') => async () => ({ fact, note: 'value' });

test.each(['success', 'fault', 'neutral'] as const)(
  'a closed guard lets through, and the value of a %s comes back',
  async (fact) => {
    expect(await runGuarded('CLOSED', act(fact))).toEqual({ kind: 'ran', value: { fact, note: 'value' } });
  },
);

test('an open guard refuses without running anything', async () => {
  let ran = false;
  const action = async () => {
    ran = true;
    return { fact: 'success' as const };
  };
  expect(await runGuarded('OPEN', action)).toEqual({ kind: 'refused' });
  expect(ran).toBe(false);
});

test('a half-open guard lets the probe through', async () => {
  expect(await runGuarded('HALF_OPEN', act('fault'))).toMatchObject({ kind: 'ran' });
});

test('a surprise is not a fact: it is thrown on', async () => {
  await expect(
    runGuarded('CLOSED', async () => {
      throw new Error('disk full');
    }),
  ).rejects.toThrow('disk full');
});
