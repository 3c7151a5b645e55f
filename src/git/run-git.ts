import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { runChild } from '../lib/process.ts';

export interface GitCall {
  args: readonly string[];
  gitDir?: string;
  /** Where new objects are written; the repository's own folder where it is not given. */
  objectDir?: string;
  /** Further folders of objects to read. */
  alsoReads?: readonly string[];
  workTree?: string;
  /** A private index: the repository's own is never used. */
  indexFile?: string;
  stdin?: string | Buffer;
  env?: Readonly<Record<string, string>>;
  timeoutMs?: number;
  maxOutputBytes?: number;
  signal?: AbortSignal;
  /** Runs at the lowest priority: landing must not wait for it. */
  background?: boolean;
}

export interface GitAnswer {
  exitCode: number;
  stdout: Buffer;
  stderr: string;
}

const DEFAULT_TIMEOUT_MS = 120_000;
const DEFAULT_OUTPUT_BYTES = 512 * 1024 * 1024;

/** Only these transports: `ext::` would run any command. */
const ALLOWED_PROTOCOLS = 'file:git:http:https:ssh';

/** For children of git as well (the server side of a local path), which do not inherit `-c`. */
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
  // A fetch becomes visible as one pack, at once: loose objects would show a commit before its trees.
  'fetch.unpackLimit=1',
  'maintenance.auto=false',
  'i18n.commitEncoding=UTF-8',
  'commit.gpgSign=false',
  'protocol.ext.allow=never',
  'merge.renames=true',
  // Mirrors and slots can be made again; a remote keeps its own rule.
  'core.fsync=none',
].flatMap((setting) => ['-c', setting]);

const BACKGROUND = ['nice', '-n', '19'];

/** git gives up on its own assertion, over a patch that makes no sense: what a shell would say. */
const ABORTED = 134;

/**
 * Runs git by argument list: no shell, no hooks, no system or user configuration, no prompts, an environment of its own.
 */
export class Git {
  readonly #home: string;
  readonly #searchPath: string;
  #ready: Promise<void> | undefined;

  constructor({ home, searchPath }: { home: string; searchPath: string }) {
    this.#home = home;
    this.#searchPath = searchPath;
  }

  /** How git is called, for a child that stays. Only after `ask` or `run` has been used once. */
  commandOf(call: GitCall): { argv: string[]; cwd: string; env: Record<string, string> } {
    return {
      argv: [...(call.background ? BACKGROUND : []), 'git', ...SETTINGS, ...call.args],
      cwd: call.workTree ?? call.gitDir ?? this.#home,
      env: { ...this.#environment(call), ...call.env },
    };
  }

  /** Any exit status is an answer, and so is an assertion of `git apply` (134, as a shell says it); only a git that cannot run or does not end throws `git.failed`. */
  async ask(call: GitCall): Promise<GitAnswer> {
    this.#ready ??= this.#writeConfig();
    await this.#ready;
    const { ending, stdout, stderr, truncated } = await runChild({
      ...this.commandOf(call),
      stdin: call.stdin,
      timeoutMs: call.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxCapturedBytes: call.maxOutputBytes ?? DEFAULT_OUTPUT_BYTES,
      signal: call.signal,
    });
    const words = stderr.toString('utf8').trim();
    const aborted = ending.kind === 'signalled' && ending.signal === 'SIGABRT';
    if (aborted && call.args[0] === 'apply') return { exitCode: ABORTED, stdout, stderr: words };
    if (ending.kind !== 'exited' || truncated) {
      const how = truncated ? 'printed more than is read' : JSON.stringify(ending);
      throw new SluiceError('git.failed', `git ${call.args[0]}: ${how}`, {
        facts: { args: call.args, stderr: words },
        cause: ending,
      });
    }
    return { exitCode: ending.exitCode, stdout, stderr: words };
  }

  /** The output of a call that must succeed; otherwise `git.failed` with git's words. */
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
      // A command would win over a program that the call names.
      ...(env?.GIT_SSH === undefined ? { GIT_SSH_COMMAND: 'ssh -o BatchMode=yes' } : {}),
      ...(gitDir === undefined ? {} : { GIT_DIR: gitDir }),
      ...(objectDir === undefined ? {} : { GIT_OBJECT_DIRECTORY: objectDir }),
      ...(alsoReads === undefined ? {} : { GIT_ALTERNATE_OBJECT_DIRECTORIES: alsoReads.map(quoted).join(':') }),
      ...(workTree === undefined ? {} : { GIT_WORK_TREE: workTree }),
      ...(indexFile === undefined ? {} : { GIT_INDEX_FILE: indexFile }),
    };
  }
}

/** A folder's name as git reads it from a list with colons in between. */
function quoted(folder: string): string {
  return /[":\\]/.test(folder) ? `"${folder.replaceAll(/["\\]/g, '\\$&')}"` : folder;
}
