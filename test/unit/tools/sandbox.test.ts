import { expect, test } from 'vitest';
import { confine, hiddenPrograms } from '../../../src/tools/sandbox.ts';

const places = { work: '/', writable: [], hidden: [], programs: [], readable: [] };
const searchPath = process.env.PATH!;

test('a tool that asks for nothing runs as it is', async () => {
  const argv = ['tool', 'a b', '$(c)'];
  expect(await confine(argv, { sandbox: undefined, limits: {}, places, searchPath })).toEqual(argv);
  // Counted from outside, not by the kernel.
  expect(await confine(argv, { sandbox: undefined, limits: { processes: 3 }, places, searchPath })).toEqual(argv);
});

test('programs of a hidden folder may be read with their libraries, and nothing else of it', () => {
  const path = '/hidden/.nvm/v24/bin:/usr/bin:relative:/hidden/tools';
  expect(hiddenPrograms(path, ['/hidden'])).toEqual(['/hidden/.nvm/v24/bin', '/hidden/.nvm/v24/lib', '/hidden/tools']);
  expect(hiddenPrograms('/hidden/bin', ['/hidden'])).toEqual(['/hidden/bin', '/hidden/lib']);
  expect(hiddenPrograms(path, [])).toEqual([]);
});
