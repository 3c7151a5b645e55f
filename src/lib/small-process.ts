import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { getCompileCacheDir } from 'node:module';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sleep } from './clock.ts';
import { ownStreamsOnly } from './inherited-descriptors.ts';
import { SpawnedChild } from './spawned-child.ts';

export interface Command {
  argv: readonly string[];
  cwd: string;
  env: Readonly<Record<string, string>>;
}

export interface ToSmallProcess extends Command {
  id: number;
  address: string;
  /** Proves to the listening process that a connection is one of the small process's. */
  secret: string;
}

export type FromSmallProcess =
  | { kind: 'spawned'; id: number; pid: number }
  /** `tried` is false when the child cannot have begun, because its streams could not be connected. */
  | { kind: 'error'; id: number; code: string; message: string; tried: boolean }
  | { kind: 'exit'; id: number; code: number | null; signal: NodeJS.Signals | null };

/** The small process could not try to start a child. Another way may work. */
export class NotTried extends Error {}

/** The longest greeting of a connection: the secret, an id and a stream. */
const LONGEST_GREETING = 64;
const GREET_WITHIN_MS = 5_000;
/** A child whose streams are not all here by then is killed and counts as not started. */
const WHOLE_WITHIN_MS = 30_000;
const END_WITHIN_MS = 5_000;

interface Started {
  child: SpawnedChild;
  /** True when the caller has the child. */
  handedOver: boolean;
  /** How it ended, which may be known before its streams have arrived. */
  ended?: { code: number | null; signal: NodeJS.Signals | null };
  settle: (outcome: SpawnedChild | Error) => void;
  late: NodeJS.Timeout;
}

/** One life of the small process that starts children: its folder, its socket and the children that it has started. */
export class SmallProcess {
  readonly #folder: string;
  readonly #server: Server;
  readonly #process: ChildProcess;
  readonly #secret = randomBytes(16).toString('hex');
  readonly #children = new Map<number, Started>();
  #lastId = 0;

