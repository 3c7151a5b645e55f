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
 * By what every child carries in its environment, by where it works, and by the journal of groups: a child may leave its
 * group, empty its environment, and start others while it is being ended. Our own process and its threads never carry the
 * mark. Throws when something would not end.
 */
export async function endLeftovers(slot: Slot): Promise<void> {
  const leader = await readIdentity(join(slot.dir, 'group'));
  for (let round = 0; round < MAX_KILL_ROUNDS; round += 1) {
    const marked = [...(await processesWithVariable(`TMPDIR=${slot.dir}/`)), ...(await processesWorkingIn(slot.dir))];
    const holder = leader === undefined ? null : (await identityOf(leader.pid)).startTicks;
    const leads = holder !== null && holder === leader?.startTicks;
    if (marked.length === 0 && !leads) return;
    // The number may belong to somebody else by now, and is nobody else's while its leader lives or has left others behind.
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
  throw new Error('a process there would not end');
}

/** Throws when a process or a file of the child is left. */
export async function cleanSlot(slot: Slot): Promise<void> {
  await endLeftovers(slot);
  await takeBack(slot).catch(() => {});
  await emptySlot(slot, slot.content === undefined);
}

/** Sluice's own entries of a slot that outlive a child: the rest of its folder goes. */
const STAYING = ['owner', 'work', 'index'];

/** What belonged to one child alone goes always, also beside its own folders; the files of the commit only with `whole`. */
export async function emptySlot(slot: Slot, whole: boolean): Promise<void> {
  const staying = whole ? ['owner'] : STAYING;
  for (const name of await readdir(slot.dir)) if (!staying.includes(name)) await removeTree(join(slot.dir, name));
}
