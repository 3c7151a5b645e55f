import { runChild } from '../lib/process.ts';

/** Compilers and interpreters that can change the result of a gate, each with the argument that prints its version. */
const PROGRAMS: Readonly<Record<string, string>> = {
  cc: '--version',
  dotnet: '--version',
  git: '--version',
  go: 'version',
  java: '--version',
  make: '--version',
  node: '--version',
  php: '--version',
  python3: '--version',
  ruby: '--version',
  rustc: '--version',
};
const LIMIT_MS = 10_000;
const MAX_LENGTH = 100;

const known = new Map<string, Promise<Record<string, string>>>();

/** Returns the versions that the programs of a search path print, by name, without missing programs. Asked once. */
export function programVersions(searchPath: string): Promise<Record<string, string>> {
  const found = known.get(searchPath) ?? ask(searchPath);
  known.set(searchPath, found);
  return found;
}

async function ask(searchPath: string): Promise<Record<string, string>> {
  const answers = Object.entries(PROGRAMS).map(async ([name, argument]) => {
    const env = { PATH: searchPath, LC_ALL: 'C' };
    const { ending, stdout } = await runChild({ argv: [name, argument], cwd: '/', env, timeoutMs: LIMIT_MS });
    if (ending.kind !== 'exited' || ending.exitCode !== 0) return [];
    return [[name, stdout.toString('utf8').split('\n')[0]!.slice(0, MAX_LENGTH)]] as const;
  });
  return Object.fromEntries((await Promise.all(answers)).flat());
}
