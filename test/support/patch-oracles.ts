import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GitSandbox } from '../../harness/git-sandbox.ts';
import { runChild } from '../../src/lib/process.ts';

/** Commands of the tools for the patch file `$2`. */
const COMMANDS = {
  'patch -p1': 'patch -p1 -F0 -f -s --no-backup-if-mismatch -r - -i "$2"',
  'patch -p0': 'patch -p0 -F0 -f -s --no-backup-if-mismatch -r - -i "$2"',
  'git apply': 'git apply --whitespace=nowarn "$2"',
  'git apply --unidiff-zero': 'git apply --whitespace=nowarn --unidiff-zero "$2"',
  'git apply -p0': 'git apply --whitespace=nowarn -p0 "$2"',
  'git apply -p0 --unidiff-zero': 'git apply --whitespace=nowarn -p0 --unidiff-zero "$2"',
  'git am': 'git am -q "$2"',
  'git am --keep-cr': 'git am -q --keep-cr "$2"',
  'git am --quoted-cr=strip': 'git am -q --keep-cr --quoted-cr=strip "$2"',
} as const;

export type Oracle = keyof typeof COMMANDS;

const ORACLES = Object.keys(COMMANDS) as Oracle[];

/** Checks out `$1` in the scratch repository, runs the tool, and prints the tree that it left. */
const AROUND = (command: string): string =>
  `set -e; rm -rf .git/rebase-apply; git reset -q --hard "$1"; git clean -qffdx; ${command} >&2; git add -A -f; git write-tree`;

/** Scratch check-outs of the sandbox's remote in which real tools apply patches: one patch at a time in each. */
export class OraclePool {
  readonly #folder: string;
  readonly #idle: string[] = [];
  readonly #waiting: ((checkout: string) => void)[] = [];

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(git: GitSandbox, { size }: { size: number }): Promise<OraclePool> {
    const pool = new OraclePool(join(git.folder, 'oracles'));
    for (let n = 0; n < size; n += 1) {
      const checkout = join(pool.#folder, String(n));
      await mkdir(checkout, { recursive: true });
      await git.git(['init', '--quiet', '--template=', checkout]);
      await mkdir(join(checkout, '.git/objects/info'), { recursive: true });
      await writeFile(join(checkout, '.git/objects/info/alternates'), `${join(git.remote, 'objects')}\n`);
      pool.#idle.push(checkout);
    }
    return pool;
  }

  /** The tree that the tool makes of the patch on the commit; undefined when it exits with an error. */
  async tree(oracle: Oracle, { base, patch }: { base: string; patch: Buffer }): Promise<string | undefined> {
    const checkout = this.#idle.pop() ?? (await new Promise<string>((resolve) => this.#waiting.push(resolve)));
    const file = `${checkout}.patch`;
    try {
      await writeFile(file, patch);
      const { ending, stdout } = await runChild({
        argv: ['sh', '-c', AROUND(COMMANDS[oracle]), 'sh', base, file],
        cwd: checkout,
        env: { ...ENVIRONMENT, TMPDIR: this.#folder },
        timeoutMs: 30_000,
      });
      return ending.kind === 'exited' && ending.exitCode === 0 ? stdout.toString().trim() : undefined;
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#idle.push(checkout);
      else next(checkout);
    }
  }

  /** True when one of the tools, asked in this order, makes exactly this tree of one of the readings of a patch. */
  async agrees(
    tree: string,
    { base, readings, first }: { base: string; readings: readonly Buffer[]; first: Oracle },
  ): Promise<boolean> {
    for (const patch of readings) {
      for (const oracle of new Set([first, ...ORACLES])) {
        if ((await this.tree(oracle, { base, patch })) === tree) return true;
      }
    }
    return false;
  }
}

const ENVIRONMENT = {
  PATH: process.env.PATH!,
  HOME: '/nonexistent',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
  GIT_CONFIG_COUNT: '1',
  GIT_CONFIG_KEY_0: 'gc.auto',
  GIT_CONFIG_VALUE_0: '0',
};
