import type { Component } from './component.ts';
import { type Command, NotTried, SmallProcess } from './small-process.ts';
import type { SpawnedChild } from './spawned-child.ts';

const RESTART_MS = 1_000;

/**
 * Starts children through a small process: a fork takes milliseconds for each hundred megabytes of the process that
 * forks, and stops its event loop for that time. Where there is no small process, callers start their children.
 */
export class Spawner implements Component {
  readonly name = 'spawner';
  #current: SmallProcess | undefined;
  #users = 0;
  #starting: Promise<void> | undefined;

  /** Every `stop` undoes one `start`; the last one ends the small process. */
  async start(): Promise<void> {
    this.#users += 1;
    this.#starting ??= this.#renew();
    await this.#starting;
  }

  async stop(): Promise<void> {
    this.#users -= 1;
    await this.#starting;
    if (this.#users > 0) return;
    const current = this.#current;
    this.#current = undefined;
    this.#starting = undefined;
    await current?.end();
  }

  get isReady(): boolean {
    return this.#current?.isReady === true;
  }

  /** Rejects as `SmallProcess.spawn` does. */
  async spawn(command: Command): Promise<SpawnedChild> {
    const current = this.#current;
    if (current === undefined) throw new NotTried('there is no small process');
    try {
      return await current.spawn(command);
    } catch (error) {
      // Its socket may be gone, as when the folder of temporary files was tidied.
      if (error instanceof NotTried && this.#current === current) void this.#replace(current);
      throw error;
    }
  }

  async #renew(): Promise<void> {
    try {
      const small: SmallProcess = await SmallProcess.start(() => void this.#replace(small));
      this.#current = small;
    } catch {
      // No folder, no socket or no process: the next attempt may succeed.
      this.#again();
    }
  }

  async #replace(gone: SmallProcess): Promise<void> {
    if (this.#current !== gone) return;
    this.#current = undefined;
    this.#again();
    await gone.end().catch(() => {});
  }

  #again(): void {
    const timer = setTimeout(() => {
      if (this.#users > 0 && this.#current === undefined) this.#starting = this.#renew();
    }, RESTART_MS);
    timer.unref();
  }
}

/** The spawner of this process. */
export const spawner = new Spawner();
