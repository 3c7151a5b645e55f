import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { pythonActions, pythonModels } from '../../../scripts/python-client.ts';
import { allActions } from '../../../src/contract/actions.ts';

test('only cancelling is open to those that may submit; the API checks whose it is', () => {
  const submit = allActions().filter(({ action }) => action.scope === 'submit');
  expect(submit.map(({ collection, name }) => `${collection}.${name}`)).toEqual(['runs.cancel', 'tasks.cancel']);
});

test('a description says in whole sentences what the action does', () => {
  for (const { name, action } of allActions()) expect(action.description, name).toMatch(/^[A-Z][^.]*\w.*\.$/);
});

test('the Python client has the objects and actions of the contract', () => {
  const made = (name: string) =>
    readFileSync(new URL(`../../../clients/python/sluice_client/${name}.py`, import.meta.url), 'utf8');
  expect([made('models'), made('actions')]).toEqual([pythonModels(), pythonActions()]);
});
