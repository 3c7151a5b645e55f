import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mirror } from '../git/mirror.ts';
import { removeTree } from './remove-tree.ts';
import type { Slot } from './slots.ts';

/**
 * Puts the files of a commit into the slot, from nothing: no file of an earlier child stays. git runs in the mirror with a
 * private index; what a child does to the slot's own `.git` is never read.
 */
export async function checkOut(mirror: Mirror, slot: Slot, commit: string): Promise<void> {
  for (const path of [slot.work, slot.home, slot.tmp]) {
    await removeTree(path);
    await mkdir(path, { recursive: true });
  }
  await rm(slot.indexFile, { force: true });
  const where = { workTree: slot.work, indexFile: slot.indexFile };
  await mirror.run({ ...where, args: ['read-tree', commit] });
  await mirror.run({ ...where, args: ['checkout-index', '--all', '--force', '--quiet', '-u'] });
  await writeOwnRepository(mirror, slot, commit);
}

/**
 * A small repository for the child alone, made by hand each time: objects borrowed from the mirror, no remote, no hooks,
 * HEAD detached at the commit. A child may do to it what it likes.
 */
async function writeOwnRepository(mirror: Mirror, slot: Slot, commit: string): Promise<void> {
  const git = join(slot.work, '.git');
  await mkdir(join(git, 'objects', 'info'), { recursive: true });
  await mkdir(join(git, 'objects', 'pack'), { recursive: true });
  await mkdir(join(git, 'refs', 'heads'), { recursive: true });
  await writeFile(join(git, 'objects', 'info', 'alternates'), `${join(mirror.dir, 'objects')}\n`);
  await writeFile(join(git, 'HEAD'), `${commit}\n`);
  await writeFile(join(git, 'config'), OWN_CONFIG);
  await copyFile(slot.indexFile, join(git, 'index'));
}

const OWN_CONFIG = `[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
[user]
\tname = Sluice tool
\temail = tool@sluice.invalid
`;
