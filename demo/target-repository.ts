import { access, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { run } from './shell.ts';

export interface TargetRepository {
  /** The bare remote that Sluice lands on. */
  remote: string;
  /** An author's clone, to make patches in. */
  clone: string;
  base: string;
}

/** Pushes a clone of this repository to a bare remote, with a policy whose gates are its own commands. */
export async function makeTarget(root: string, folder: string): Promise<TargetRepository> {
  const remote = join(folder, 'remote.git');
  const clone = join(folder, 'clone');
  if (await hasHistory(root)) {
    await run(['git', 'clone', '--quiet', '--no-hardlinks', root, clone], { cwd: folder });
    await run(['git', 'checkout', '--quiet', '-B', 'main'], { cwd: clone });
  } else {
    await cloneWithoutHistory(root, clone);
  }
  await writeFile(join(clone, '.sluice.yaml'), policyFor(root));
  await run(['git', 'add', '--all'], { cwd: clone });
  await run(['git', 'commit', '--quiet', '--message', 'Guard the branch with gates'], { cwd: clone });
  await run(['git', 'init', '--quiet', '--bare', '--initial-branch=main', remote], { cwd: folder });
  await run(['git', 'push', '--quiet', remote, 'HEAD:main'], { cwd: clone });
  return { remote, clone, base: (await run(['git', 'rev-parse', 'HEAD'], { cwd: clone })).trim() };
}

async function hasHistory(root: string): Promise<boolean> {
  return run(['git', 'rev-parse', '--verify', 'HEAD'], { cwd: root }).then(
    () => access(join(root, '.git')).then(() => true),
    () => false,
  );
}

/** Makes one commit of the files, because an unpacked archive has no history. */
async function cloneWithoutHistory(root: string, clone: string): Promise<void> {
  const left = ['node_modules', '.git', '.sluice', 'dist'].map((name) => join(root, name));
  await cp(root, clone, { recursive: true, filter: (source) => !left.includes(source) });
  await run(['git', 'init', '--quiet', '--initial-branch=main'], { cwd: clone });
  await run(['git', 'add', '--all'], { cwd: clone });
  await run(['git', 'commit', '--quiet', '--message', 'The files of Sluice'], { cwd: clone });
}

/** Parts of test file names. The `duration` test comes with one of the demo's patches. */
const FAST_TESTS = [
  'unit/lib/backoff',
  'unit/lib/duration',
  'unit/lib/group-commit',
  'unit/lib/redact',
  'unit/domain/retry',
];

const LINK_ALL = ['sh', '-c', 'mkdir node_modules && ln -s "$0"/* "$0"/.bin node_modules/'];

/**
 * Builds a policy whose gates are the type check and fast tests. Each slot gets a `node_modules` folder of links to the
 * dependencies installed here, because the originals are read-only in a slot.
 */
function policyFor(root: string): string {
  return stringify({
    prepare: [{ name: 'dependencies', command: [...LINK_ALL, join(root, 'node_modules')] }],
    gates: [
      { name: 'types', command: ['node_modules/.bin/tsc', '-p', '.'], timeout_seconds: 120 },
      {
        name: 'unit',
        command: ['node_modules/.bin/vitest', 'run', '--project=unit', '--no-color', ...FAST_TESTS],
        timeout_seconds: 120,
      },
    ],
    limits: { max_files: 500 },
  });
}

/** Makes a git patch on the base by editing files in the author's clone, and leaves the clone as it was. */
export async function makePatch(
  { clone, base }: TargetRepository,
  edits: Readonly<Record<string, (text: string) => string>>,
): Promise<string> {
  for (const [path, edit] of Object.entries(edits)) {
    const file = join(clone, path);
    await mkdir(dirname(file), { recursive: true });
    const text = await readFile(file, 'utf8').catch(() => '');
    await writeFile(file, edit(text));
  }
  await run(['git', 'add', '--all'], { cwd: clone });
  const patch = await run(['git', 'diff', '--cached', '--binary', base], { cwd: clone });
  await run(['git', 'reset', '--quiet', '--hard', base], { cwd: clone });
  if (patch === '') throw new Error(`the edit of ${Object.keys(edits).join(', ')} changes nothing`);
  return patch;
}
