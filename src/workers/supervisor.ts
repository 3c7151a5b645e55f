import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fullJitterMs } from '../lib/backoff.ts';
import { sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
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
  /** The environment of the worker processes: whoever may look at them sees it. */
  environment: Readonly<Record<string, string | undefined>>;
  /** Variables that they are told over the channel alone. */
  secrets: Readonly<Record<string, string>>;
  log: Log;
}

/** What a supervisor tells its worker process: first the secrets, last to stop. */
export type ToWorker = { kind: 'secrets'; values: Readonly<Record<string, string>> } | { kind: 'stop' };

/** What a worker process tells its supervisor. */
export type FromWorker = { kind: 'ready'; workerId: string } | { kind: 'alive' } | { kind: 'drained' };

interface Post {
  index: number;
  child: ChildProcess | undefined;
  /** The worker that was ready there last: its successor takes its place in the ledger. */
  workerId: string | undefined;
  /** How the last one there ended. */
  crashed: boolean;
  /** Asked to take no more, by an operator: nobody comes in its place. */
  drained: boolean;
}

/** A worker process that could not begin, and may the next time: the database or the queue was away, the disk was full. */
export const PASSING_EXIT = 3;

interface WorkerDeath {
  how: string;
  /** Says nothing about the next one: a passing fault, or a signal of somebody's. */
  passing: boolean;
  /** By its own doing, or because it stood still: what it ran is suspected. */
  crashed: boolean;
}

/** For this long after start-up, the supervisor retries workers that failed with a transient error. */
const BEGIN_WITHIN_MS = 30_000;
const RESTART = { baseMs: 200, capMs: 10_000 };
/** A worker that lived this long was healthy: the next restart starts its backoff anew. */
const HEALTHY_MS = 30_000;
const KILL_AFTER_DRAIN_MS = 10_000;
/** How often the main thread of a worker says that it moves. */
export const ALIVE_EVERY_MS = 1_000;
/** So many of our own ticks without a word are a lease and a little more: counted, so that we ourselves may have slept. */
const SILENT_TICKS = RECONCILE_TIMES.leaseMs / ALIVE_EVERY_MS + 2;
/** How a process ends that breaks by itself: out of memory, or worse. */
const CRASHES: readonly (NodeJS.Signals | null)[] = ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP'];

/** Keeps `processes` worker processes alive, and within a second of a death sweeps what it left running. */
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

  /** Process ids of the workers that live now. */
  get pids(): number[] {
    return this.#posts.flatMap(({ child }) => (child?.pid === undefined ? [] : [child.pid]));
  }

  /** Resolves when every worker is ready for the first time; rejects when one cannot be. */
  async start(): Promise<void> {
    // An end at once is passed on: for a worker that drains already, the signal means "now".
    process.once('exit', () => {
      for (const { child } of this.#posts) child?.kill('SIGTERM');
    });
    const ready = Array.from({ length: this.#options.processes }, (_, index) => {
      const post: Post = { index, child: undefined, workerId: undefined, crashed: false, drained: false };
      this.#posts.push(post);
      return new Promise<void>((resolve, reject) => {
        this.#keeping.push(this.#keepAlive(post, resolve, reject));
      });
    });
    await Promise.all(ready);
  }

  /** Resolves when every worker was drained by an operator: nothing is left to supervise. */
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
      post.workerId = message.workerId;
      onReady();
    });
    return new Promise((resolve) => {
      child.on('error', (error) => {
        // A word or signal that did not reach it is no death: its exit is.
        if (child.pid === undefined) {
          clearInterval(watch);
          resolve({ how: error.message, passing: false, crashed: false });
        } else this.#options.log.warn({ err: error, pid: child.pid }, 'worker.unreachable');
      });
      child.once('exit', (code, signal) => {
        post.child = undefined;
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
