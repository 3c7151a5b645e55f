import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import type { Measurements } from '../lib/meters.ts';
import { RECONCILE_TIMES } from '../pipeline/reconcile.ts';
import { SlotRack } from '../workspaces/slots.ts';

export interface SupervisorOptions {
  processes: number;
  pools: readonly string[];
  taskSlots: number;
  gateSlots: number;
  drainMs: number;
  dataDir: string;
  config: string | undefined;
  allowAll: boolean;
  /** Environment of the worker processes, readable by any process of the same user. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Variables that are passed to them over the channel only. */
  secrets: Readonly<Record<string, string>>;
  log: Log;
}

/** Messages of a supervisor to its worker process: first the secrets, last to stop. */
export type ToWorker =
  | { kind: 'secrets'; values: Readonly<Record<string, string>> }
  | { kind: 'measure' }
  | { kind: 'stop' };

/** Messages of a worker process to its supervisor. */
export type FromWorker =
  | { kind: 'ready'; workerId: string }
  | { kind: 'alive' }
  | { kind: 'measured'; measurements: Measurements }
  | { kind: 'drained' };

interface Post {
  index: number;
  child: ChildProcess | undefined;
  isReady: boolean;
  /** Last worker that was ready here; its successor replaces it in the ledger. */
  workerId: string | undefined;
  /** True when the last process here crashed or hung. */
  crashed: boolean;
  /** True when an operator drained the worker: it is not replaced. */
  drained: boolean;
}

/** Exit status after a transient error at start: the database or the queue was unreachable, or the disk full. */
export const PASSING_EXIT = 3;

interface WorkerDeath {
  how: string;
  /** True when the next process may start: transient exit status, or ended by a signal. */
  passing: boolean;
  /** True when it crashed or hung: tasks that it ran are charged with a worker death. */
  crashed: boolean;
}

/** For this long after start-up, the supervisor retries workers that failed with a transient error. */
const BEGIN_WITHIN_MS = 30_000;
const RESTART = { baseMs: 200, capMs: 10_000 };
/** A worker that lived this long was healthy: its next restart resets the backoff. */
const HEALTHY_MS = 30_000;
const KILL_AFTER_DRAIN_MS = 10_000;
const ANSWER_LIMIT_MS = 1_000;
/** Interval at which the main thread of a worker reports that it is responsive. */
export const ALIVE_EVERY_MS = 1_000;
/**
 * A worker that is silent for this many of our ticks (a lease + 2 s) is killed. Ticks are counted and no time is
 * measured, because this process may have been suspended.
 */
const SILENT_TICKS = RECONCILE_TIMES.leaseMs / ALIVE_EVERY_MS + 2;
/** Signals of a process that crashes by its own fault, such as running out of memory. */
const CRASHES: readonly (NodeJS.Signals | null)[] = ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP'];

