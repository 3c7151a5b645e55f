import { constants as files } from 'node:fs';
import { access } from 'node:fs/promises';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import type { ChildLimits } from '../contract/config-schema.ts';
import { SluiceError } from '../contract/errors.ts';
import { type ChildEnding, type ChildResult, runChild } from '../lib/process.ts';
import type { VisiblePlaces } from './visible-places.ts';

/** What one child sees beside what all of them see. */
export interface SandboxView {
  places: VisiblePlaces;
  /** Where it begins. */
  work: string;
  writable: readonly string[];
  readable: readonly string[];
  network: boolean;
}

const PROBE_MS = 10_000;
/** A child of root owns these files also without any capability; one line in `core_pattern` would run a program outside. */
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
 * bubblewrap's arguments up to the command. The root folder is empty but for what is named here; processes, IPC, host name,
 * users and mounts are the child's own, and so is the network where it has none of the machine's.
 */
export function sandboxArgv({ places, work, writable, readable, network }: SandboxView): string[] {
  return [
    // What root could mount or unmount would be no wall.
    ...['--die-with-parent', '--unshare-user-try', '--unshare-pid', '--unshare-ipc', '--unshare-uts'],
    ...['--unshare-cgroup-try', '--cap-drop', 'ALL', ...(network ? [] : ['--unshare-net'])],
    // First what is empty: something readable may lie in it.
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

/** A sandbox in which any program can be tried. */
export const PROBE_BOX: readonly string[] = sandboxArgv({
  places: { links: [], readable: ['/'], hidden: [] },
  work: '/',
  writable: [],
  readable: [],
  network: false,
});

/** Throws `sandbox.unavailable` where bubblewrap is missing or may not make namespaces. Gives its path. */
export async function findBubblewrap(searchPath: string): Promise<string> {
  const bwrap = await findProgram('bwrap', searchPath);
  const argv = [bwrap, ...PROBE_BOX, '--', 'true'];
  const { ending, stderr } = await runChild({ argv, cwd: '/', env: { PATH: searchPath }, timeoutMs: PROBE_MS });
  if (ending.kind === 'exited' && ending.exitCode === 0) return bwrap;
  const words = stderr.toString('utf8').trim() || JSON.stringify(ending);
  throw new SluiceError('sandbox.unavailable', `bubblewrap does not work here: ${words.slice(0, 500)}`);
}

/** What stands around bubblewrap and inside of it so that a request to end reaches the child. */
export interface Grace {
  outside: readonly string[];
  inside: readonly string[];
}

/**
 * A signal to end goes to the whole process group. bubblewrap would be the first to end, and all inside with it, without their
 * last words: so it ignores that one, and the child hears it as usual. Nothing where `env` cannot do so.
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

/** What stands before a command so that the kernel's limits hold; nothing where none is asked for. Throws `sandbox.unavailable`. */
export async function limitsArgv(
  { memory_bytes, file_size_bytes }: ChildLimits,
  searchPath: string,
): Promise<string[]> {
  const limits = [
    // Data, not address space: a runtime that reserves much and uses little is not meant.
    ...(memory_bytes === undefined ? [] : [`--data=${memory_bytes}:${memory_bytes}`]),
    ...(file_size_bytes === undefined ? [] : [`--fsize=${file_size_bytes}:${file_size_bytes}`]),
  ];
  return limits.length === 0 ? [] : [await findProgram('prlimit', searchPath), ...limits, '--'];
}

/** By number; of two names for one, the first. */
const SIGNALS = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name as NodeJS.Signals]),
);
/** All that is said of a program that could not be started. */
const NOT_STARTED =
  /^(?:(?:bwrap: execvp|(?:prlimit|setpriv): failed to execute|sh: (?:line )?1: exec:) [^\n]*|\S*env: [‘'][^\n]*[’']: [^\n]*)\n?$/;

/**
 * How the program itself ended, by what those around it make of that: bubblewrap passes a signal on as a shell does, as an exit
 * status of 128 and its number, unless the tool has declared that status.
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
  // What is missing may be installed later.
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
