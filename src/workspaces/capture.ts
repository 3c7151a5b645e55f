import type { Mirror } from '../git/mirror.ts';
import { changesBetween, type TreeChange } from '../git/tree-changes.ts';
import type { Slot } from './slots.ts';

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

/** The tree of what was checked out, read again from the files by content: another id means a gate changed them. */
export async function rereadTree(mirror: Mirror, slot: Slot, commit: string): Promise<string> {
  return mirror.withIndex(async (indexFile) => {
    await mirror.run({ args: ['read-tree', commit], indexFile });
    await mirror.run({ args: ['add', '--update', '--', ':(top)'], indexFile, workTree: slot.work });
    return mirror.text({ args: ['write-tree'], indexFile });
  });
}
