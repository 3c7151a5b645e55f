import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { RenewedLeases } from '../ledger/fleet/workers.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import type { HeldAttempt, HeldWork } from './held-work.ts';

export interface HeartbeatSetup {
  databaseUrl: string;
  workerId: string;
  leaseMs: number;
  everyMs: number;
  /** One 32-bit counter that the main thread increments. */
  counter: SharedArrayBuffer;
}

export type ToHeartbeat =
  | { kind: 'held'; attempts: HeldAttempt[] }
  | { kind: 'starving'; starving: boolean }
  | { kind: 'over_disk'; overDisk: boolean }
  | { kind: 'stop' };
export type FromHeartbeat =
  | ({ kind: 'beat'; asked: HeldAttempt[] } & RenewedLeases)
  | { kind: 'refused' }
  | { kind: 'stalled' }
  | { kind: 'unreachable'; message: string };

export interface HeartbeatOptions extends Omit<HeartbeatSetup, 'counter'> {
  held: HeldWork;
  log: Log;
  /** Called when the ledger no longer accepts this worker, or the heartbeat thread has died. */
  onRefused: () => void;
  /** Called at each heartbeat while the worker is asked to drain. */
  onDrain: () => void;
}

const TICK_MS = 200;

/** Main thread's side of the heartbeat. */
export class Heartbeat implements Component {
  readonly name = 'heartbeat';
  readonly #options: HeartbeatOptions;
  readonly #counter = new SharedArrayBuffer(4);
  #thread: Worker | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #ticking: NodeJS.Timeout | undefined;
  #telling: NodeJS.Immediate | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { databaseUrl, workerId, leaseMs, everyMs, log } = this.#options;
    const setup: HeartbeatSetup = { databaseUrl, workerId, leaseMs, everyMs, counter: this.#counter };
    const file = new URL(`./heartbeat-thread${extname(import.meta.url)}`, import.meta.url);
    this.#thread = new Worker(file, { workerData: setup });
    this.#thread.on('message', (message: FromHeartbeat) => this.#hear(message));
    this.#exited = new Promise((resolve) => this.#thread!.once('exit', resolve));
    this.#thread.on('error', (error) => {
      log.fatal({ err: error }, 'heartbeat.died');
      this.#options.held.abortAll('lease_lost');
      this.#options.onRefused();
    });
    const ticks = new Int32Array(this.#counter);
    this.#ticking = setInterval(() => Atomics.add(ticks, 0, 1), TICK_MS);
    this.tellHeld();
  }

  /** Must be called whenever the held work changes. */
  tellHeld(): void {
    // Once a turn of the event loop, because the whole list is sent.
    this.#telling ??= setImmediate(() => {
      this.#telling = undefined;
      this.#say({ kind: 'held', attempts: this.#options.held.attempts() });
    });
  }

  async stop(): Promise<void> {
    clearInterval(this.#ticking);
    clearImmediate(this.#telling);
    const thread = this.#thread;
    this.#thread = undefined;
    if (thread === undefined) return;
    thread.postMessage({ kind: 'stop' } satisfies ToHeartbeat);
    const giveUp = setTimeout(() => void thread.terminate(), 2_000);
    await this.#exited;
    clearTimeout(giveUp);
  }

  /** Reports whether work waits that this worker should take and does not. */
  tellStarving(starving: boolean): void {
    this.#say({ kind: 'starving', starving });
  }

  /** Reports whether the data folder is over the budget of the disk. */
  tellOverDisk(overDisk: boolean): void {
    this.#say({ kind: 'over_disk', overDisk });
  }

  #say(message: ToHeartbeat): void {
    this.#thread?.postMessage(message);
  }

  #hear(message: FromHeartbeat): void {
    const { held, log, onRefused, onDrain } = this.#options;
    switch (message.kind) {
      case 'beat':
        held.reconcile(message.asked, message.held);
        if (message.draining) onDrain();
        break;
      case 'refused':
        log.error({ workerId: this.#options.workerId }, 'heartbeat.refused');
        held.abortAll('lease_lost');
        onRefused();
        break;
      case 'unreachable':
        // Children keep running: the reconciler reaps workers only after it has itself been connected for a full lease.
        log.warn({ message: message.message }, 'heartbeat.unreachable');
        break;
      case 'stalled':
        log.warn({}, 'heartbeat.stalled');
        break;
      default:
        message satisfies never;
    }
  }
}