/** Keeps `processes` worker processes alive. Sweeps the slots of a dead one at once, before it starts the next. */
export class WorkerSupervisor implements Component {
  readonly name = 'worker-supervisor';
  readonly #options: SupervisorOptions;
  readonly #slots: SlotRack;
  readonly #abort = new AbortController();
  readonly #posts: Post[] = [];
  #keeping: Promise<void>[] = [];

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#slots = new SlotRack(options.dataDir, options.log);
  }

  /** Process ids of the running workers. */
  get pids(): number[] {
    return this.#posts.flatMap(({ child }) => (child?.pid === undefined ? [] : [child.pid]));
  }

  /** Worker processes that work at this moment, of those that should. */
  get staffing(): { ready: number; wanted: number } {
    return { ready: this.#posts.filter(({ isReady }) => isReady).length, wanted: this.#options.processes };
  }

  /** Returns the metrics of each worker process that answers within a second. */
  async measure(): Promise<Measurements[]> {
    const answers = this.#posts.flatMap(({ child, isReady }) => (child?.connected && isReady ? [measured(child)] : []));
    return (await Promise.all(answers)).flatMap((answer) => answer ?? []);
  }

  /** Resolves when every worker was ready once, or `signal` aborts; rejects when one cannot start. */
  async start(signal?: AbortSignal): Promise<void> {
    signal?.addEventListener('abort', () => void this.stop());
    // Passes an immediate exit on, because a worker that already drains takes a signal as "end now".
    process.once('exit', () => {
      for (const { child } of this.#posts) child?.kill('SIGTERM');
    });
    const ready = Array.from({ length: this.#options.processes }, (_, index) => {
      const post: Post = {
        index,
        child: undefined,
        isReady: false,
        workerId: undefined,
        crashed: false,
        drained: false,
      };
      this.#posts.push(post);
      return new Promise<void>((resolve, reject) => {
        this.#keeping.push(this.#keepAlive(post, resolve, reject));
      });
    });
    await Promise.all(ready);
  }

  /** Resolves when an operator has drained every worker, so that nothing is left to supervise. */
  async drained(): Promise<void> {
    await Promise.all(this.#keeping);
    this.#options.log.info({}, 'workers.drained');
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    for (const { child } of this.#posts)
      if (child?.connected) child.send({ kind: 'stop' } satisfies ToWorker, () => {});
    const late = setTimeout(() => {
      for (const { child } of this.#posts) child?.kill('SIGKILL');
    }, this.#options.drainMs + KILL_AFTER_DRAIN_MS);
    await Promise.all(this.#keeping);
    clearTimeout(late);
    this.#keeping = [];
  }

  async #keepAlive(post: Post, onReady: () => void, onNeverReady: (error: Error) => void): Promise<void> {
    const { log } = this.#options;
    const giveUpAt = performance.now() + BEGIN_WITHIN_MS;
    let deaths = 0;
    let wasReady = false;
    while (!this.#abort.signal.aborted) {
      const startedAt = performance.now();
      const { how, passing, crashed } = await this.#runOnce(post, () => {
        wasReady = true;
        onReady();
      });
      post.crashed = crashed;
      await this.#sweep();
      if (this.#abort.signal.aborted || post.drained) break;
      if (!wasReady && !(passing && startedAt < giveUpAt)) {
        onNeverReady(new Error(`a worker process ended before it was ready: ${how}`));
        return;
      }
      deaths = performance.now() - startedAt > HEALTHY_MS ? 1 : deaths + 1;
      const delayMs = fullJitterMs(RESTART, deaths);
      log.warn({ index: post.index, workerId: post.workerId, how, delayMs, deaths }, 'worker.restarting');
      await sleep(delayMs, this.#abort.signal);
    }
    onReady();
  }

  #runOnce(post: Post, onReady: () => void): Promise<WorkerDeath> {
    const { pools, taskSlots, gateSlots, drainMs, dataDir, config, allowAll, environment, secrets } = this.#options;
    const file = fileURLToPath(new URL(`./main${extname(import.meta.url)}`, import.meta.url));
    const args = [
      `--pools=${pools.join(',')}`,
      `--task-slots=${taskSlots}`,
      `--gate-slots=${gateSlots}`,
      `--drain-ms=${drainMs}`,
      `--data-dir=${dataDir}`,
      `--index=${post.index}`,
      ...(config === undefined ? [] : [`--config=${config}`]),
      ...(allowAll ? ['--allow-all'] : []),
      ...(post.workerId === undefined ? [] : [`--replaces=${post.workerId}`]),
      ...(post.crashed ? ['--replaces-crashed'] : []),
    ];
    const child = fork(file, args, {
      env: environment as NodeJS.ProcessEnv,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    post.child = child;
    child.send({ kind: 'secrets', values: secrets } satisfies ToWorker, () => {});
    let silentTicks: number | undefined;
    const watch = setInterval(() => {
      if (silentTicks === undefined) return;
      silentTicks += 1;
      if (silentTicks !== SILENT_TICKS) return;
      this.#options.log.error({ workerId: post.workerId, pid: child.pid }, 'worker.silent');
      child.kill('SIGKILL');
    }, ALIVE_EVERY_MS);
    child.on('message', (message: FromWorker) => {
      if (silentTicks !== undefined || message.kind === 'ready') silentTicks = 0;
      if (message.kind === 'drained') post.drained = true;
      if (message.kind !== 'ready') return;
      post.isReady = true;
      post.workerId = message.workerId;
      onReady();
    });
    return new Promise((resolve) => {
      child.on('error', (error) => {
        // A failed send or kill is no death of the worker; only its exit is.
        if (child.pid === undefined) {
          clearInterval(watch);
          resolve({ how: error.message, passing: false, crashed: false });
        } else this.#options.log.warn({ err: error, pid: child.pid }, 'worker.unreachable');
      });
      child.once('exit', (code, signal) => {
        post.child = undefined;
        post.isReady = false;
        clearInterval(watch);
        const silent = (silentTicks ?? 0) >= SILENT_TICKS;
        resolve({
          how: silent ? 'silent' : (signal ?? `exit ${code}`),
          passing: signal !== null || code === PASSING_EXIT,
          crashed: silent || CRASHES.includes(signal),
        });
      });
    });
  }

  async #sweep(): Promise<void> {
    try {
      const freed = await this.#slots.sweep();
      if (freed.length > 0) this.#options.log.warn({ slots: freed }, 'slots.swept');
    } catch (error) {
      this.#options.log.error({ err: error }, 'slots.sweep_failed');
    }
  }
}

/** Undefined when the worker does not answer in time: one that hangs must not hold up the metrics of the others. */
function measured(child: ChildProcess): Promise<Measurements[] | undefined> {
  return new Promise((resolve) => {
    const end = (answer: Measurements[] | undefined): void => {
      clearTimeout(timer);
      child.off('message', hear);
      child.off('exit', leave);
      resolve(answer);
    };
    const hear = (message: FromWorker): void => {
      if (message.kind === 'measured') end([message.measurements]);
    };
    const leave = (): void => end(undefined);
    const timer = setTimeout(leave, ANSWER_LIMIT_MS);
    child.on('message', hear);
    child.once('exit', leave);
    child.send({ kind: 'measure' } satisfies ToWorker, () => {});
  });
}
