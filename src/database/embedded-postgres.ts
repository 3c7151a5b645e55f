import { randomBytes } from 'node:crypto';
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import { SluiceError } from '../contract/errors.ts';
import { fullJitterMs } from '../lib/backoff.ts';
import { poll, sleep } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import { freePort } from '../lib/free-port.ts';
import type { Log } from '../lib/log.ts';
import { runChild } from '../lib/process.ts';
import { type Service, startService } from '../lib/process-service.ts';
import { embeddedFolder, runningServer, type ServerAddress } from './running-server.ts';
import { exists, serverEnvironment, serverPrograms, unprivileged, unprivilegedUser } from './server-programs.ts';

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 20_000;
/** Interval at which a server that another process started is checked. */
const JOINED_LOOK_MS = 500;
const REVIVE = { baseMs: 200, capMs: 5_000 };
/** The kernel allows 107 bytes for a socket's path, to which the server adds the file name. */
const LONGEST_SOCKET_FOLDER = 85;
/** PostgreSQL puts the port in the socket's name; no TCP port is open. */
const SOCKET_NUMBER = 5432;
const USER = 'sluice';
const DATABASE = 'sluice';

export interface EmbeddedPostgresOptions {
  /** The cluster lives in `<dataDir>/postgres`. */
  dataDir: string;
  log: Log;
  /** The daemon's PATH, used to find setpriv. */
  searchPath: string;
  /** False trades crash safety for speed; for throw-away databases only. */
  durable?: boolean;
  /** True to listen on a port of 127.0.0.1, for benches and tests that use a proxy; otherwise only on a Unix socket. */
  onLoopback?: boolean;
  /** Further settings of the server, `name=value`, for benches. */
  settings?: readonly string[];
}

/**
 * A PostgreSQL server for a single host without one. Joins a server that still runs from an earlier start, and restarts
 * a server that ends unexpectedly, at the same address.
 */
export class EmbeddedPostgres implements Component {
  readonly name = 'embedded-postgres';
  readonly #folder: string;
  readonly #log: Log;
  readonly #searchPath: string;
  readonly #durable: boolean;
  readonly #onLoopback: boolean;
  readonly #settings: readonly string[];
  #service: Service | undefined;
  #url: string | undefined;
  /** Folder of the socket when the path of the data folder is too long. */
  #temporary: string | undefined;
  #stopping: AbortController | undefined;
  #keeping: Promise<void> | undefined;

  constructor(options: EmbeddedPostgresOptions) {
    const { dataDir, log, searchPath, durable = true, onLoopback = false, settings = [] } = options;
    this.#folder = embeddedFolder(dataDir);
    this.#log = log;
    this.#searchPath = searchPath;
    this.#durable = durable;
    this.#onLoopback = onLoopback;
    this.#settings = settings;
  }

