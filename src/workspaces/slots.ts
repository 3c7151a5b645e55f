import { writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { sleep } from '../lib/clock.ts';
import { signalGroup } from '../lib/process.ts';
import { identityOf, isRunning, type ProcessIdentity, processesWithVariable } from '../lib/process-identity.ts';
import { removeTree } from './remove-tree.ts';

/** A directory to run in; its paths never change. */
export interface Slot {
  /** Unique on the machine while the slot is held; children see it as SLUICE_SLOT. */
  readonly number: number;
  readonly dir: string;
  readonly work: string;
  readonly home: string;
  readonly tmp: string;
  readonly indexFile: string;
}

const LOCK_STALE_MS = 5_000;
const LOCK_WAIT_MS = 20;

/**
 * The slots below one data folder, shared by all worker processes of a machine. A slot belongs to the process whose
 * identity stands in its `owner` file; `group` names the child group that runs there.
 */
export class SlotRack {
  readonly #root: string;

  constructor(dataDir: string) {
    this.#root = resolve(dataDir, 'slots');
  }

  /** Takes the lowest free slot. */
  async acquire(): Promise<Slot> {
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

  /** Empties the slot and gives it back. */
  async release(slot: Slot): Promise<void> {
    await emptySlot(slot);
    await rm(join(slot.dir, 'owner'), { force: true });
  }

  /** Written before the child can do anything, so that whoever sweeps knows its group. */
  noteGroup(slot: Slot, groupId: number): void {
    writeFileSync(join(slot.dir, 'group'), String(groupId));
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
        await endLeftovers(slot);
        await this.release(slot);
        freed.push(number);
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
      home: join(dir, 'home'),
      tmp: join(dir, 'tmp'),
      indexFile: join(dir, 'index'),
    };
  }

  /** One sweeper at a time: two that both saw a dead owner would free the slot of the first one's successor. */
  async #underLock<T>(work: () => Promise<T>): Promise<T> {
    const lock = join(this.#root, 'sweep.lock');
    for (let waitedMs = 0; ; waitedMs += LOCK_WAIT_MS) {
      try {
        await writeFile(lock, String(process.pid), { flag: 'wx' });
        break;
      } catch {
        const holder = Number(await readFile(lock, 'utf8').catch(() => '0'));
        const dead = holder > 0 && !(await isRunning({ pid: holder, startTicks: null }));
        if (dead || waitedMs > LOCK_STALE_MS) await rm(lock, { force: true });
        await sleep(LOCK_WAIT_MS);
      }
    }
    try {
      return await work();
    } finally {
      await rm(lock, { force: true });
    }
  }
}

async function readOwner(slot: Slot): Promise<ProcessIdentity | undefined> {
  const text = await readFile(join(slot.dir, 'owner'), 'utf8').catch(() => '');
  try {
    return JSON.parse(text) as ProcessIdentity;
  } catch {
    return undefined;
  }
}

/** By the journal of groups, and by what every child carries in its environment: a child may leave its group. */
async function endLeftovers(slot: Slot): Promise<void> {
  const marked = await processesWithVariable(`TMPDIR=${slot.tmp}`);
  const group = Number(await readFile(join(slot.dir, 'group'), 'utf8').catch(() => '0'));
  // The number may belong to somebody else by now: the group is ours only if a marked process is in it.
  if (group > 0 && marked.length > 0) signalGroup(group, 'SIGKILL');
  for (const pid of marked) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Gone already.
    }
  }
}

async function emptySlot(slot: Slot): Promise<void> {
  for (const path of [slot.work, slot.home, slot.tmp]) await removeTree(path);
  for (const file of ['index', 'group', 'input.json', 'evidence.json', 'message.txt']) {
    await rm(join(slot.dir, file), { force: true });
  }
}
