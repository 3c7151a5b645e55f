import { join } from 'node:path';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { sizeOfFolders } from '../lib/size-of-folder.ts';
import { Ticker } from '../lib/ticker.ts';

export interface DiskBudgetOptions {
  dataDir: string;
  searchPath: string;
  maxBytes: number;
  /** Frees at least so many bytes of what can be made again, as far as there are any. */
  makeRoom: (bytes: number) => Promise<void>;
  /** Called at each change: true stops the worker from taking work, false lets it go on. */
  onOver: (isOver: boolean) => Promise<void>;
  log: Log;
}

/** Returns the folders that the budget counts; an embedded database is no work of a worker. */
export function budgetedFolders(dataDir: string): string[] {
  return ['mirrors', 'slots', 'prepared'].map((name) => join(dataDir, name));
}

const LOOK_MS = 15_000;
/** Interval of looks while the folder is over its budget, so that work goes on soon after space was freed. */
const LOOK_AGAIN_MS = 5_000;

/**
 * Keeps the data folder of a worker within its budget. Over it, caches are removed first; if that is not enough, the
 * worker takes no more work until there is room again, long before the disk is full and every write fails. Running work
 * goes on.
 */
export class DiskBudget implements Component {
  readonly name = 'disk-budget';
  readonly #options: DiskBudgetOptions;
  readonly #ticker: Ticker;
  #isOver = false;
  #nextLookMs = 0;

  constructor(options: DiskBudgetOptions) {
    this.#options = options;
    this.#ticker = new Ticker({
      name: this.name,
      everyMs: LOOK_AGAIN_MS,
      log: options.log,
      tick: (signal) => this.#lookWhenDue(signal),
    });
  }

  start(): Promise<void> {
    return this.#ticker.start();
  }

  stop(): Promise<void> {
    return this.#ticker.stop();
  }

  async #lookWhenDue(signal: AbortSignal): Promise<void> {
    if (performance.now() < this.#nextLookMs) return;
    const startedAt = performance.now();
    await this.look(signal);
    const endedAt = performance.now();
    // Measuring folders of many files takes long: it may take a fiftieth of the time, or a tenth while work waits for it.
    const [pauseMs, factor] = this.#isOver ? [LOOK_AGAIN_MS - 1, 10] : [LOOK_MS, 50];
    this.#nextLookMs = endedAt + Math.max(pauseMs, factor * (endedAt - startedAt));
  }

  /** Measures the folder, makes room if it is too large, and tells a change. */
  async look(signal?: AbortSignal): Promise<void> {
    const { dataDir, searchPath, maxBytes, makeRoom, onOver, log } = this.#options;
    const measure = () => sizeOfFolders(budgetedFolders(dataDir), { searchPath, signal });
    let bytes = await measure();
    if (bytes !== undefined && bytes > maxBytes) {
      await makeRoom(bytes - maxBytes);
      bytes = await measure();
    }
    // Without a figure nothing changes: a disk that cannot be read must not look empty.
    if (bytes === undefined || signal?.aborted) return;
    const isOver = bytes > maxBytes;
    if (isOver === this.#isOver) return;
    if (isOver) log.error({ dataDir, bytes, maxBytes }, 'disk.over_budget');
    else log.info({ dataDir, bytes, maxBytes }, 'disk.within_budget');
    await onOver(isOver);
    this.#isOver = isOver;
  }
}
