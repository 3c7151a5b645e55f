import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { forgetBelow, isInside, type Seal } from './seal.ts';

/** A directory to run in; its paths never change. */
export interface Slot {
  /** Unique on the machine while the slot is held; children see it as SLUICE_SLOT. */
  readonly number: number;
  readonly dir: string;
  /** The user that its children run as, and its files belong to; undefined: ours. */
  readonly uid: number | undefined;
  readonly work: string;
  /** Folders of one child alone. Their names never come again: what could not be removed is found by nobody. */
  child: ChildFolders;
  readonly indexFile: string;
  /** What stands in `work`, signed; undefined: nobody knows, and a check-out starts from nothing. */
  content: SlotContent | undefined;
}

export interface ChildFolders {
  /** Holds the others. */
  dir: string;
  home: string;
  tmp: string;
  /** Where a child leaves what it has to say. */
  out: string;
  /** What it is told; it only reads here. */
  given: string;
}

/** For whoever comes next in a slot. */
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
  /** Kept paths of `prepare` that are in place, by what they were made from. */
  kept: Map<string, string>;
  /** Files of the commit that were taken away, to be written again. */
  restore?: readonly string[];
}

/** A kept path is gone, and with it those that lay inside it. */
export function forgetKept({ seal, kept }: SlotContent, folder: string): void {
  for (const path of kept.keys()) if (isInside(path, folder)) kept.delete(path);
  forgetBelow(seal, folder);
}
