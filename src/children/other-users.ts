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

/** Numbers that no distribution gives to anybody, and that containers know. */
const FIRST_ID = 65_000;
const IDS = 500;
const PROBE_MS = 10_000;
/** Folders of the data folder through which children find their slot and the objects that it borrows. */
const PASSAGES = ['slots', 'mirrors', join('mirrors', 'worker')];
/** Folders that are made closed, before anything stands in them. */
const CLOSED_FOLDERS = ['prepared', 'git', join('mirrors', 'scheduler')];
const CLOSED_FILES = ['local.token', 'verdict.key'];
const KILL_ALL = ['/bin/sh', '-c', 'kill -9 -1'];
/** Prints those of its arguments that are no folders which it can enter. */
const NAME_CLOSED = ['/bin/sh', '-c', 'for folder do test -x "$folder" || echo "$folder"; done', 'sh'];
const MAX_KILL_ROUNDS = 20;
/** Slots are numbered from 1. */
const NO_SLOT = 0;

export interface OtherUsersOptions {
  searchPath: string;
  dataDir: string;
  /** Files of the daemon elsewhere. */
  hidden: readonly string[];
  /** The program of the sandbox that some tools ask for, which must work under such a user as well. */
  box: string | undefined;
  /** Only finds out whether it would work. */
  looksOnly: boolean;
}

/**
 * Where nothing can be confined and the daemon is root, the children of each slot run as a user of their own: they cannot read
 * the daemon's files and processes, nor those of other slots.
 */
export class OtherUsers {
  readonly #setpriv: string;
  readonly #searchPath: string;
  readonly #bySlot = new Map<number, number>();

  private constructor(setpriv: string, searchPath: string) {
    this.#setpriv = setpriv;
    this.#searchPath = searchPath;
  }

  /** Closes the data folder to them but for the way to their slots. Throws `sandbox.unavailable` where something does not work. */
  static async prepare(options: OtherUsersOptions): Promise<OtherUsers> {
    const { searchPath, dataDir, box, looksOnly } = options;
    if (process.getuid?.() !== 0) throw new SluiceError('sandbox.unavailable', 'the daemon is not root');
    const users = new OtherUsers(await findProgram('setpriv', searchPath), searchPath);
    if (!looksOnly) await closeToOthers(options);
    // Where the folder is not made yet, the way to it is looked at.
    const place = looksOnly ? firstThere(dataDir) : join(dataDir, PASSAGES[0]!);
    await users.#probe(['test', '-x', place]);
    if (box !== undefined) await users.#probe([box, ...PROBE_BOX, '--', 'true']);
    return users;
  }

  /** Folders of the search path that these users cannot enter: what stands there is `Permission denied` to a child. */
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
    const words = stderr.toString('utf8').trim() || 'no other user can get into the data folder';
    throw new SluiceError('sandbox.unavailable', words);
  }

  /** The user of a slot for as long as this process lives: no other process of the machine gives it to anybody. */
  async idOf(slotNumber: number): Promise<number> {
    const known = this.#bySlot.get(slotNumber);
    if (known !== undefined) return known;
    for (let tries = 0; tries < IDS; tries += 1) {
      const id = FIRST_ID + ((slotNumber + tries) % IDS);
      if (!(await claim(id))) continue;
      this.#bySlot.set(slotNumber, id);
      // A worker that died may have left some.
      await this.endAll(id);
      return id;
    }
    throw new SluiceError('sandbox.unavailable', `all ${IDS} users of slots are taken on this machine`);
  }

  /** What stands before a command. */
  argv(id: number): string[] {
    const nothing = ['--clear-groups', '--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
    return [this.#setpriv, `--reuid=${id}`, `--regid=${id}`, ...nothing, '--'];
  }

  /** Lets the user of a slot into it, and gives it the folders of its child. */
  async admit({ uid, dir, child }: Slot): Promise<void> {
    if (uid === undefined) throw new SluiceError('internal.error', `the slot ${dir} belongs to no user`);
    for (const folder of [dir, child.dir]) {
      await chown(folder, 0, uid);
      await chmod(folder, 0o710);
    }
    for (const folder of [child.home, child.tmp, child.out, child.given]) await chown(folder, uid, uid);
    for (const name of await readdir(child.given)) await chown(join(child.given, name), uid, uid);
  }

  /** Nothing of a child may live while root works in the files that it wrote. Throws when something would not end. */
  async endAll(id: number): Promise<void> {
    for (let round = 0; round < MAX_KILL_ROUNDS; round += 1) {
      if ((await processesOfUser(id)).length === 0) return;
      // In one call, so that none can start another in between.
      await this.#run([...this.argv(id), ...KILL_ALL]);
    }
    throw new SluiceError('machine.fault', `processes of user ${id} would not end`, { retryable: true });
  }

  #run(argv: readonly string[]) {
    return runChild({ argv, cwd: '/', env: { PATH: this.#searchPath }, timeoutMs: PROBE_MS });
  }
}

/** By a name in the kernel that goes with the process. False when another process has it. */
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

/** What will be made later is made here, so that it is closed from the start. */
async function closeToOthers({ dataDir, hidden }: OtherUsersOptions): Promise<void> {
  // Files that a slot's user must read are made by this process: as usual, whatever it was started with.
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
