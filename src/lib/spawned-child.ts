import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';

/** A child of the small process, with the events of a `ChildProcess`: `exit`, `close`, and `error` when it was lost. */
export class SpawnedChild extends EventEmitter {
  pid: number | undefined;
  readonly #streams: (Socket | undefined)[] = [undefined, undefined, undefined];
  #openOutputs = 2;
  #ended: { code: number | null; signal: NodeJS.Signals | null } | undefined;

  get stdin(): Socket {
    return this.#streams[0]!;
  }

  get stdout(): Socket {
    return this.#streams[1]!;
  }

  get stderr(): Socket {
    return this.#streams[2]!;
  }

  /** True when its process id and all its streams are here. */
  get isWhole(): boolean {
    return this.pid !== undefined && this.#streams.every((known) => known !== undefined);
  }

  attach(stream: number, socket: Socket): void {
    this.#streams[stream] = socket;
    if (stream === 0) return;
    socket.once('close', () => {
      this.#openOutputs -= 1;
      this.#closeIfEnded();
    });
  }

  end(code: number | null, signal: NodeJS.Signals | null): void {
    this.#ended = { code, signal };
    this.stdin.destroy();
    this.emit('exit', code, signal);
    this.#closeIfEnded();
  }

  discard(): void {
    for (const socket of this.#streams) socket?.destroy();
  }

  #closeIfEnded(): void {
    if (this.#ended !== undefined && this.#openOutputs === 0) this.emit('close', this.#ended.code, this.#ended.signal);
  }
}
