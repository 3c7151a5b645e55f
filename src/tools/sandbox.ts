import { constants as files } from 'node:fs';
import { access } from 'node:fs/promises';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { type ChildEnding, type ChildResult, runChild } from '../lib/process.ts';

export interface Sandbox {
  kind: 'bubblewrap';
  network: boolean;
}

/** Of each process, but for `processes`, which counts all that a child has started. */
export interface ChildLimits {
  memory_bytes?: number | undefined;
  file_size_bytes?: number | undefined;
  processes?: number | undefined;
}

/** What a sandboxed child may see of the machine beside the system itself, which it may read. */
export interface SandboxPlaces {
  work: string;
  writable: readonly string[];
  /** Folders that look empty: what the daemon keeps there is nobody's business. */
  hidden: readonly string[];
  /** Programs in hidden folders that may be read all the same; where they hold a hidden folder, that stays hidden. */
  programs: readonly string[];
  /** Parts of hidden folders that the child needs. */
  readable: readonly string[];
}

const PROBE_MS = 10_000;
/** Writable for all, so everybody's leavings are there: a sandboxed child gets an empty one. */
const SHARED_TMP = '/tmp';

/**
 * Puts the declared limits and the sandbox around a command. Throws `sandbox.unavailable` where a program that it needs is
 * missing or does not work: what was asked for is never left out.
 */
export async function confine(
  argv: readonly string[],
  options: { sandbox: Sandbox | undefined; limits: ChildLimits; places: SandboxPlaces; searchPath: string },
): Promise<string[]> {
  const { sandbox, limits, places, searchPath } = options;
  const limited = limitsArgv(limits);
  const prefix: string[] = [];
  if (limited.length > 0) prefix.push(await find('prlimit', searchPath), ...limited, '--');
  if (sandbox !== undefined) {
    const bwrap = await find('bwrap', searchPath);
    await assertWorks(bwrap, searchPath);
    prefix.push(bwrap, ...sandboxArgv(sandbox, places), '--');
  }
  return [...prefix, ...argv];
}

/** By number; of two names for one, the first. */
const SIGNALS = new Map(
  Object.entries(constants.signals)
    .toReversed()
    .map(([name, number]) => [number, name as NodeJS.Signals]),
);
/** All that is said of a program that could not be started. */
const NOT_STARTED = /^(?:bwrap: execvp|prlimit: failed to execute) [^\n]*\n?$/;

/**
 * How the program itself ended, by what those around it make of that: bubblewrap passes a signal on as a shell does, as an exit
 * status of 128 and its number, unless the tool has declared that status.
 */
export function endingInside(
  { ending, stderr }: Pick<ChildResult, 'ending' | 'stderr'>,
  { sandbox, declared }: { sandbox: Sandbox | undefined; declared: readonly number[] },
): ChildEnding {
  if (ending.kind !== 'exited' || ending.exitCode === 0) return ending;
  const words = stderr.toString('utf8');
  if (NOT_STARTED.test(words)) {
    return { kind: 'not_started', code: /ermission/.test(words) ? 'EACCES' : 'ENOENT', message: words.trim() };
  }
  const signal = sandbox === undefined ? undefined : SIGNALS.get(ending.exitCode - 128);
  return signal === undefined || declared.includes(ending.exitCode) ? ending : { kind: 'signalled', signal };
}

/** Folders of the search path that lie in a hidden one; with a `bin` comes the `lib` beside it, and nothing else of its parent. */
export function hiddenPrograms(searchPath: string, hidden: readonly string[]): string[] {
  const folders = searchPath.split(delimiter).filter((folder) => folder.startsWith('/'));
  return folders
    .filter((folder) => hidden.some((place) => folder.startsWith(`${place}/`)))
    .flatMap((folder) => (folder.endsWith('/bin') ? [folder, join(dirname(folder), 'lib')] : [folder]));
}

function limitsArgv({ memory_bytes, file_size_bytes }: ChildLimits): string[] {
  return [
    // Data, not address space: a runtime that reserves much and uses little is not meant.
    ...(memory_bytes === undefined ? [] : [`--data=${memory_bytes}:${memory_bytes}`]),
    ...(file_size_bytes === undefined ? [] : [`--fsize=${file_size_bytes}:${file_size_bytes}`]),
  ];
}

function sandboxArgv({ network }: Sandbox, places: SandboxPlaces): string[] {
  const { work, writable, hidden, programs, readable } = places;
  const holdsHidden = hidden.filter((path) => programs.some((program) => `${path}/`.startsWith(`${program}/`)));
  const parentsFirst = (paths: readonly string[]): string[] =>
    [...new Set(paths)].toSorted((a, b) => a.length - b.length);
  return [
    // What root could mount or unmount would be no wall.
    ...['--die-with-parent', '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--cap-drop', 'ALL'],
    ...(network ? [] : ['--unshare-net']),
    ...['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', SHARED_TMP],
    ...parentsFirst(hidden).flatMap((path) => ['--tmpfs', path]),
    ...parentsFirst(programs).flatMap((path) => ['--ro-bind-try', path, path]),
    ...parentsFirst(holdsHidden).flatMap((path) => ['--tmpfs', path]),
    ...parentsFirst(readable).flatMap((path) => ['--ro-bind-try', path, path]),
    ...writable.flatMap((path) => ['--bind', path, path]),
    ...['--chdir', work],
  ];
}

const found = new Map<string, Promise<string>>();

function find(program: string, searchPath: string): Promise<string> {
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
  throw new SluiceError('sandbox.unavailable', `the tool asks for ${program}, which is not installed here`);
}

const working = new Map<string, Promise<void>>();

/** It may be there and not be allowed to make namespaces. */
function assertWorks(bwrap: string, searchPath: string): Promise<void> {
  const known = working.get(bwrap) ?? probe(bwrap, searchPath);
  working.set(bwrap, known);
  known.catch(() => working.delete(bwrap));
  return known;
}

async function probe(bwrap: string, searchPath: string): Promise<void> {
  const argv = [
    bwrap,
    '--unshare-pid',
    '--cap-drop',
    'ALL',
    '--ro-bind',
    '/',
    '/',
    '--dev',
    '/dev',
    '--proc',
    '/proc',
    '--',
    'true',
  ];
  const { ending, stderr } = await runChild({ argv, cwd: '/', env: { PATH: searchPath }, timeoutMs: PROBE_MS });
  if (ending.kind === 'exited' && ending.exitCode === 0) return;
  const words = stderr.toString('utf8').trim() || JSON.stringify(ending);
  throw new SluiceError('sandbox.unavailable', `bubblewrap does not work here: ${words.slice(0, 500)}`);
}
