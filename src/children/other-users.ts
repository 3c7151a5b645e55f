import { existsSync } from 'node:fs';
import { chmod, chown, lstat, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { runChild } from '../lib/process.ts';
import type { Slot } from '../workspaces/slot.ts';
import { findProgram, PROBE_BOX } from './sandbox.ts';

/** Numbers that no distribution gives to anybody, and that containers know. */
const FIRST_ID = 65_000;
const IDS = 500;
const PROBE_MS = 10_000;
/** Folders of the data folder through which children find their slot and the objects that it borrows. */
const PASSAGES = ['slots', 'mirrors'];
/** The embedded server is a user of its own too, and closes what is its own. */
const SERVER = 'postgres';
const SHARED_MIRRORS = 'worker';

/**
 * Where nothing can be confined and the daemon is root, the children of each slot run as a user of their own: they cannot read
 * the daemon's files and processes, nor those of other slots.
 */
export class OtherUsers {
  readonly #setpriv: string;

  private constructor(setpriv: string) {
    this.#setpriv = setpriv;
  }

  /**
   * Closes the data folder to them but for the way to their slots. `box`: the program of the sandbox that some tools ask for,
   * which must work under such a user as well. Throws `sandbox.unavailable` where something of that does not work.
   */
  static async prepare({
    searchPath,
    dataDir,
    box,
  }: {
    searchPath: string;
    dataDir: string;
    box: string | undefined;
  }): Promise<OtherUsers> {
    if (process.getuid?.() !== 0) throw new SluiceError('sandbox.unavailable', 'the daemon is not root');
    const users = new OtherUsers(await findProgram('setpriv', searchPath));
    if (existsSync(dataDir)) await closeToOthers(dataDir);
    await users.#probe(['test', '-x', join(dataDir, PASSAGES[0]!)], searchPath);
    if (box !== undefined) await users.#probe([box, ...PROBE_BOX, '--', 'true'], searchPath);
    return users;
  }

  async #probe(command: readonly string[], searchPath: string): Promise<void> {
    const argv = [...this.argv(FIRST_ID), ...command];
    const { ending, stderr } = await runChild({ argv, cwd: '/', env: { PATH: searchPath }, timeoutMs: PROBE_MS });
    if (ending.kind === 'exited' && ending.exitCode === 0) return;
    const words = stderr.toString('utf8').trim() || 'no other user can get into the data folder';
    throw new SluiceError('sandbox.unavailable', words);
  }

  idOf(slotNumber: number): number {
    return FIRST_ID + (slotNumber % IDS);
  }

  /** What stands before a command. */
  argv(id: number): string[] {
    const nothing = ['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
    return [this.#setpriv, `--reuid=${id}`, `--regid=${id}`, ...nothing, '--'];
  }

  /** Lets the user of a slot into it, and gives it the folders that its child writes to. */
  async admit({ uid, dir, child }: Slot): Promise<void> {
    if (uid === undefined) throw new SluiceError('internal.error', `the slot ${dir} belongs to no user`);
    await chown(dir, 0, uid);
    await chmod(dir, 0o710);
    for (const folder of [child.home, child.tmp, child.out]) await chown(folder, uid, uid);
  }
}

/** What will be made later is made here, so that it is closed from the start. */
async function closeToOthers(dataDir: string): Promise<void> {
  const mirrors = join(dataDir, 'mirrors');
  await mkdir(join(mirrors, SHARED_MIRRORS), { recursive: true });
  for (const name of ['slots', 'prepared', 'git']) await mkdir(join(dataDir, name), { recursive: true });
  const closed = (await readdir(dataDir)).filter((name) => ![...PASSAGES, SERVER].includes(name));
  for (const name of closed) await close(join(dataDir, name));
  for (const name of await readdir(mirrors)) if (name !== SHARED_MIRRORS) await close(join(mirrors, name));
  for (const folder of [dataDir, ...PASSAGES.map((name) => join(dataDir, name))]) await chmod(folder, 0o711);
  await chmod(join(mirrors, SHARED_MIRRORS), 0o711);
}

async function close(path: string): Promise<void> {
  const stats = await lstat(path);
  if (!stats.isSymbolicLink()) await chmod(path, stats.isDirectory() ? 0o700 : 0o600);
}
