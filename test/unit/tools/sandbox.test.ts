import { expect, test } from 'vitest';
import { confine, endingInside, hiddenPrograms } from '../../../src/tools/sandbox.ts';

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

test('how a program ended is told through what stood around it', () => {
  const bubblewrap = { kind: 'bubblewrap', network: true } as const;
  const inside = (exitCode: number, words = '', around: { sandbox?: undefined; declared?: number[] } = {}) =>
    endingInside(
      { ending: { kind: 'exited', exitCode }, stderr: Buffer.from(words) },
      { sandbox: bubblewrap, declared: [75], ...around },
    );
  expect(inside(139)).toEqual({ kind: 'signalled', signal: 'SIGSEGV' });
  expect(inside(134)).toEqual({ kind: 'signalled', signal: 'SIGABRT' });
  expect(inside(137, '', { declared: [137] })).toEqual({ kind: 'exited', exitCode: 137 });
  expect(inside(137, '', { sandbox: undefined })).toEqual({ kind: 'exited', exitCode: 137 });
  expect(inside(1)).toEqual({ kind: 'exited', exitCode: 1 });
  const absent = inside(1, 'bwrap: execvp nosuch: No such file or directory\n');
  expect(absent).toMatchObject({ kind: 'not_started', code: 'ENOENT' });
  const forbidden = 'prlimit: failed to execute x: Permission denied\n';
  expect(inside(126, forbidden, { sandbox: undefined })).toMatchObject({ code: 'EACCES' });
  expect(inside(1, 'bwrap: execvp nosuch: said the tool\nand went on\n')).toEqual({ kind: 'exited', exitCode: 1 });
});