  /** Rejects where there is no place for its socket, or the process cannot be started. */
  static async start(onGone: () => void): Promise<SmallProcess> {
    // A folder for this user alone, which no sandbox shows to a child.
    const folder = await mkdtemp(join(tmpdir(), 'sluice-spawner-'));
    const greeted: { by?: SmallProcess } = {};
    const server = createServer((socket) => greeted.by?.greet(socket));
    try {
      server.listen({ path: join(folder, 'socket') });
      server.unref();
      await once(server, 'listening');
      greeted.by = new SmallProcess({ folder, server, onGone });
      return greeted.by;
    } catch (error) {
      server.close();
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }

  private constructor({ folder, server, onGone }: { folder: string; server: Server; onGone: () => void }) {
    this.#folder = folder;
    this.#server = server;
    const file = fileURLToPath(new URL(`./spawner-process${extname(import.meta.url)}`, import.meta.url));
    const cache = getCompileCacheDir();
    this.#process = fork(file, [folder], {
      env: cache === undefined ? {} : { NODE_COMPILE_CACHE: dirname(cache) },
      execArgv: ['--max-semi-space-size=1'],
      cwd: '/',
      stdio: ownStreamsOnly(['ignore', 'ignore', 2, 'ipc']),
    });
    this.#process.unref();
    this.#process.channel?.unref();
    this.#process.on('message', (message: FromSmallProcess) => this.#hear(message));
    this.#process.on('error', () => {});
    this.#process.once('exit', () => {
      for (const id of this.#children.keys()) this.#lose(id, 'the process that starts children ended');
      onGone();
    });
  }

  get isReady(): boolean {
    return this.#process.connected;
  }

  /**
   * Rejects with the error of `spawn`, with `NotTried` when the child cannot have begun, or with EAGAIN when it was lost.
   */
  spawn({ argv, cwd, env }: Command): Promise<SpawnedChild> {
    this.#lastId += 1;
    const id = this.#lastId;
    const child = new SpawnedChild();
    return new Promise((resolve, reject) => {
      const settle = (outcome: SpawnedChild | Error): void => {
        if (outcome instanceof SpawnedChild) resolve(outcome);
        else reject(outcome);
      };
      const late = setTimeout(() => this.#lose(id, 'the streams of the child did not arrive'), WHOLE_WITHIN_MS);
      this.#children.set(id, { child, handedOver: false, settle, late });
      this.#holdProcess();
      const address = join(this.#folder, 'socket');
      const message: ToSmallProcess = { id, address, secret: this.#secret, argv, cwd, env };
      this.#process.send(message, (error) => {
        if (error !== null) this.#lose(id, error.message);
      });
    });
  }

  /** Ends it and every child that it still has. */
  async end(): Promise<void> {
    this.#server.close();
    if (this.#process.exitCode === null && this.#process.signalCode === null && this.#process.pid !== undefined) {
      this.#process.ref();
      const gone = once(this.#process, 'exit');
      if (this.#process.connected) this.#process.disconnect();
      const limit = new AbortController();
      const late = sleep(END_WITHIN_MS, limit.signal).then((wholeTime) => wholeTime && this.#process.kill('SIGKILL'));
      await gone;
      limit.abort();
      await late;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  greet(socket: Socket): void {
    socket.on('error', () => {});
    let said = Buffer.alloc(0);
    let greeted = false;
    const late = setTimeout(() => {
      // After a stall of the event loop the greeting may be here unread: it is read before this runs.
      setImmediate(() => {
        if (!greeted) socket.destroy();
      });
    }, GREET_WITHIN_MS);
    const hear = (chunk: Buffer): void => {
      said = Buffer.concat([said, chunk]);
      const end = said.indexOf('\n');
      if (end === -1 && said.length <= LONGEST_GREETING) return;
      greeted = true;
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

  #hear(message: FromSmallProcess): void {
    const { id, kind } = message;
    const started = this.#children.get(id);
    if (started === undefined) {
      // A child that was given up.
      if (kind === 'spawned') killGroup(message.pid);
      return;
    }
    switch (kind) {
      case 'spawned':
        started.child.pid = message.pid;
        this.#settle(id, started);
        break;
      case 'error': {
        const { code, message: said, tried } = message;
        this.#forget(id, started);
        started.settle(tried ? Object.assign(new Error(said), { code }) : new NotTried(said));
        break;
      }
      case 'exit':
        started.ended = message;
        this.#settle(id, started);
        break;
      default:
        kind satisfies never;
    }
  }

  /** Hands a child over when it is whole, and tells its end after that. */
  #settle(id: number, started: Started): void {
    const { child, ended, settle } = started;
    if (!child.isWhole) return;
    clearTimeout(started.late);
    if (!started.handedOver) settle(child);
    started.handedOver = true;
    if (ended === undefined) return;
    this.#children.delete(id);
    this.#holdProcess();
    // In a later turn, because the caller listens only after the promise of `spawn`.
    setImmediate(() => child.end(ended.code, ended.signal));
  }

  /** Gives up a child whose real ending cannot be known, and kills what there is of it. EAGAIN: a fault of this machine. */
  #lose(id: number, why: string): void {
    const started = this.#children.get(id);
    if (started === undefined) return;
    const { child, handedOver, settle } = started;
    this.#forget(id, started);
    if (child.pid !== undefined) killGroup(child.pid);
    const error = Object.assign(new Error(why), { code: 'EAGAIN' });
    if (handedOver) child.emit('error', error);
    else settle(error);
  }

  #forget(id: number, { child, handedOver, late }: Started): void {
    clearTimeout(late);
    this.#children.delete(id);
    this.#holdProcess();
    if (!handedOver) child.discard();
  }

  /** Keeps the large process alive for as long as it has children. */
  #holdProcess(): void {
    if (this.#children.size > 0) this.#process.channel?.ref();
    else this.#process.channel?.unref();
  }
}

function killGroup(groupId: number): void {
  try {
    process.kill(-groupId, 'SIGKILL');
  } catch {
    // ESRCH: the group has ended.
  }
}
