import type { Mirror } from '../git/mirror.ts';
import { changesBetween, type TreeChange } from '../git/tree-changes.ts';
import { differencesFrom, isInside } from './seal.ts';
import type { Slot, SlotContent } from './slots.ts';

export interface CapturedChange extends TreeChange {
  baseTree: string;
  tree: string;
}

/**
 * The difference between a commit's tree and the files in the slot, whatever a tool did to HEAD, index or branches. Taken
 * with the mirror's repository and a private index; ignored files and kept paths are left out.
 */
export async function captureChange(
  mirror: Mirror,
  slot: Slot,
  { base, keptPaths }: { base: string; keptPaths: readonly string[] },
): Promise<CapturedChange> {
  const baseTree = await mirror.treeOf(base);
  const tree = await mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', base], indexFile });
    const left = keptPaths.map((path) => `:(exclude,top,literal)${path}`);
    await mirror.run({ args: ['add', '--all', '--', ':(top)', ...left], indexFile, workTree: slot.work });
    return mirror.text({ args: ['write-tree'], indexFile });
  });
  return { baseTree, tree, ...(await changesBetween(mirror, baseTree, tree)) };
}

/**
 * The tree of what was checked out, as the files have it now: another id means a gate changed them. Read again by content
 * where a single signature differs.
 */
export async function rereadTree(mirror: Mirror, slot: Slot, commit: string): Promise<string> {
  if (slot.content?.commit === commit && (await isUntouched(slot, slot.content))) return mirror.treeOf(commit);
  return mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', commit], indexFile });
    await mirror.run({ args: ['add', '--update', '--', ':(top)'], indexFile, workTree: slot.work });
    return mirror.text({ args: ['write-tree'], indexFile });
  });
}

/** Kept paths and the child's own repository are no part of the tree. */
async function isUntouched({ work }: Slot, { seal, kept }: SlotContent): Promise<boolean> {
  try {
    const { broken } = await differencesFrom(seal, work);
    const beside = ['.git', ...kept.keys()];
    return broken.every((path) => beside.some((folder) => isInside(path, folder)));
  } catch {
    return false;
  }
}