  /** Address of the database `sluice`; available after `start`. */
  get url(): string {
    if (this.#url === undefined)
      throw new SluiceError('internal.error', 'embedded PostgreSQL is used before its start');
    return this.#url;
  }

  async start(): Promise<void> {
    if (this.#url !== undefined) return;
    this.#stopping = new AbortController();
    try {
      await this.#startServer();
    } catch (cause) {
      await this.stop();
      if (cause instanceof SluiceError) throw cause;
      throw new SluiceError('database.embedded', `embedded PostgreSQL: ${(cause as Error).message}`, { cause });
    }
  }

  async stop(): Promise<void> {
    this.#stopping?.abort();
    const service = this.#service;
    this.#url = undefined;
    await service?.end('SIGINT', STOP_LIMIT_MS);
    // A server that is being restarted at this moment is ended too.
    await this.#keeping;
    this.#service = undefined;
    if (this.#temporary !== undefined) await rm(this.#temporary, { recursive: true, force: true });
  }

  async #startServer(): Promise<void> {
    const { initdb, postgres } = await serverPrograms();
    const data = join(this.#folder, 'data');
    const password = await this.#password();
    const wrap = await unprivileged([this.#folder, dirname(postgres)], this.#searchPath);
    if (!(await exists(join(data, 'PG_VERSION')))) await this.#initialise(initdb, data, wrap);
    const running = await this.#serverToJoin(data);
    const address = running ?? (await this.#newAddress());
    const launch = () => this.#spawn(postgres, { data, address, wrap });
    if (running === undefined) await launch();
    const server = `postgresql://${USER}:${password}@${encodeURIComponent(address.host)}:${address.port}`;
    await this.#waitUntilReady(`${server}/postgres`);
    await createDatabase(`${server}/postgres`);
    this.#url = `${server}/${DATABASE}`;
    this.#log.info({ ...address, joined: running !== undefined }, 'embedded-postgres.ready');
    const ended = this.#service?.ended ?? this.#endOfJoined(data);
    this.#keeping = this.#keepAlive(ended, { next: () => this.#joinOrLaunch(data, launch), url: `${server}/postgres` });
  }

  /** Returns the server that runs on this data, if any. Waits until a starting one publishes its port. */
  async #serverToJoin(data: string): Promise<ServerAddress | undefined> {
    const found = await poll(
      async () => {
        const running = await runningServer(data);
        return running === undefined || running.port > 0 ? { running } : undefined;
      },
      { everyMs: 50, limitMs: START_LIMIT_MS, signal: this.#stopping?.signal },
    );
    return found?.running;
  }

  /**
   * Prefers a Unix socket: a child with the host's network could reach a loopback port, but not the daemon's folders.
   */
  async #newAddress(): Promise<ServerAddress> {
    if (this.#onLoopback) return { host: '127.0.0.1', port: await freePort() };
    const own = join(this.#folder, 'socket');
    const fits = Buffer.byteLength(own) <= LONGEST_SOCKET_FOLDER;
    if (!fits) this.#temporary = await mkdtemp(join(tmpdir(), 'sluice-pg-'));
    const host = this.#temporary ?? own;
    await mkdir(host, { recursive: true, mode: 0o700 });
    const owner = await unprivilegedUser();
    if (owner !== undefined) await chown(host, owner.uid, owner.gid);
    return { host, port: SOCKET_NUMBER };
  }

  /** Resolves when a server that another process started is gone. */
  async #endOfJoined(data: string): Promise<string> {
    const { signal } = this.#stopping!;
    while (!signal.aborted && (await runningServer(data)) !== undefined) await sleep(JOINED_LOOK_MS, signal);
    return 'the server that was joined is gone';
  }

  /** Joins or starts the server. The process that started it may restart it too; the second process then joins. */
  async #joinOrLaunch(data: string, launch: () => Promise<void>): Promise<{ ended: Promise<string> }> {
    if ((await runningServer(data)) !== undefined) {
      this.#service = undefined;
      return { ended: this.#endOfJoined(data) };
    }
    await launch();
    return { ended: this.#service!.ended };
  }

  /**
   * Restarts or rejoins the server whenever it ends. Retries with backoff, because a start fails until
   * the processes and shared memory of a killed server are gone.
   */
  async #keepAlive(
    first: Promise<string>,
    { next, url }: { next: () => Promise<{ ended: Promise<string> }>; url: string },
  ): Promise<void> {
    const { signal } = this.#stopping!;
    for (let faults = 0, ended = first; ; ) {
      const how = await ended;
      if (signal.aborted) return;
      this.#log.error({ how, faults }, 'embedded-postgres.ended');
      await sleep(REVIVE.baseMs + fullJitterMs(REVIVE, faults), signal);
      if (signal.aborted) return;
      const started = await next().catch(() => undefined);
      const ready =
        started !== undefined &&
        (await this.#waitUntilReady(url).then(
          () => true,
          () => false,
        ));
      ended = started?.ended ?? Promise.resolve('the server could not be restarted');
      if (signal.aborted) {
        await this.#service?.end('SIGINT', STOP_LIMIT_MS);
        return;
      }
      faults = ready ? 0 : faults + 1;
      if (ready) this.#log.info({}, 'embedded-postgres.revived');
    }
  }

  async #password(): Promise<string> {
    const file = join(this.#folder, 'password');
    await mkdir(this.#folder, { recursive: true });
    const known = await readFile(file, 'utf8').catch(() => undefined);
    if (known !== undefined) return known.trim();
    const made = randomBytes(18).toString('hex');
    await writeFile(file, `${made}\n`, { mode: 0o600, flag: 'wx' });
    const owner = await unprivilegedUser();
    if (owner !== undefined) await chown(file, owner.uid, owner.gid);
    return made;
  }

  /** Runs initdb. It fills the folder step by step, so a folder left by an interrupted run is removed first. */
  async #initialise(initdb: string, data: string, wrap: readonly string[]): Promise<void> {
    await rm(data, { recursive: true, force: true });
    await mkdir(data, { recursive: true, mode: 0o700 });
    const owner = await unprivilegedUser();
    if (owner !== undefined) await chown(data, owner.uid, owner.gid);
    const { ending, stderr } = await runChild({
      argv: [
        ...wrap,
        initdb,
        `--pgdata=${data}`,
        `--username=${USER}`,
        `--pwfile=${join(this.#folder, 'password')}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        '--locale=C',
        ...(this.#durable ? [] : ['--no-sync']),
      ],
      cwd: '/',
      env: serverEnvironment(this.#searchPath),
      timeoutMs: START_LIMIT_MS,
    });
    if (ending.kind === 'exited' && ending.exitCode === 0) return;
    await rm(data, { recursive: true, force: true });
    throw new SluiceError('database.embedded', `initdb failed: ${stderr.toString().trim() || JSON.stringify(ending)}`);
  }

  async #spawn(
    postgres: string,
    { data, address, wrap }: { data: string; address: ServerAddress; wrap: readonly string[] },
  ): Promise<void> {
    const { host, port } = address;
    const isSocket = host.startsWith('/');
    const settings = [
      `listen_addresses=${isSocket ? '' : host}`,
      `unix_socket_directories=${isSocket ? `"${host.replaceAll('"', '""')}"` : ''}`,
      'unix_socket_permissions=0700',
      'max_connections=300',
      'shared_buffers=128MB',
      ...(this.#durable ? [] : ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']),
      ...this.#settings,
    ];
    this.#service = await startService({
      argv: [...wrap, postgres, '-D', data, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])],
      cwd: '/',
      env: serverEnvironment(this.#searchPath),
      onLine: (line) => this.#log.trace({ line }, 'embedded-postgres.output'),
    });
  }

  async #waitUntilReady(url: string): Promise<void> {
    let ended: string | undefined;
    void this.#service?.ended.then((how) => {
      ended = how;
    });
    const ready = await poll(
      async () => {
        if (ended !== undefined)
          throw new SluiceError('database.embedded', `the server ended during its start: ${ended}`);
        return (await answers(url)) ? true : undefined;
      },
      { everyMs: 50, limitMs: START_LIMIT_MS, signal: this.#stopping?.signal },
    );
    if (ready === undefined) throw new SluiceError('database.embedded', 'the server did not answer in time');
  }
}

async function answers(url: string): Promise<boolean> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

async function createDatabase(serverUrl: string): Promise<void> {
  const client = new Client({ connectionString: serverUrl });
  await client.connect();
  try {
    const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
  } finally {
    await client.end();
  }
}
