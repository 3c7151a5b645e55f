import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { endingInside, limitsArgv } from '../../../src/children/sandbox.ts';
import { visiblePlaces } from '../../../src/children/visible-places.ts';

const searchPath = process.env.PATH!;

test('memory and file size limits are set by prlimit before the command; the limit of processes is not', async () => {
  expect(await limitsArgv({}, searchPath)).toEqual([]);
  expect(await limitsArgv({ processes: 3 }, searchPath)).toEqual([]);
  const limited = await limitsArgv({ memory_bytes: 1_048_576, file_size_bytes: 4_096 }, searchPath);
  expect(limited.slice(1)).toEqual(['--data=1048576:1048576', '--fsize=4096:4096', '--']);
  await expect(limitsArgv({ memory_bytes: 1_048_576 }, '/nowhere')).rejects.toMatchObject({
    code: 'sandbox.unavailable',
  });
});

describe('what children may see', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp('/var/tmp/sluice-test-places-');
    for (const folder of [
      'home/.nvm/v24/bin',
      'home/.nvm/v24/lib',
      'home/.local/bin',
      'home/.local/share/agent/versions',
      'home/.pyenv/shims',
      'app/node_modules/.bin',
      'app/node_modules/tool',
      'tools/.sluice',
    ]) {
      await mkdir(join(root, folder), { recursive: true });
    }
    await writeFile(join(root, 'home/.local/share/agent/versions/2.0'), '');
    await writeFile(join(root, 'home/secret.key'), '');
    await writeFile(join(root, 'tools/key.pem'), '');
    await symlink('../share/agent/versions/2.0', join(root, 'home/.local/bin/agent'));
    await symlink('../tool/main.js', join(root, 'app/node_modules/.bin/tool'));
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  const own = (search: string[], more: { readable?: string[]; hidden?: string[] } = {}) => {
    const places = visiblePlaces({
      searchPath: search.map((path) => (path.startsWith('/') ? path : join(root, path))).join(':'),
      readable: (more.readable ?? []).map((path) => join(root, path)),
      hidden: (more.hidden ?? []).map((path) => join(root, path)),
    });
    const below = (path: string) => path.startsWith(`${root}/`);
    const short = (path: string) => path.slice(root.length + 1);
    return {
      readable: places.readable.filter(below).map(short).toSorted(),
      hidden: places.hidden.map(({ path }) => short(path)).toSorted(),
      all: places.readable,
    };
  };

  test('children see /usr, and not /etc, the home folders or other places as a whole', () => {
    const { all } = own(['/usr/bin']);
    expect(all).toContain('/usr');
    for (const secret of ['/', '/etc', '/etc/shadow', '/root', '/home', '/run', '/var', '/tmp']) {
      expect(all).not.toContain(secret);
    }
  });

  test.each([
    ['a bin folder comes with its libraries', ['home/.nvm/v24/bin'], ['home/.nvm/v24/bin', 'home/.nvm/v24/lib']],
    [
      'a link shows its target, and nothing beside it',
      ['home/.local/bin'],
      ['home/.local/bin', 'home/.local/share/agent/versions/2.0'],
    ],
    ['programs of npm come with their packages', ['app/node_modules/.bin'], ['app/node_modules']],
    ['shims come with the programs that they start', ['home/.pyenv/shims'], ['home/.pyenv']],
    ['missing folders are left out', ['nowhere/bin', '/usr/bin'], []],
  ])('%s', (_what, search, readable) => {
    expect(own(search).readable).toEqual(readable);
  });

  test('children see folders that the operator adds, without the daemon’s files in them', () => {
    const seen = own(['/usr/bin'], {
      readable: ['tools'],
      hidden: ['tools/.sluice', 'tools/key.pem', 'home/secret.key'],
    });
    expect(seen).toMatchObject({ readable: ['tools'], hidden: ['tools/.sluice', 'tools/key.pem'] });
  });
});

test('the ending of a program is recovered from the exit status and output of its sandbox', () => {
  const inside = (exitCode: number, words = '', around: { sandboxed?: boolean; declared?: number[] } = {}) =>
    endingInside(
      { ending: { kind: 'exited', exitCode }, stderr: Buffer.from(words) },
      { sandboxed: true, declared: [75], ...around },
    );
  expect(inside(139)).toEqual({ kind: 'signalled', signal: 'SIGSEGV' });
  expect(inside(134)).toEqual({ kind: 'signalled', signal: 'SIGABRT' });
  expect(inside(137, '', { declared: [137] })).toEqual({ kind: 'exited', exitCode: 137 });
  expect(inside(137, '', { sandboxed: false })).toEqual({ kind: 'exited', exitCode: 137 });
  expect(inside(1)).toEqual({ kind: 'exited', exitCode: 1 });
  const absent = inside(1, 'bwrap: execvp nosuch: No such file or directory\n');
  expect(absent).toMatchObject({ kind: 'not_started', code: 'ENOENT' });
  const forbidden = 'prlimit: failed to execute x: Permission denied\n';
  expect(inside(126, forbidden, { sandboxed: false })).toMatchObject({ code: 'EACCES' });
  expect(inside(1, 'bwrap: execvp nosuch: said the tool\nand went on\n')).toEqual({ kind: 'exited', exitCode: 1 });
});
