import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { forgetBelow, isInside, type Seal } from './seal.ts';

/** Directory in which one child runs at a time. Only `child` and `content` ever change. */
export interface Slot {
  /** Unique on the machine while the slot is held; children see it as SLUICE_SLOT. */
  readonly number: number;
  readonly dir: string;
  /** User id that its children run as and its files belong to; undefined means the daemon's own. */
  readonly uid: number | undefined;
  readonly work: string;
  /** Folders of one child. Their names are never reused, so that no later child finds what could not be removed. */
  child: ChildFolders;
  readonly indexFile: string;
  /** Signed content of `work`; undefined when unknown, and then a check-out starts from an empty folder. */
  content: SlotContent | undefined;
}

export interface ChildFolders {
  /** Parent of the other folders. */
  dir: string;
  home: string;
  tmp: string;
  /** Files from the child: its commit message and cost report. */
  out: string;
  /** Files for the child: input and evidence. It only reads them. */
  given: string;
}

/** Gives the slot new folders for its next child. */
export function renewChild(slot: Slot): void {
  slot.child = childFolders(slot.dir);
}

export function slotAt(root: string, number: number, uid?: number): Slot {
  const dir = join(root, String(number));
  return {
    number,
    dir,
    uid,
    work: join(dir, 'work'),
    child: childFolders(dir),
    indexFile: join(dir, 'index'),
    content: undefined,
  };
}

function childFolders(slotDir: string): ChildFolders {
  const dir = join(slotDir, `child-${randomUUID().slice(0, 13)}`);
  return { dir, home: join(dir, 'home'), tmp: join(dir, 'tmp'), out: join(dir, 'out'), given: join(dir, 'given') };
}

export interface SlotContent {
  mirrorDir: string;
  commit: string;
  seal: Seal;
  signedAtMs: number;
  /** Kept paths of `prepare` that are in place, with the key that they were made from. */
  kept: Map<string, string>;
  /** Files of the commit that were removed, to be written again. */
  restore?: readonly string[];
}

/** Forgets a removed kept path and those that lay inside it. */
export function forgetKept({ seal, kept }: SlotContent, folder: string): void {
  for (const path of kept.keys()) if (isInside(path, folder)) kept.delete(path);
  forgetBelow(seal, folder);
}
