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
/** The folder of a slot does not take its owner's name: it is the slot, not the disk. */
const SPOILT = ['EPERM', 'EACCES', 'ENOTDIR', 'ELOOP'];
const MAX_SPOILT = 1_000;
const BROKEN_FOR_MS = 3_600_000;
/** A name is written within a moment of its file. */
const NAMELESS_MS = 60_000;

/**
 * The slots below one data folder, shared by all worker processes of a machine. A slot belongs to the process whose
 * identity stands in its `owner` file; `group` names the child group that runs there.
 */
export class SlotRack {
  readonly #root: string;
  readonly #log: Log;
  readonly #uidOf: (slot: number) => Promise<number | undefined>;
  readonly #idle: Slot[] = [];
  /** Ours, with a process in them that would not end or files that could not be removed; never handed out. */
  #unclean: Slot[] = [];
  /** Ours, seemingly empty, and yet they took no files where another slot did; left alone for a while. */
  #broken: { slot: Slot; untilMs: number }[] = [];
  #closed = false;

  /** `uidOf`: the user that the children of a slot run as, where that is not ours. */
  constructor(
    dataDir: string,
    log: Log = silentLog(),
    uidOf: (slot: number) => Promise<number | undefined> = async () => undefined,
  ) {
    this.#root = slotsRoot(dataDir);
    this.#log = log;
    this.#uidOf = uidOf;
  }

  /** A slot of ours that holds the repository already, or the lowest free one. */
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
   * A slot with the files of a commit in it. When one does not take them another is tried: what a slot is spoilt with is no
   * fault of the work that comes next. Throws what the other one says, because then it is not the slot.
   */
  async acquireWith(mirror: Mirror, commit: string): Promise<Slot> {
    const first = await this.acquire(mirror);
    const problem = await faultOf(() => checkOut(mirror, first, commit));
    if (problem === undefined) return first;
    let other: Slot;
    try {
      // Where the machine is out of something, no slot is better than another.
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
    // It was only made to tell whether it is the slot.
    if (!(await this.#vacate(other))) this.#unclean.push(other);
    throw also;
  }

  /** The lowest one that nobody holds. */
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
          // No room for the name, or no user for the slot.
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
   * Ends what still runs there, takes back what a child did and keeps the slot for the next one. Never throws: the result of
   * an attempt must not be lost to a file that cannot be removed. A slot that does not come out empty is set aside; it is
   * tried again before another one is made.
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

  /** Empties the slots that this process holds for nobody, and those that come back later. */
  async close(): Promise<void> {
    this.#closed = true;
    const broken = this.#broken.splice(0).map(({ slot }) => slot);
    for (const slot of [...this.#idle.splice(0), ...this.#unclean.splice(0), ...broken]) await this.#vacate(slot);
  }

  /** False when something there would not end or go: then it keeps its owner and is not handed out. */
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
        const slot = slotAt(this.#root, number);
        if (!(await isAbandoned(slot))) continue;
        if (await this.#vacate(slot)) freed.push(number);
      }
      return freed;
    });
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

/** Its owner died, or before it could write its name. */
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
