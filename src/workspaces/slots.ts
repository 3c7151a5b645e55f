import { writeFileSync } from 'node:fs';
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mirror } from '../git/mirror.ts';
import { poll } from '../lib/clock.ts';
import { readIdentity, tryLock } from '../lib/file-lock.ts';
import { type Log, silentLog } from '../lib/log.ts';
import { machineFault } from '../lib/machine-fault.ts';
import { identityNow, identityOf, isRunning } from '../lib/process-identity.ts';
import { checkOut } from './checkout.ts';
import { cleanSlot, emptySlot, endLeftovers } from './clean-slot.ts';
import { renewChild, type Slot, slotAt } from './slot.ts';
import { forgetAside, noteAside, slotsRoot } from './slots-aside.ts';

const LOCK_LIMIT_MS = 60_000;
const LOCK_WAIT_MS = 20;
/** Errors of a slot's folder that does not take its `owner` file: the slot is damaged, not the disk. */
const SPOILT = ['EPERM', 'EACCES', 'ENOTDIR', 'ELOOP'];
const MAX_SPOILT = 1_000;
const BROKEN_FOR_MS = 3_600_000;
/** An `owner` file that is still empty at this age was left by a process that died while writing it. */
const NAMELESS_MS = 60_000;

/**
 * Slots below one data folder, shared by all worker processes of a machine. A slot belongs to the process whose
 * identity is in its `owner` file; its `group` file identifies the child's process group.
 */
export class SlotRack {
  readonly #root: string;
  readonly #log: Log;
  readonly #uidOf: (slot: number) => Promise<number | undefined>;
  readonly #idle: Slot[] = [];
  /**
   * Slots we still own because a process could not be killed or a file not removed; not handed out until a retry
   * succeeds.
   */
  #unclean: Slot[] = [];
  /** Slots we own that failed a check-out which another slot passed; tried again after `BROKEN_FOR_MS`. */
  #broken: { slot: Slot; untilMs: number }[] = [];
  #closed = false;

  /** `uidOf` returns the user that a slot's children run as; undefined means the daemon's own. */
  constructor(
    dataDir: string,
    log: Log = silentLog(),
    uidOf: (slot: number) => Promise<number | undefined> = async () => undefined,
  ) {
    this.#root = slotsRoot(dataDir);
    this.#log = log;
    this.#uidOf = uidOf;
  }

