import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '../lib/clock.ts';
import { readIdentity } from '../lib/file-lock.ts';
import { signalGroup } from '../lib/process.ts';
import { identityOf, processesWithVariable, processesWorkingIn } from '../lib/process-identity.ts';
import { removeTree } from '../lib/remove-tree.ts';
import { takeBack } from './checkout.ts';
import type { Slot } from './slot.ts';

const MAX_KILL_ROUNDS = 20;
const ROUND_MS = 20;

/**
 * Kills the processes of a slot, found by a variable in their environment, by working directory and by the recorded
 * group: a child may leave its group, empty its environment, and start others while it is killed. Sluice's own process
 * never has the variable. Throws when one survives.
 */
export async function endLeftovers(slot: Slot): Promise<void> {
  const leader = await readIdentity(join(slot.dir, 'group'));
  for (let round = 0; round < MAX_KILL_ROUNDS; round += 1) {
    const marked = [...(await processesWithVariable(`TMPDIR=${slot.dir}/`)), ...(await processesWorkingIn(slot.dir))];
    const holder = leader === undefined ? null : (await identityOf(leader.pid)).startTicks;
    const leads = holder !== null && holder === leader?.startTicks;
    if (marked.length === 0 && !leads) return;
    // The group id may have been reused by another process. It was not while the leader lives or while no process has
    // the id: the kernel does not reuse the id of a group that still has members.
    if (leader !== undefined && (leads || holder === null)) signalGroup(leader.pid, 'SIGKILL');
    for (const pid of marked) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Gone already.
      }
    }
    await sleep(ROUND_MS);
  }
  throw new Error('a process of the slot could not be killed');
}

/** Throws when a process or a file of the child is left. */
export async function cleanSlot(slot: Slot): Promise<void> {
  await endLeftovers(slot);
  await takeBack(slot).catch(() => {});
  await emptySlot(slot, slot.content === undefined);
}

/** Entries of a slot's folder that outlive a child; all others are removed. */
const STAYING = ['owner', 'work', 'index'];

/** Removes what one child left anywhere in the slot's folder; the files of the commit only with `whole`. */
export async function emptySlot(slot: Slot, whole: boolean): Promise<void> {
  const staying = whole ? ['owner'] : STAYING;
  for (const name of await readdir(slot.dir)) if (!staying.includes(name)) await removeTree(join(slot.dir, name));
}
