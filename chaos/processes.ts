import { type ChildProcess, fork } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');

/** A role as a process of its own, started again after each end as an init system would. */
export class RoleProcess {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #environment: () => Record<string, string>;
  readonly #logFile: string;
  #child: ChildProcess | undefined;
  #ended: Promise<void> = Promise.resolve();

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
    this.#ended = new Promise((resolve) => child.once('exit', () => resolve()));
  }

  /** Resolves when it is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#child?.kill(signal);
    await this.#ended;
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
}

/** Every process of this machine that may be looked at. */
export async function seenProcesses(): Promise<SeenProcess[]> {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry)).map(Number);
  const seen = await Promise.all(
    pids.map(async (pid) => {
      const [argv, environment] = await Promise.all(
        ['cmdline', 'environ'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
      );
      return { pid, arguments: argv!.split('\0'), environment: environment!.split('\0') };
    }),
  );
  return seen.filter(({ arguments: argv }) => argv[0] !== '');
}

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}
