import { expect, test } from 'vitest';
import { confine, readablePrograms } from '../../../src/tools/sandbox.ts';

const places = { work: '/', writable: [], hidden: [], readable: [] };
const searchPath = process.env.PATH!;

test('a tool that asks for nothing runs as it is', async () => {
  const argv = ['tool', 'a b', '$(c)'];
  expect(await confine(argv, { sandbox: undefined, limits: {}, places, searchPath })).toEqual(argv);
  // Counted from outside, not by the kernel.
  expect(await confine(argv, { sandbox: undefined, limits: { processes: 3 }, places, searchPath })).toEqual(argv);
});

test('programs of a hidden folder may be read with what they belong to, others are visible anyway', () => {
  const path = '/root/.nvm/v24/bin:/usr/bin:relative:/root/tools';
  expect(readablePrograms(path, ['/root'])).toEqual(['/root/.nvm/v24', '/root/tools']);
  expect(readablePrograms(path, [])).toEqual([]);
});
