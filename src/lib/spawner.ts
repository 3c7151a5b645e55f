import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Component } from './component.ts';
import { ownStreamsOnly } from './inherited-descriptors.ts';

export interface Command {
  argv: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
}

export interface ToSpawner extends Command {
  id: number;
  address: string;
  /** Proves to the listening process that a connection is one of the spawner's. */
  secret: string;
}

export type FromSpawner =
  | { kind: 'spawned'; id: number; pid: number }
  | { kind: 'error'; id: number; code: string; message: string }
  | { kind: 'exit'; id: number; code: number | null; signal: NodeJS.Signals | null };

const RESTART_MS = 1_000;
/** The longest greeting of a connection: the secret, an id and a stream. */
const LONGEST_GREETING = 64;
const GREET_WITHIN_MS = 5_000;

/** A started child with the events of a `ChildProcess`: `error`, `exit`, `close`. */
export class SpawnedChild extends EventEmitter {
  pid: number | undefined;
  #streams: (Socket | undefined)[] = [undefined, undefined, undefined];
  #open = 2;
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
    if (stream > 0)
      socket.once('close', () => {
        this.#open -= 1;
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
    if (this.#ended !== undefined && this.#open === 0) this.emit('close', this.#ended.code, this.#ended.signal);
  }
}

interface Started {
  child: SpawnedChild;
  /** True when the caller has the child. */
  handedOver: boolean;
  /** How it ended, which may be known before its streams have arrived. */
  ended?: { code: number | null; signal: NodeJS.Signals | null };
  settle: (outcome: SpawnedChild | Error) => void;
}

/**
 * Starts children through a small process: a fork takes milliseconds for each hundred megabytes of the process that
 * forks, and stops its event loop for that time.
 */
export class Spawner implements Component {
  readonly name = 'spawner';
  readonly #secret = randomBytes(16).toString('hex');
  #folder = '';
  readonly #children = new Map<number, Started>();
  #helper: ChildProcess | undefined;
  #server: Server | undefined;
  #lastId = 0;
  #users = 0;

  /** Every `stop` undoes one `start`; the last one ends the small process. */
  async start(): Promise<void> {
    this.#users += 1;
    if (this.#users > 1) return;
    // A folder for this user alone, which no sandbox shows to a child.
    this.#folder = await mkdtemp(join(tmpdir(), 'sluice-spawner-'));
    const server = createServer((socket) => this.#greet(socket));
    server.listen({ path: this.#address });
    server.unref();
    try {
      await once(server, 'listening');
    } catch {
      // The path of the folder is too long for a socket: every child is started from here.
      await rm(this.#folder, { recursive: true, force: true });
      return;
    }
    this.#server = server;
    this.#startHelper();
  }

  async stop(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    this.#server?.close();
    this.#server = undefined;
    const helper = this.#helper;
    this.#helper = undefined;
    if (helper?.connected === true) {
      helper.ref();
      const gone = once(helper, 'exit');
      helper.disconnect();
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  get #address(): string {
    return join(this.#folder, 'socket');
  }

  /** False while the small process is not there: then the caller starts its child itself. */
  get isReady(): boolean {
    return this.#helper?.connected === true;
  }

  /** Rejects with the error of `spawn`. */
  spawn({ argv, cwd, env }: Command): Promise<SpawnedChild> {
    this.#lastId += 1;
    const id = this.#lastId;
    const child = new SpawnedChild();
    return new Promise((resolve, reject) => {
      const settle = (outcome: SpawnedChild | Error): void => {
        if (outcome instanceof SpawnedChild) resolve(outcome);
        else reject(outcome);
      };
      this.#children.set(id, { child, handedOver: false, settle });
      this.#holdProcess();
      const message: ToSpawner = { id, address: this.#address, secret: this.#secret, argv, cwd, env };
      this.#helper!.send(message, (error) => {
        if (error !== null) this.#fail(id, error);
      });
    });
  }

  #startHelper(): void {
    const file = fileURLToPath(new URL(`./spawner-process${extname(import.meta.url)}`, import.meta.url));
    const cache = getCompileCacheDir();
    const helper = fork(file, [this.#folder], {
      env: cache === undefined ? {} : { NODE_COMPILE_CACHE: dirname(cache) },
      execArgv: ['--max-semi-space-size=1'],
      cwd: '/',
      stdio: ownStreamsOnly(['ignore', 'ignore', 2, 'ipc']),
    });
    this.#helper = helper;
    helper.unref();
    helper.channel?.unref();
    helper.on('message', (message: FromSpawner) => this.#hear(message));
    helper.on('error', () => {});
    helper.once('exit', () => {
      if (this.#helper === helper) this.#helper = undefined;
      // Its children count as killed: their real endings are lost with it.
      for (const [id, started] of this.#children) {
        if (started.handedOver) {
          started.ended = { code: null, signal: 'SIGKILL' };
          this.#settle(id, started);
        } else this.#fail(id, Object.assign(new Error('the spawner ended'), { code: 'EAGAIN' }));
      }
      setTimeout(() => {
        if (this.#helper === undefined && this.#server !== undefined) this.#startHelper();
      }, RESTART_MS).unref();
    });
  }

  #hear(message: FromSpawner): void {
    const started = this.#children.get(message.id);
    if (started === undefined) return;
    switch (message.kind) {
      case 'spawned':
        started.child.pid = message.pid;
        this.#settle(message.id, started);
        break;
      case 'error':
        this.#fail(message.id, Object.assign(new Error(message.message), { code: message.code }));
        break;
      case 'exit':
        started.ended = message;
        this.#settle(message.id, started);
        break;
      default:
        message satisfies never;
    }
  }

  #greet(socket: Socket): void {
    socket.on('error', () => {});
    const late = setTimeout(() => socket.destroy(), GREET_WITHIN_MS);
    let said = Buffer.alloc(0);
    const hear = (chunk: Buffer): void => {
      said = Buffer.concat([said, chunk]);
      const end = said.indexOf('\n');
      if (end === -1 && said.length <= LONGEST_GREETING) return;
      clearTimeout(late);
      socket.off('data', hear);
      socket.pause();
      const [secret, id, stream] = said.subarray(0, Math.max(0, end)).toString('latin1').split(' ');
      const started = secret === this.#secret ? this.#children.get(Number(id)) : undefined;
      if (started === undefined) {
        socket.destroy();
        return;
      }
      const rest = said.subarray(end + 1);
      if (rest.length > 0) socket.unshift(rest);
      started.child.attach(Number(stream), socket);
      this.#settle(Number(id), started);
    };
    socket.on('data', hear);
  }

  /** Hands a child over when it is whole, and tells its end after that. */
  #settle(id: number, started: Started): void {
    const { child, ended, settle } = started;
    if (!child.isWhole) return;
    if (!started.handedOver) settle(child);
    started.handedOver = true;
    if (ended === undefined) return;
    this.#children.delete(id);
    this.#holdProcess();
    // In a later turn, because the caller listens only after the promise of `spawn`.
    setImmediate(() => child.end(ended.code, ended.signal));
  }

  #fail(id: number, error: Error): void {
    const started = this.#children.get(id);
    if (started === undefined) return;
    this.#children.delete(id);
    this.#holdProcess();
    started.child.discard();
    started.settle(error);
  }

  /** Keeps this process alive for as long as it has children. */
  #holdProcess(): void {
    if (this.#children.size > 0) this.#helper?.channel?.ref();
    else this.#helper?.channel?.unref();
  }
}

/** The spawner of this process. */
export const spawner = new Spawner();
