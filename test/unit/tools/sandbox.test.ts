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
  const path = '/root/.nvm/v24/bin:/usr/bin:relative:/root/tools';
  expect(hiddenPrograms(path, ['/root'])).toEqual(['/root/.nvm/v24/bin', '/root/.nvm/v24/lib', '/root/tools']);
  expect(hiddenPrograms('/root/bin', ['/root'])).toEqual(['/root/bin', '/root/lib']);
  expect(hiddenPrograms(path, [])).toEqual([]);
});
