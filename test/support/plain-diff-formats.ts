import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { GitSandbox } from '../../harness/git-sandbox.ts';
import { changedPaths, type Tree } from './corpus-tree.ts';
import { type Flags, output, type PatchFormat, traitsOf } from './patch-format.ts';
import type { Change } from './patch-history.ts';
import type { Oracle } from './patch-oracles.ts';

/** Writes the changed files: each old one at `before(path)`, each new one at `after(path)`. */
async function layOut(
  git: GitSandbox,
  { trees }: Change,
  places: { before: (path: string) => string; after: (path: string) => string },
): Promise<{ folder: string; paths: string[] }> {
  const folder = await mkdtemp(join(git.folder, 'layout-'));
  const [before, after] = [trees[0]!, trees.at(-1)!];
  const paths = changedPaths(before, after);
  const put = async (tree: Tree, path: string, place: string): Promise<void> => {
    const entry = tree.get(path);
    await mkdir(dirname(join(folder, place)), { recursive: true });
    if (entry !== undefined) await writeFile(join(folder, place), entry.content);
  };
  for (const path of paths) {
    await put(before, path, places.before(path));
    await put(after, path, places.after(path));
  }
  return { folder, paths };
}

/** Varies locale and zone: `C` writes context diffs without a zone, and west of UTC the epoch is a day of 1969. */
function whereabouts({ last }: Change): Record<string, string> {
  const isEven = Number.parseInt(last[0]!, 16) % 2 === 0;
  return isEven ? { LC_ALL: 'C', TZ: 'Asia/Kolkata' } : { LC_ALL: 'C.UTF-8', TZ: 'America/New_York' };
}

const isPlain = (change: Change): boolean => !traitsOf(change).binary && !traitsOf(change).gitOnly;

export function gnuDiff(flags: Flags): PatchFormat {
  return {
    name: `diff ${flags.join(' ')} old new`,
    tool: 'patch -p1',
    carries: isPlain,
    make: async (git, change) => {
      const places = {
        before: (path: string) => `old/${path}`,
        after: (path: string) => `new/${path}`,
      };
      const { folder } = await layOut(git, change, places);
      for (const side of ['old', 'new']) await mkdir(join(folder, side), { recursive: true });
      return output(['diff', ...flags, 'old', 'new'], folder, whereabouts(change));
    },
  };
}

/** One `diff` per file, below a folder or at the top: `--- pkg/x.orig` and `+++ pkg/x`. */
export function besideOrig(
  name: string,
  { top, flag, tool }: { top: string; flag: string; tool: Oracle },
): PatchFormat {
  return {
    name,
    tool,
    // Without a folder on top, names of new files alone do not say how many folders to strip.
    carries: (change) => isPlain(change) && (top !== '' || !traitsOf(change).onlyNew),
    make: async (git, change) => {
      const places = {
        before: (path: string) => `${top}${path}.orig`,
        after: (path: string) => top + path,
      };
      const { folder, paths } = await layOut(git, change, places);
      const parts = paths.map((path) =>
        output(['diff', flag, places.before(path), places.after(path)], folder, whereabouts(change)),
      );
      return Buffer.concat(await Promise.all(parts));
    },
  };
}

export interface Labels {
  head: (path: string) => string;
  old: (path: string, exists: boolean) => string;
  fresh: (path: string, exists: boolean) => string;
}

/** One `diff --label` per file, below lines that name it. */
export function labelled(
  name: string,
  { labels, tool, removes = true }: { labels: Labels; tool: Oracle; removes?: boolean },
): PatchFormat {
  return {
    name,
    tool,
    carries: (change) => isPlain(change) && !traitsOf(change).tabInName && (removes || !traitsOf(change).removes),
    make: async (git, change) => {
      const places = {
        before: (path: string) => `old/${path}`,
        after: (path: string) => `new/${path}`,
      };
      const { folder, paths } = await layOut(git, change, places);
      const [before, after] = [change.trees[0]!, change.trees.at(-1)!];
      const parts = paths.map(async (path) => {
        const names = ['--label', labels.old(path, before.has(path)), '--label', labels.fresh(path, after.has(path))];
        const diff = await output(['diff', '-uN', ...names, places.before(path), places.after(path)], folder);
        return Buffer.concat([Buffer.from(`${labels.head(path)}\n${'='.repeat(67)}\n`), diff]);
      });
      return Buffer.concat(await Promise.all(parts));
    },
  };
}

export const QUILT: Labels = {
  head: (path) => `Index: pkg/${path}`,
  old: (path, exists) => `${exists ? `pkg.orig/${path}` : '/dev/null'}\t2024-03-01 10:00:00.000000000 +0000`,
  fresh: (path, exists) => `${exists ? `pkg/${path}` : '/dev/null'}\t2024-03-01 11:00:00.000000000 +0000`,
};

export const SUBVERSION: Labels = {
  head: (path) => `Index: ${path}`,
  old: (path, exists) => `${path}\t(${exists ? 'revision 41' : 'nonexistent'})`,
  fresh: (path, exists) => `${path}\t(${exists ? 'working copy' : 'nonexistent'})`,
};
