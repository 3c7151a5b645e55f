import type { GitSandbox } from '../../harness/git-sandbox.ts';
import { runChild } from '../../src/lib/process.ts';
import { changedPaths, isBinary } from './corpus-tree.ts';
import type { Change } from './patch-history.ts';
import type { Oracle } from './patch-oracles.ts';

/** A diff or mail format, and the tool that reads it. */
export interface PatchFormat {
  name: string;
  tool: Oracle;
  /** True if the format can express the whole change. */
  carries: (change: Change) => boolean;
  make: (git: GitSandbox, change: Change) => Promise<Buffer>;
  /** git cannot apply all that it writes in this form. */
  isLimited?: true;
  /** The same without a transfer encoding, for tools that read none. */
  plain?: (git: GitSandbox, change: Change) => Promise<Buffer>;
}

interface Traits {
  binary: boolean;
  /** Modes, links, empty files that come or go, a file that becomes a folder: what a plain diff cannot express. */
  gitOnly: boolean;
  tabInName: boolean;
  onlyNew: boolean;
  removes: boolean;
}

export function traitsOf({ trees }: Change): Traits {
  const [before, after] = [trees[0]!, trees.at(-1)!];
  const paths = changedPaths(before, after);
  const onlyNew = paths.every((path) => !before.has(path));
  const removes = paths.some((path) => !after.has(path));
  const traits = { binary: false, gitOnly: false, tabInName: false, onlyNew, removes };
  for (const path of paths) {
    const [old, fresh] = [before.get(path), after.get(path)];
    const modes = [old?.mode ?? fresh!.mode, fresh?.mode ?? old!.mode];
    const content = [old?.content, fresh?.content];
    if (content.some((bytes) => bytes !== undefined && isBinary(bytes))) traits.binary = true;
    if (modes[0] !== modes[1] || modes.includes('120000')) traits.gitOnly = true;
    if (old === undefined && fresh?.mode !== '100644') traits.gitOnly = true;
    if (content.includes(undefined) && content.some((bytes) => bytes?.length === 0)) traits.gitOnly = true;
    if ([before, after].some((tree) => [...tree.keys()].some((other) => other.startsWith(`${path}/`))))
      traits.gitOnly = true;
    if (path.includes('\t')) traits.tabInName = true;
  }
  return traits;
}

export const ENVIRONMENT = {
  PATH: process.env.PATH!,
  HOME: '/nonexistent',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
};

export async function output(argv: readonly string[], cwd: string, env: Record<string, string> = {}): Promise<Buffer> {
  const child = { argv, cwd, env: { ...ENVIRONMENT, ...env }, timeoutMs: 30_000, maxCapturedBytes: 64 * 1024 * 1024 };
  const { ending, stdout, stderr } = await runChild(child);
  // diff exits with 1 where the files differ.
  const isGood = ending.kind === 'exited' && ending.exitCode <= (argv[0] === 'diff' ? 1 : 0);
  if (!isGood || stdout.length === 0) throw new Error(`${argv.join(' ')}: ${stderr.toString() || 'no output'}`);
  return stdout;
}

export type Flags = readonly string[];

function withCarriageReturns(text: Buffer): Buffer {
  return Buffer.from(text.toString('latin1').replaceAll('\n', '\r\n'), 'latin1');
}

export function asCrlf(format: PatchFormat, tool: Oracle): PatchFormat {
  const make = async (git: GitSandbox, change: Change) => withCarriageReturns(await format.make(git, change));
  return { ...format, name: `${format.name}, CRLF`, tool, make };
}
