import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

/** Longer than a drain and the shutdown after it. */
const END_LIMIT_MS = 60_000;
const ROOT = join(import.meta.dirname, '..');

/** A Sluice role in a separate process. */
export class RoleProcess {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #environment: () => Record<string, string>;
  readonly #logFile: string;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();
  #asked = false;
  /** Unexpected endings: the process ended by itself, or did not end within the limit after a signal. */
  readonly troubles: string[] = [];

  constructor(options: {
    name: string;
    args: readonly string[];
    environment: () => Record<string, string>;
    logFile: string;
  }) {
    this.name = options.name;
    this.#args = options.args;
    this.#environment = options.environment;
    this.#logFile = options.logFile;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  start(): void {
    const log = openSync(this.#logFile, 'a');
    const child = fork(join(ROOT, 'bin/sluice.cjs'), [...this.#args], {
      env: this.#environment(),
      stdio: ['ignore', log, log, 'ipc'],
    });
    closeSync(log);
    this.#child = child;
    this.#asked = false;
    this.#ended = new Promise((resolve) => {
      child.once('exit', (code, by) => {
        if (!this.#asked) this.troubles.push(`${this.name} ended by itself: ${by ?? `exit ${code}`}`);
        resolve();
      });
    });
  }

  /** Sends the signal and resolves when the process has ended. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#asked = true;
    this.#child?.kill(signal);
    const late = setTimeout(() => {
      this.troubles.push(`${this.name} did not end after ${signal}`);
      this.#child?.kill('SIGKILL');
    }, END_LIMIT_MS);
    await this.#ended;
    clearTimeout(late);
    this.#child = undefined;
  }

  async restart(signal: NodeJS.Signals): Promise<void> {
    await this.end(signal);
    this.start();
  }
}

export interface SeenProcess {
  pid: number;
  arguments: string[];
  environment: string[];
  /** Its working directory. */
  folder: string;
}

/** Lists the processes of this machine whose `/proc` entries this process may read. */
export async function seenProcesses(): Promise<SeenProcess[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const seen = await Promise.all(
    pids.map(async (pid) => {
      const [argv, environment] = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
      );
      const folder = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      return { pid, arguments: argv!.split('\0'), environment: environment!.split('\0'), folder };
    }),
  );
  return seen.filter(({ arguments: argv }) => argv[0] !== '');
}

/** True while it runs: not dead, not a zombie, not stopped. */
export async function livingProcess(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  const state = text.slice(text.lastIndexOf(')') + 2)[0];
  return state !== undefined && !'ZXTt'.includes(state);
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}