  /** Returns an idle slot, preferably one that holds the repository, or the lowest free one. */
  async acquire(mirror?: { dir: string }): Promise<Slot> {
    const warm = this.#idle.findIndex(({ content }) => content?.mirrorDir === mirror?.dir);
    const [known] = warm === -1 ? this.#idle.splice(0, 1) : this.#idle.splice(warm, 1);
    if (known !== undefined) return known;
    const mended = this.#broken.filter(({ untilMs }) => performance.now() >= untilMs);
    this.#broken = this.#broken.filter((each) => !mended.includes(each));
    for (const slot of [...this.#unclean.splice(0), ...mended.map((each) => each.slot)]) await this.release(slot);
    return this.#idle.pop() ?? this.#take();
  }

  /**
   * Returns a slot with the files of a commit in it. When the check-out fails, another slot is tried, because damage of
   * a slot is not the fault of its next task or gate. When both fail, the slot is not the cause: throws the second
   * error.
   */
  async acquireWith(mirror: Mirror, commit: string): Promise<Slot> {
    const first = await this.acquire(mirror);
    const problem = await faultOf(() => checkOut(mirror, first, commit));
    if (problem === undefined) return first;
    let other: Slot;
    try {
      // When this host is out of a resource, another slot cannot help.
      if (machineFault(problem) !== undefined) throw problem;
      other = await this.#take();
    } catch {
      await this.release(first);
      throw problem;
    }
    const also = await faultOf(() => checkOut(mirror, other, commit));
    if (also === undefined) {
      this.#broken.push({ slot: first, untilMs: performance.now() + BROKEN_FOR_MS });
      await this.#setAside(first.number, problem.message);
      return other;
    }
    await this.release(first);
    // This slot was taken only to find out whether the first one was at fault.
    if (!(await this.#vacate(other))) this.#unclean.push(other);
    throw also;
  }

  /** Takes the lowest slot that has no owner. */
  async #take(): Promise<Slot> {
    await mkdir(this.#root, { recursive: true });
    const owner = JSON.stringify(await identityOf(process.pid));
    for (let number = 1; ; number += 1) {
      const { dir } = slotAt(this.#root, number);
      try {
        await mkdir(dir, { recursive: true });
        const mark = await open(join(dir, 'owner'), 'wx');
        try {
          await mark.writeFile(owner);
          return slotAt(this.#root, number, await this.#uidOf(number));
        } catch (error) {
          // There is no space for the owner's identity, or no user for the slot.
          await rm(join(dir, 'owner'), { force: true });
          throw error;
        } finally {
          await mark.close();
        }
      } catch (error) {
        const { code = '', message } = error as NodeJS.ErrnoException;
        if (code === 'EEXIST') continue;
        if (!SPOILT.includes(code) || number > MAX_SPOILT) throw error;
        await this.#setAside(number, message);
      }
    }
  }

  /**
   * Ends what still runs there, undoes the child's changes and keeps the slot for reuse. Never throws, because an
   * attempt's result must not be lost to a file that cannot be removed. A slot that cannot be emptied is set aside, and
   * tried again before a new one is taken.
   */
  async release(slot: Slot): Promise<void> {
    const problem = await faultOf(() => cleanSlot(slot));
    if (problem !== undefined) {
      this.#unclean.push(slot);
      await this.#setAside(slot.number, problem.message);
      return;
    }
    await forgetAside(this.#root, slot.number);
    renewChild(slot);
    if (this.#closed) await this.#vacate(slot);
    else this.#idle.push(slot);
  }

  /** Gives up all slots that are not in use, and from now on each slot that is released. */
  async close(): Promise<void> {
    this.#closed = true;
    const broken = this.#broken.splice(0).map(({ slot }) => slot);
    for (const slot of [...this.#idle.splice(0), ...this.#unclean.splice(0), ...broken]) await this.#vacate(slot);
  }

  /** Empties a slot and gives it up. False when something cannot be killed or removed: it then keeps its owner. */
  async #vacate(slot: Slot): Promise<boolean> {
    const problem = await faultOf(async () => {
      await endLeftovers(slot);
      await emptySlot(slot, true);
      await forgetAside(this.#root, slot.number);
      await rm(join(slot.dir, 'owner'), { force: true });
    });
    if (problem !== undefined) await this.#setAside(slot.number, problem.message);
    return problem === undefined;
  }

  async #setAside(slot: number, reason: string): Promise<void> {
    this.#log.warn({ slot, reason }, 'slot.set_aside');
    await noteAside(this.#root, slot, reason);
  }

  /** Records the child's process group. Synchronous, so that a sweep can find the group before the child can run. */
  noteGroup(slot: Slot, groupId: number): void {
    writeFileSync(join(slot.dir, 'group'), JSON.stringify(identityNow(groupId)));
  }

  /** Ends what dead owners left running and frees their slots. Returns the numbers of those slots. */
  async sweep(): Promise<number[]> {
    const numbers = (await readdir(this.#root).catch(() => [])).filter((entry) => /^\d+$/.test(entry)).map(Number);
    if (numbers.length === 0) return [];
    return this.#underLock(async () => {
      const freed: number[] = [];
      for (const number of numbers) {
        const slot = slotAt(this.#root, number);
        if (!(await isAbandoned(slot))) continue;
        if (await this.#vacate(slot)) freed.push(number);
      }
      return freed;
    });
  }

  /**
   * Lets one process sweep at a time: two that both saw a dead owner would free the slot of its successor. The lock of
   * a dead process is removed. Behind a living one a sweep waits and finally gives up, because that one sweeps for all.
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

/** True when its owner died, also when it died before it wrote its identity. */
async function isAbandoned(slot: Slot): Promise<boolean> {
  const mark = join(slot.dir, 'owner');
  const owner = await readIdentity(mark);
  if (owner !== undefined) return !(await isRunning(owner));
  const nameless = await stat(mark).catch(() => undefined);
  return nameless !== undefined && Date.now() - nameless.mtimeMs > NAMELESS_MS;
}

async function faultOf(work: () => Promise<void>): Promise<Error | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
