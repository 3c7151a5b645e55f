import { join } from 'node:path';
import { runChild } from '../../src/lib/process.ts';
import { base64, encodedAs, mails, quotedPrintable } from './mail-formats.ts';
import { asCrlf, ENVIRONMENT, type Flags, output, type PatchFormat, traitsOf } from './patch-format.ts';
import type { Oracle } from './patch-oracles.ts';
import { besideOrig, gnuDiff, labelled, QUILT, SUBVERSION } from './plain-diff-formats.ts';

interface GitSettings {
  tool?: Oracle;
  config?: Flags;
}

function gitDiff(name: string, flags: Flags, { tool = 'git apply', config = [] }: GitSettings = {}): PatchFormat {
  return {
    name,
    tool,
    carries: (change) => flags.includes('--binary') || !traitsOf(change).binary,
    make: (git, { base, last }) => output(['git', ...config, 'diff', ...flags, base, last], git.remote),
  };
}

/** Between a commit and an index git writes the prefixes `c/` and `i/`. */
const mnemonic: PatchFormat = {
  name: 'git diff, diff.mnemonicPrefix',
  tool: 'git apply',
  carries: () => true,
  make: async (git, { base, last }) => {
    const index = { GIT_INDEX_FILE: join(git.folder, `index-${last}`) };
    await runChild({
      argv: ['git', 'read-tree', last],
      cwd: git.remote,
      env: { ...ENVIRONMENT, ...index },
      timeoutMs: 30_000,
    });
    return output(['git', '-c', 'diff.mnemonicPrefix=true', 'diff', '--cached', '--binary', base], git.remote, index);
  },
};

const shown: PatchFormat = {
  name: 'git show --stat',
  tool: 'git apply',
  carries: ({ trees }) => trees.length === 2,
  make: (git, { last }) => output(['git', 'show', '--stat', '--patch', '--binary', last], git.remote),
};

const [mail, series] = mails('') as [PatchFormat, PatchFormat];

export const FORMATS: readonly PatchFormat[] = [
  gitDiff('git diff', []),
  gitDiff('git diff --no-prefix', ['--no-prefix', '--no-renames', '--binary'], { tool: 'git apply -p0' }),
  gitDiff('git diff --no-prefix -M', ['--no-prefix', '-M30%', '--binary'], { tool: 'git apply -p0' }),
  mnemonic,
  gitDiff('git diff -U0', ['-U0', '--binary'], { tool: 'git apply --unidiff-zero' }),
  gitDiff('git diff -U1', ['-U1', '--binary']),
  gitDiff('git diff -U10', ['-U10', '--binary']),
  gitDiff('git diff --full-index --binary', ['--full-index', '--binary']),
  gitDiff('git diff -M', ['-M30%', '--binary']),
  { ...gitDiff('git diff -B -M', ['-B20%/20%', '-M', '--binary']), isLimited: true },
  gitDiff('git diff -C', ['-C', '--find-copies-harder', '--binary']),
  gitDiff('git diff --src-prefix --dst-prefix', ['--src-prefix=old/', '--dst-prefix=new/', '--binary']),
  gitDiff('git diff, unquoted names', ['--inter-hunk-context=3', '--histogram', '--binary'], {
    config: ['-c', 'core.quotePath=false'],
  }),
  asCrlf(gitDiff('git diff', ['--binary']), 'patch -p1'),
  shown,
  ...[['-ruN'], ['-rcN'], ['-rN', '-U0'], ['-rN', '-C1'], ['-rpN', '-U6']].map(gnuDiff),
  asCrlf(gnuDiff(['-ruN']), 'patch -p1'),
  labelled('quilt', { labels: QUILT, tool: 'patch -p1' }),
  // svn marks a removal in its own way, which no tool reads; it is refused (test/integration/patch-readings.test.ts).
  labelled('svn diff', { labels: SUBVERSION, tool: 'patch -p0', removes: false }),
  besideOrig('diff -u pkg/x.orig pkg/x', { top: 'pkg/', flag: '-uN', tool: 'patch -p1' }),
  besideOrig('diff -u x.orig x', { top: '', flag: '-uN', tool: 'patch -p0' }),
  besideOrig('diff -c x.orig x', { top: '', flag: '-cN', tool: 'patch -p0' }),
  ...[mail, series],
  ...[asCrlf(mail, 'git am'), asCrlf(series, 'git am')],
  ...mails(', -U1 --no-stat --base', { flags: ({ base }) => ['-U1', '--no-stat', `--base=${base}`] }),
  ...mails(', --attach -v2 --no-signature', { flags: () => ['--attach', '-v2', '--no-signature'] }),
  ...mails(', base64', { recode: encodedAs('base64', base64) }),
  ...mails(', base64 of CRLF', {
    recode: encodedAs('base64', (body) => base64(body.replaceAll('\n', '\r\n'))),
    tool: 'git am --quoted-cr=strip',
  }),
  ...mails(', quoted-printable', { recode: encodedAs('quoted-printable', quotedPrintable) }),
];
