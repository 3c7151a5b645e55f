import { constants as files } from 'node:fs';
import { access } from 'node:fs/promises';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import type { ChildLimits } from '../contract/config-schema.ts';
import { SluiceError } from '../contract/errors.ts';
import { type ChildEnding, type ChildResult, runChild } from '../lib/process.ts';
import type { VisiblePlaces } from './visible-places.ts';

/** Everything that one child can see: `places` is the same for all children, the rest is its own. */
export interface SandboxView {
  places: VisiblePlaces;
  /** Its working directory. */
  work: string;
  writable: readonly string[];
  readable: readonly string[];
  network: boolean;
}

const PROBE_MS = 10_000;
/**
 * Read-only, because root owns them even without capabilities: a line in `core_pattern` would run a program outside.
 */
const KERNEL_SETTINGS = [
  'sys',
  'sysrq-trigger',
  'irq',
  'bus',
  'fs',
  'scsi',
  'acpi',
  'driver',
  'dynamic_debug',
  'mtrr',
].map((name) => `/proc/${name}`);

/**
 * Returns bubblewrap's arguments up to the command. The root folder holds only the places named here. Processes, IPC,
 * host name, users and mounts are in namespaces of the child's own, and so is the network unless `network` is true.
 */
export function sandboxArgv({ places, work, writable, readable, network }: SandboxView): string[] {
  return [
    // All capabilities are dropped, because root could otherwise mount or unmount its way out.
    ...['--die-with-parent', '--unshare-user-try', '--unshare-pid', '--unshare-ipc', '--unshare-uts'],
    ...['--unshare-cgroup-try', '--cap-drop', 'ALL', ...(network ? [] : ['--unshare-net'])],
    // Empty mounts come first, because a readable path may lie inside one.
    ...['--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp', '--tmpfs', '/var/tmp'],
    ...KERNEL_SETTINGS.flatMap((path) => ['--ro-bind-try', path, path]),
    ...places.readable.flatMap((path) => ['--ro-bind-try', path, path]),
    ...places.links.flatMap(({ path, target }) => ['--symlink', target, path]),
    ...places.hidden.flatMap(({ path, isFolder }) => (isFolder ? ['--tmpfs', path] : ['--ro-bind', '/dev/null', path])),
    ...readable.flatMap((path) => ['--ro-bind', path, path]),
    ...writable.flatMap((path) => ['--bind', path, path]),
    ...['--remount-ro', '/', '--chdir', work],
  ];
}

/** Arguments of a sandbox that shows the whole file system read-only, to test whether bubblewrap works. */
export const PROBE_BOX: readonly string[] = sandboxArgv({
  places: { links: [], readable: ['/'], hidden: [] },
  work: '/',
  writable: [],
  readable: [],
  network: false,
});

/** Returns the path of bubblewrap. Throws `sandbox.unavailable` when it is missing or may not create namespaces. */
export async function findBubblewrap(searchPath: string): Promise<string> {
  const bwrap = await findProgram('bwrap', searchPath);
  const argv = [bwrap, ...PROBE_BOX, '--', 'true'];
  const { ending, stderr } = await runChild({ argv, cwd: '/', env: { PATH: searchPath }, timeoutMs: PROBE_MS });
  if (ending.kind === 'exited' && ending.exitCode === 0) return bwrap;
  const words = stderr.toString('utf8').trim() || JSON.stringify(ending);
  throw new SluiceError('sandbox.unavailable', `bubblewrap does not work here: ${words.slice(0, 500)}`);
}

/** Programs to put outside and inside bubblewrap so that SIGTERM reaches the child. */
export interface Grace {
  outside: readonly string[];
  inside: readonly string[];
}

/**
 * Finds programs that make bubblewrap ignore SIGTERM, but not its child. The signal goes to the whole process group:
 * bubblewrap would end first and kill the child before it can clean up. Empty where `env` lacks these options.
 */
export async function findGrace(searchPath: string): Promise<Grace> {
  const none = { outside: [], inside: [] };
  const env = await findProgram('env', searchPath).catch(() => undefined);
  if (env === undefined) return none;
  const grace = { outside: [env, '--ignore-signal=TERM'], inside: [env, '--default-signal=TERM'] };
  const argv = [...grace.outside, ...grace.inside, 'true'];
  const { ending } = await runChild({ argv, cwd: '/', env: { PATH: searchPath }, timeoutMs: PROBE_MS });
  return ending.kind === 'exited' && ending.exitCode === 0 ? grace : none;
}

/** Returns the `prlimit` arguments to put before a command, if any. Throws `sandbox.unavailable` without `prlimit`. */
export async function limitsArgv(
  { memory_bytes, file_size_bytes }: ChildLimits,
  searchPath: string,
): Promise<string[]> {
  const limits = [
    // Limits data, not address space: some runtimes reserve much more address space than they use.
    ...(memory_bytes === undefined ? [] : [`--data=${memory_bytes}:${memory_bytes}`]),
    ...(file_size_bytes === undefined ? [] : [`--fsize=${file_size_bytes}:${file_size_bytes}`]),
  ];
  return limits.length === 0 ? [] : [await findProgram('prlimit', searchPath), ...limits, '--'];
}

/** Signal names by number. The first of two names for one number wins. */
const SIGNALS = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name as NodeJS.Signals]),
);
/** Matches the output of a program that could not be started: one message of a wrapper and nothing else. */
const NOT_STARTED =
  /^(?:(?:bwrap: execvp|(?:prlimit|setpriv): failed to execute|sh: (?:line )?1: exec:) [^\n]*|\S*env: [‘'][^\n]*[’']: [^\n]*)\n?$/;

/**
 * Returns how the program itself ended, derived from how its wrappers ended. bubblewrap reports a signal as a shell
 * does, as exit status 128 + number. A status that the tool declares stays an exit.
 */
export function endingInside(
  { ending, stderr }: Pick<ChildResult, 'ending' | 'stderr'>,
  { sandboxed, declared }: { sandboxed: boolean; declared: readonly number[] },
): ChildEnding {
  if (ending.kind !== 'exited' || ending.exitCode === 0) return ending;
  const words = stderr.toString('utf8');
  if (NOT_STARTED.test(words)) {
    return { kind: 'not_started', code: /ermission/.test(words) ? 'EACCES' : 'ENOENT', message: words.trim() };
  }
  const signal = sandboxed ? SIGNALS.get(ending.exitCode - 128) : undefined;
  return signal === undefined || declared.includes(ending.exitCode) ? ending : { kind: 'signalled', signal };
}

const found = new Map<string, Promise<string>>();

export function findProgram(program: string, searchPath: string): Promise<string> {
  const key = `${program}\0${searchPath}`;
  const known = found.get(key) ?? search(program, searchPath);
  found.set(key, known);
  // A missing program may be installed later.
  known.catch(() => found.delete(key));
  return known;
}

async function search(program: string, searchPath: string): Promise<string> {
  for (const folder of searchPath.split(delimiter)) {
    const path = join(folder, program);
    const runs = await access(path, files.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return path;
  }
  throw new SluiceError('sandbox.unavailable', `${program} is not installed here`);
}
