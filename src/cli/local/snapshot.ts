import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Git } from '../../git/run-git.ts';
import { originOf, questionsAt } from './repository-here.ts';

/** A repository of its own that offers two branches: what is committed here, and what is in the folder. */
export interface Snapshot {
  /** Address for a mirror. */
  url: string;
  /** Address of `origin`; undefined when there is none. */
  remote: string | undefined;
  branches: { name: 'HEAD' | 'working tree'; branch: string; commit: string }[];
}

const AUTHOR = { name: 'Sluice', email: 'check@sluice.invalid' };
/** Files that a daemon of this folder keeps; a clone does not have them. */
const OURS = ':(top,exclude).sluice';

/**
 * Makes a repository in `folder` from the one that holds `here`, which is only read: new objects go to the copy. The
 * working tree is left out when it is as committed. Throws `usage.invalid` outside of a repository with a commit.
 */
export async function takeSnapshot(git: Git, { here, folder }: { here: string; folder: string }): Promise<Snapshot> {
  const ask = questionsAt(git, here);
  const top = await ask('rev-parse', '--show-toplevel');
  const gitDir = await ask('rev-parse', '--absolute-git-dir');
  const objects = await ask('rev-parse', '--path-format=absolute', '--git-path', 'objects');
  const format = await ask('rev-parse', '--show-object-format');
  const head = await ask('rev-parse', '--verify', 'HEAD^{commit}');
  const copy = join(folder, 'repository.git');
  await mkdir(folder, { recursive: true });
  await git.run({ args: ['init', '--bare', '--quiet', `--object-format=${format}`, copy] });
  await writeFile(join(copy, 'objects', 'info', 'alternates'), `${objects}\n`);
  const files = { gitDir, workTree: top, indexFile: join(folder, 'index'), objectDir: join(copy, 'objects') };
  const reads = { ...files, alsoReads: [objects] };
  await git.run({ ...reads, args: ['read-tree', head] });
  await git.run({ ...reads, args: ['add', '--all', '--', '.', OURS] });
  const tree = await git.text({ ...reads, args: ['write-tree'] });
  const names = { GIT_AUTHOR_NAME: AUTHOR.name, GIT_AUTHOR_EMAIL: AUTHOR.email };
  const committer = { GIT_COMMITTER_NAME: AUTHOR.name, GIT_COMMITTER_EMAIL: AUTHOR.email };
  const commitOf = (content: string, parents: readonly string[]): Promise<string> => {
    const args = ['commit-tree', content, ...parents.flatMap((parent) => ['-p', parent]), '-m', 'check'];
    return git.text({ gitDir: copy, args, env: { ...names, ...committer } });
  };
  const headTree = await git.text({ gitDir: copy, args: ['rev-parse', `${head}^{tree}`] });
  // The history of a shallow clone ends somewhere, and git fetches none of it: its trees stand alone.
  const isShallow = (await ask('rev-parse', '--is-shallow-repository')) === 'true';
  const base = isShallow ? await commitOf(headTree, []) : head;
  const branches: Snapshot['branches'] = [{ name: 'HEAD', branch: 'head', commit: base }];
  if (tree !== headTree) {
    branches.push({ name: 'working tree', branch: 'work', commit: await commitOf(tree, [base]) });
  }
  for (const { branch, commit } of branches) {
    await git.run({ gitDir: copy, args: ['update-ref', `refs/heads/${branch}`, commit] });
  }
  return { url: copy, remote: (await originOf(git, here))?.url, branches };
}
