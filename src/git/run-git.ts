import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { meters, stopwatch } from '../lib/meters.ts';
import { runChild } from '../lib/process.ts';

export interface GitCall {
  args: readonly string[];
  gitDir?: string;
  /** Folder that new objects are written to; by default the repository's own. */
  objectDir?: string;
  /** Further folders to read objects from. */
  alsoReads?: readonly string[];
  workTree?: string;
  /** A private index, because the repository's own index is never used. */
  indexFile?: string;
  stdin?: string | Buffer | undefined;
  env?: Readonly<Record<string, string>>;
  timeoutMs?: number;
  maxOutputBytes?: number;
  signal?: AbortSignal | undefined;
  /** Runs at the lowest priority, because landing must not wait for it. */
  background?: boolean;
}

export interface GitAnswer {
  exitCode: number;
  stdout: Buffer;
  stderr: string;
}

const DEFAULT_TIMEOUT_MS = 120_000;
const DEFAULT_OUTPUT_BYTES = 512 * 1024 * 1024;

/** Allows only these transports, because `ext::` would run any command. */
const ALLOWED_PROTOCOLS = 'file:git:http:https:ssh';

/** Applies to git's own child processes too (the server side of a local path), which do not inherit `-c`. */
const GLOBAL_CONFIG = `[safe]
\tdirectory = *
[core]
\texcludesFile = /dev/null
\tattributesFile = /dev/null
`;

const SETTINGS = [
  'core.hooksPath=/dev/null',
  'core.fsmonitor=false',
  'core.autocrlf=false',
  'core.quotePath=true',
  'core.symlinks=true',
  'core.fileMode=true',
  'core.protectHFS=true',
  'core.protectNTFS=true',
  'gc.auto=0',
  // A fetch must become visible at once, as one pack: loose objects would show a commit before its trees.
  'fetch.unpackLimit=1',
  'maintenance.auto=false',
  'i18n.commitEncoding=UTF-8',
  'commit.gpgSign=false',
  'protocol.ext.allow=never',
  'merge.renames=true',
  // Mirrors and slots can be rebuilt after a crash; a remote applies its own setting.
  'core.fsync=none',
].flatMap((setting) => ['-c', setting]);

const BACKGROUND = ['nice', '-n', '19'];

/** Exit status that a shell reports for SIGABRT: `git apply` fails an assertion of its own on some invalid patches. */
const ABORTED = 134;

/**
 * Runs git by argument list: no shell, hooks, system or user configuration or prompts, and with its own environment.
 */
export class Git {
  readonly #home: string;
  readonly #searchPath: string;
  #ready: Promise<void> | undefined;

  constructor({ home, searchPath }: { home: string; searchPath: string }) {
    this.#home = home;
    this.#searchPath = searchPath;
  }

  /** Returns the command line of a call. Its configuration file exists only after the first `ask` or `run`. */
  commandOf(call: GitCall): { argv: string[]; cwd: string; env: Record<string, string> } {
    return {
      argv: [...(call.background ? BACKGROUND : []), 'git', ...SETTINGS, ...call.args],
      cwd: call.workTree ?? call.gitDir ?? this.#home,
      env: { ...this.#environment(call), ...call.env },
    };
  }

  /**
   * Returns any exit status as an answer, and an aborted `git apply` as status 134. Throws `git.failed` only when git
   * cannot run, is killed, times out or exceeds the output limit.
   */
  async ask(call: GitCall): Promise<GitAnswer> {
    this.#ready ??= this.#writeConfig();
    await this.#ready;
    const ended = stopwatch(meters.gitSeconds);
    const { ending, stdout, stderr, truncated } = await runChild({
      ...this.commandOf(call),
      stdin: call.stdin,
      timeoutMs: call.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxCapturedBytes: call.maxOutputBytes ?? DEFAULT_OUTPUT_BYTES,
      signal: call.signal,
    });
    ended({ command: call.args.find((word) => /^[a-z-]+$/.test(word) && !word.startsWith('-')) ?? 'other' });
    const words = stderr.toString('utf8').trim();
    const aborted = ending.kind === 'signalled' && ending.signal === 'SIGABRT';
    if (aborted && call.args[0] === 'apply') return { exitCode: ABORTED, stdout, stderr: words };
    if (ending.kind !== 'exited' || truncated) {
      const how = truncated ? 'its output exceeds the limit' : JSON.stringify(ending);
      throw new SluiceError('git.failed', `git ${call.args[0]}: ${how}`, {
        facts: { args: call.args, stderr: words },
        cause: ending,
      });
    }
    return { exitCode: ending.exitCode, stdout, stderr: words };
  }

  /** Returns the output of a call that must succeed; otherwise throws `git.failed` with git's message. */
  async run(call: GitCall): Promise<Buffer> {
    const { exitCode, stdout, stderr } = await this.ask(call);
    if (exitCode === 0) return stdout;
    throw new SluiceError('git.failed', `git ${call.args[0]}: ${stderr || `exit ${exitCode}`}`, {
      facts: { args: call.args, exitCode },
    });
  }

  async text(call: GitCall): Promise<string> {
    return (await this.run(call)).toString('utf8').trim();
  }

  async #writeConfig(): Promise<void> {
    await mkdir(this.#home, { recursive: true });
    await writeFile(join(this.#home, 'gitconfig'), GLOBAL_CONFIG);
  }

  #environment({ gitDir, objectDir, alsoReads, workTree, indexFile, env }: GitCall): Record<string, string> {
    return {
      PATH: this.#searchPath,
      HOME: this.#home,
      LC_ALL: 'C',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: join(this.#home, 'gitconfig'),
      GIT_ATTR_NOSYSTEM: '1',
      GIT_TERMINAL_PROMPT: '0',
      GIT_NO_REPLACE_OBJECTS: '1',
      GIT_OPTIONAL_LOCKS: '0',
      GIT_ALLOW_PROTOCOL: ALLOWED_PROTOCOLS,
      // GIT_SSH_COMMAND would take precedence over a GIT_SSH program that the call sets.
      ...(env?.GIT_SSH === undefined ? { GIT_SSH_COMMAND: 'ssh -o BatchMode=yes' } : {}),
      ...(gitDir === undefined ? {} : { GIT_DIR: gitDir }),
      ...(objectDir === undefined ? {} : { GIT_OBJECT_DIRECTORY: objectDir }),
      ...(alsoReads === undefined ? {} : { GIT_ALTERNATE_OBJECT_DIRECTORIES: alsoReads.map(quoted).join(':') }),
      ...(workTree === undefined ? {} : { GIT_WORK_TREE: workTree }),
      ...(indexFile === undefined ? {} : { GIT_INDEX_FILE: indexFile }),
    };
  }
}

/** Quotes a folder as git expects it in a colon-separated list. */
function quoted(folder: string): string {
  return /[":\\]/.test(folder) ? `"${folder.replaceAll(/["\\]/g, '\\$&')}"` : folder;
}
