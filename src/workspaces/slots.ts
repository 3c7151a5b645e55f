import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { poll, sleep } from '../lib/clock.ts';
import { readIdentity, tryLock } from '../lib/file-lock.ts';
import { signalGroup } from '../lib/process.ts';
import {
  identityNow,
  identityOf,
  isRunning,
  type ProcessIdentity,
  processesWithVariable,
  processesWorkingIn,
} from '../lib/process-identity.ts';
import { removeTree } from '../lib/remove-tree.ts';
import { takeBack } from './checkout.ts';
import { forgetBelow, isInside, type Seal } from './seal.ts';

/** A directory to run in; its paths never change. */
export interface Slot {
  /** Unique on the machine while the slot is held; children see it as SLUICE_SLOT. */
  readonly number: number;
  readonly dir: string;
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

const LOCK_LIMIT_MS = 60_000;
const LOCK_WAIT_MS = 20;
const MAX_KILL_ROUNDS = 20;

/**
 * The slots below one data folder, shared by all worker processes of a machine. A slot belongs to the process whose
 * identity stands in its `owner` file; `group` names the child group that runs there.
 */
export class SlotRack {
  readonly #root: string;
  readonly #idle: Slot[] = [];
  /** Ours, with a process in them that would not end or files that could not be removed; never handed out. */
  #unclean: Slot[] = [];
  #closed = false;

  constructor(dataDir: string) {
    this.#root = resolve(dataDir, 'slots');
  }

  /** A slot of ours that holds the repository already, or the lowest free one. */
  async acquire(mirror?: { dir: string }): Promise<Slot> {
    const warm = this.#idle.findIndex(({ content }) => content?.mirrorDir === mirror?.dir);
    const [known] = warm === -1 ? this.#idle.splice(0, 1) : this.#idle.splice(warm, 1);
    if (known !== undefined) return known;
    for (const slot of this.#unclean.splice(0)) await this.release(slot);
    const freed = this.#idle.pop();
    if (freed !== undefined) return freed;
    await mkdir(this.#root, { recursive: true });
    const owner = JSON.stringify(await identityOf(process.pid));
    for (let number = 1; ; number += 1) {
      const slot = this.#slot(number);
      await mkdir(slot.dir, { recursive: true });
      try {
        await writeFile(join(slot.dir, 'owner'), owner, { flag: 'wx' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
        throw error;
      }
      return slot;
    }
  }

  /**
   * Ends what still runs there, takes back what a child did and keeps the slot for the next one. Never throws: the result of
   * an attempt must not be lost to a file that cannot be removed. A slot that does not come out empty is set aside; it is
   * tried again before another one is made.
   */
  async release(slot: Slot): Promise<void> {
    if (!(await cleaned(slot))) {
      this.#unclean.push(slot);
      return;
    }
    renewChild(slot);
    if (this.#closed) await this.#vacate(slot);
    else this.#idle.push(slot);
  }

  /** Empties the slots that this process holds for nobody, and those that come back later. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const slot of [...this.#idle.splice(0), ...this.#unclean.splice(0)]) await this.#vacate(slot);
  }

  /** False when something there would not end or go: then it keeps its owner and is not handed out. */
  async #vacate(slot: Slot): Promise<boolean> {
    try {
      if (!(await endLeftovers(slot))) return false;
      await emptySlot(slot, true);
      await rm(join(slot.dir, 'owner'), { force: true });
      return true;
    } catch {
      return false;
    }
  }

  /** Written before the child can do anything, so that whoever sweeps knows its group. */
  noteGroup(slot: Slot, groupId: number): void {
    writeFileSync(join(slot.dir, 'group'), JSON.stringify(identityNow(groupId)));
  }

  /** Ends what dead owners left running and frees their slots. Gives the numbers it freed. */
  async sweep(): Promise<number[]> {
    const numbers = (await readdir(this.#root).catch(() => [])).filter((entry) => /^\d+$/.test(entry)).map(Number);
    if (numbers.length === 0) return [];
    return this.#underLock(async () => {
      const freed: number[] = [];
      for (const number of numbers) {
        const slot = this.#slot(number);
        const owner = await readOwner(slot);
        if (owner === undefined || (await isRunning(owner))) continue;
        if (await this.#vacate(slot)) freed.push(number);
      }
      return freed;
    });
  }

  #slot(number: number): Slot {
    const dir = join(this.#root, String(number));
    return {
      number,
      dir,
      work: join(dir, 'work'),
      child: childFolders(dir),
      indexFile: join(dir, 'index'),
      content: undefined,
    };
  }

  /**
   * One sweeper at a time: two that both saw a dead owner would free the slot of the first one's successor. Only the lock
   * of a dead process is taken away; behind a living one a sweep waits, and gives up in the end: that one sweeps for all.
   */
  async #underLock(work: () => Promise<number[]>): Promise<number[]> {
    const lock = join(this.#root, 'sweep.lock');
    const taken = await poll(() => tryLock(lock), { everyMs: LOCK_WAIT_MS, limitMs: LOCK_LIMIT_MS });
    if (taken === undefined) return [];
    try {
      return await work();
    } finally {
      await rm(lock, { force: true });
    }
  }
}

function readOwner(slot: Slot): Promise<ProcessIdentity | undefined> {
  return readIdentity(join(slot.dir, 'owner'));
}

/**
 * By what every child carries in its environment, by where it works, and by the journal of groups: a child may leave its
 * group, empty its environment, and start others while it is being ended. Our own process and its threads never carry the
 * mark. False when something would not end.
 */
async function endLeftovers(slot: Slot): Promise<boolean> {
  const leader = await readIdentity(join(slot.dir, 'group'));
  for (let round = 0; round < MAX_KILL_ROUNDS; round += 1) {
    const marked = [...(await processesWithVariable(`TMPDIR=${slot.dir}/`)), ...(await processesWorkingIn(slot.dir))];
    const holder = leader === undefined ? null : (await identityOf(leader.pid)).startTicks;
    const leads = holder !== null && holder === leader?.startTicks;
    if (marked.length === 0 && !leads) return true;
    // The number may belong to somebody else by now, and is nobody else's while its leader lives or has left others behind.
    if (leader !== undefined && (leads || holder === null)) signalGroup(leader.pid, 'SIGKILL');
    for (const pid of marked) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone already.
      }
    }
    await sleep(LOCK_WAIT_MS);
  }
  return false;
}

/** True when no process and no file of the child is left. */
async function cleaned(slot: Slot): Promise<boolean> {
  try {
    if (!(await endLeftovers(slot))) return false;
    await takeBack(slot).catch(() => {});
    await emptySlot(slot, slot.content === undefined);
    return true;
  } catch {
    return false;
  }
}

/** Sluice's own entries of a slot that outlive a child: the rest of its folder goes. */
const STAYING = ['owner', 'work', 'index'];

/** What belonged to one child alone goes always, also beside its own folders; the files of the commit only with `whole`. */
async function emptySlot(slot: Slot, whole: boolean): Promise<void> {
  const staying = whole ? ['owner'] : STAYING;
  for (const name of await readdir(slot.dir)) if (!staying.includes(name)) await removeTree(join(slot.dir, name));
}
