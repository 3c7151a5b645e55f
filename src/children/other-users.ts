import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { runChild } from '../lib/process.ts';
import { processesOfUser } from '../lib/process-identity.ts';
import type { Slot } from '../workspaces/slot.ts';
import { findProgram, PROBE_BOX } from './sandbox.ts';
import { isBelow } from './visible-places.ts';

/** First of the user ids for slots. No distribution assigns them, and the user namespaces of containers map them. */
const FIRST_ID = 65_000;
const IDS = 500;
const PROBE_MS = 10_000;
/** Folders below the data folder that children traverse to reach their slot and the mirror objects that it borrows. */
const PASSAGES = ['slots', 'mirrors', join('mirrors', 'worker')];
/** Folders that are created private, before anything is written into them. */
const CLOSED_FOLDERS = ['prepared', 'git', join('mirrors', 'scheduler')];
const CLOSED_FILES = ['local.token', 'verdict.key'];
const KILL_ALL = ['/bin/sh', '-c', 'kill -9 -1'];
/** Prints the arguments that are not folders which its user can enter. */
const NAME_CLOSED = ['/bin/sh', '-c', 'for folder do test -x "$folder" || echo "$folder"; done', 'sh'];
const MAX_KILL_ROUNDS = 20;
/** Probes run as the user of this number, which no slot has: slots are numbered from 1. */
const NO_SLOT = 0;

export interface OtherUsersOptions {
  searchPath: string;
  dataDir: string;
  /** Files and folders that children must not see; those below `dataDir` are made private. */
  hidden: readonly string[];
  /** Path of bubblewrap, which must work under such a user too, because some tools ask for a sandbox. */
  box: string | undefined;
  /** True: only checks whether it would work, and changes nothing. */
  looksOnly: boolean;
}

/**
 * Runs the children of each slot as a separate user, where nothing can be confined and the daemon is root. They cannot
 * read the daemon's files and processes, nor those of other slots.
 */
export class OtherUsers {
  readonly #setpriv: string;
  readonly #searchPath: string;
  readonly #bySlot = new Map<number, number>();

  private constructor(setpriv: string, searchPath: string) {
    this.#setpriv = setpriv;
    this.#searchPath = searchPath;
  }

  /**
   * Closes the data folder to slot users except for the way to their slots. Throws `sandbox.unavailable` when the
   * daemon is not root, `setpriv` is missing or a probe fails.
   */
  static async prepare(options: OtherUsersOptions): Promise<OtherUsers> {
    const { searchPath, dataDir, box, looksOnly } = options;
    if (process.getuid?.() !== 0) throw new SluiceError('sandbox.unavailable', 'the daemon is not root');
    const users = new OtherUsers(await findProgram('setpriv', searchPath), searchPath);
    if (!looksOnly) await closeToOthers(options);
    // The data folder may not exist yet: then its nearest existing ancestor is probed.
    const place = looksOnly ? firstThere(dataDir) : join(dataDir, PASSAGES[0]!);
    await users.#probe(['test', '-x', place]);
    if (box !== undefined) await users.#probe([box, ...PROBE_BOX, '--', 'true']);
    return users;
  }

  /** Returns folders of the search path that slot users cannot enter: programs there fail with `Permission denied`. */
  async closedFolders(): Promise<string[]> {
    const folders = [...new Set(this.#searchPath.split(delimiter))].filter((folder) => existsSync(folder));
    const argv = [...this.argv(await this.idOf(NO_SLOT)), ...NAME_CLOSED, ...folders];
    return (await this.#run(argv)).stdout
      .toString('utf8')
      .split('\n')
      .filter((line) => line !== '');
  }

  async #probe(command: readonly string[]): Promise<void> {
    const argv = [...this.argv(await this.idOf(NO_SLOT)), ...command];
    const { ending, stderr } = await this.#run(argv);
    if (ending.kind === 'exited' && ending.exitCode === 0) return;
    const words =
      stderr.toString('utf8').trim() ||
      'other users cannot enter the data folder; check the permissions of the folders above it';
    throw new SluiceError('sandbox.unavailable', words);
  }

  /** Returns the user id of a slot, reserved until this process ends: no other process of this host can reserve it. */
  async idOf(slotNumber: number): Promise<number> {
    const known = this.#bySlot.get(slotNumber);
    if (known !== undefined) return known;
    for (let tries = 0; tries < IDS; tries += 1) {
      const id = FIRST_ID + ((slotNumber + tries) % IDS);
      if (!(await claim(id))) continue;
      this.#bySlot.set(slotNumber, id);
      // A worker that died may have left processes of this user.
      await this.endAll(id);
      return id;
    }
    throw new SluiceError('sandbox.unavailable', `all ${IDS} user ids for slots are in use on this machine`);
  }

  /** Returns the arguments to put before a command so that it runs as this user, without privileges. */
  argv(id: number): string[] {
    const nothing = ['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
    return [this.#setpriv, `--reuid=${id}`, `--regid=${id}`, ...nothing, '--'];
  }

  /** Lets the user of a slot enter it, and makes that user the owner of its child's folders. */
  async admit({ uid, dir, child }: Slot): Promise<void> {
    if (uid === undefined) throw new SluiceError('internal.error', `slot ${dir} has no user`);
    for (const folder of [dir, child.dir]) {
      await chown(folder, 0, uid);
      await chmod(folder, 0o710);
    }
    for (const folder of [child.home, child.tmp, child.out, child.given]) await chown(folder, uid, uid);
    for (const name of await readdir(child.given)) await chown(join(child.given, name), uid, uid);
  }

  /** Kills all processes of a user, because none may run while root works on its files. Throws when one survives. */
  async endAll(id: number): Promise<void> {
    for (let round = 0; round < MAX_KILL_ROUNDS; round += 1) {
      if ((await processesOfUser(id)).length === 0) return;
      // One `kill -1` reaches all of them at once, so that none can start another in between.
      await this.#run([...this.argv(id), ...KILL_ALL]);
    }
    throw new SluiceError('machine.fault', `processes of user ${id} could not be killed`, { retryable: true });
  }

  #run(argv: readonly string[]) {
    return runChild({ argv, cwd: '/', env: { PATH: this.#searchPath }, timeoutMs: PROBE_MS });
  }
}

/** Reserves an id by an abstract socket, which the kernel frees with the process. False when another process has it. */
function claim(id: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(`\0sluice-user-${id}`, () => resolve(true));
    server.unref();
  });
}

function firstThere(path: string): string {
  return existsSync(path) || dirname(path) === path ? path : firstThere(dirname(path));
}

/** Creates folders before they are needed, so that they are private from the start. */
async function closeToOthers({ dataDir, hidden }: OtherUsersOptions): Promise<void> {
  // Slots' users must read files that this process creates, whatever umask it was started with.
  process.umask(0o022);
  for (const name of [...PASSAGES, ...CLOSED_FOLDERS]) await mkdir(join(dataDir, name), { recursive: true });
  for (const folder of ['.', ...PASSAGES]) await chmod(join(dataDir, folder), 0o711);
  for (const folder of CLOSED_FOLDERS) await chmod(join(dataDir, folder), 0o700);
  const files = [
    ...CLOSED_FILES.map((name) => join(dataDir, name)),
    ...hidden.filter((path) => isBelow(path, dataDir)),
  ];
  for (const file of files) if (file !== dataDir && existsSync(file)) await chmod(file, 0o600);
}
