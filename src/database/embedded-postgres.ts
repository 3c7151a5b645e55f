import { randomBytes } from 'node:crypto';
import { access, chown, constants, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { Client } from 'pg';
import { SluiceError } from '../contract/errors.ts';
import { poll } from '../lib/clock.ts';
import type { Component } from '../lib/component.ts';
import type { Log } from '../lib/log.ts';
import { runChild } from '../lib/process.ts';
import { type Service, startService } from '../lib/process-service.ts';

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 20_000;
const USER = 'sluice';
const DATABASE = 'sluice';

export interface EmbeddedPostgresOptions {
  /** The cluster lives in `<dataDir>/postgres`. */
  dataDir: string;
  log: Log;
  /** The daemon's PATH, to find setpriv. */
  searchPath: string;
  /** Off trades safety at a power cut for speed: for throw-away databases only. */
  durable?: boolean;
}

/** A PostgreSQL server of our own, for one machine without one. A server that still runs from before is joined. */
export class EmbeddedPostgres implements Component {
  readonly name = 'embedded-postgres';
  readonly #folder: string;
  readonly #log: Log;
  readonly #searchPath: string;
  readonly #durable: boolean;
  #service: Service | undefined;
  #url: string | undefined;

  constructor({ dataDir, log, searchPath, durable = true }: EmbeddedPostgresOptions) {
    this.#folder = resolve(dataDir, 'postgres');
    this.#log = log;
    this.#searchPath = searchPath;
    this.#durable = durable;
  }

  /** Address of the database `sluice`; known after `start`. */
  get url(): string {
    if (this.#url === undefined)
      throw new SluiceError('internal.error', 'embedded PostgreSQL is used before its start');
    return this.#url;
  }

  async start(): Promise<void> {
    if (this.#url !== undefined) return;
    try {
      await this.#startServer();
    } catch (cause) {
      await this.stop();
      if (cause instanceof SluiceError) throw cause;
      throw new SluiceError('database.embedded', `embedded PostgreSQL: ${(cause as Error).message}`, { cause });
    }
  }

  async stop(): Promise<void> {
    const service = this.#service;
    this.#service = undefined;
    this.#url = undefined;
    await service?.end('SIGINT', STOP_LIMIT_MS);
  }

  async #startServer(): Promise<void> {
    const { initdb, postgres } = await serverPrograms();
    const data = join(this.#folder, 'data');
    const password = await this.#password();
    const wrap = await unprivileged([this.#folder, dirname(postgres)], this.#searchPath);
    if (!(await exists(join(data, 'PG_VERSION')))) await this.#initialise(initdb, data, wrap);
    const runningPort = await portOfRunning(data);
    const port = runningPort ?? (await freePort());
    if (runningPort === undefined) await this.#spawn(postgres, data, port, wrap);
    const server = `postgresql://${USER}:${password}@127.0.0.1:${port}`;
    await this.#waitUntilReady(`${server}/postgres`);
    await createDatabase(`${server}/postgres`);
    this.#url = `${server}/${DATABASE}`;
    this.#log.info({ port, joined: runningPort !== undefined }, 'embedded-postgres.ready');
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

  /** initdb makes its folder by rename-free steps: one that died half way is removed and made again. */
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

  async #spawn(postgres: string, data: string, port: number, wrap: readonly string[]): Promise<void> {
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'max_connections=300',
      'shared_buffers=128MB',
      ...(this.#durable ? [] : ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off']),
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
        if (ended !== undefined) throw new SluiceError('database.embedded', `the server ended at its start: ${ended}`);
        return (await answers(url)) ? true : undefined;
      },
      { everyMs: 50, limitMs: START_LIMIT_MS },
    );
    if (ready === undefined) throw new SluiceError('database.embedded', 'the server did not answer in time');
  }
}

async function serverPrograms(): Promise<{ initdb: string; postgres: string }> {
  const packageName = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return await import(packageName);
  } catch (cause) {
    const message = `no PostgreSQL for ${process.platform} ${process.arch} among the packages: set DATABASE_URL`;
    throw new SluiceError('database.embedded', message, { cause });
  }
}

/**
 * PostgreSQL refuses to run as root. For root the server runs as the system's `postgres` user (or nobody) and dies with
 * us. Where that user cannot enter the folders (a clone below /root, say), it is lent the one capability that lets it.
 */
async function unprivileged(folders: readonly string[], searchPath: string): Promise<string[]> {
  const owner = await unprivilegedUser();
  const dieWithParent = ['setpriv', '--pdeathsig=INT'];
  if (owner === undefined) return (await hasSetpriv(searchPath)) ? [...dieWithParent, '--'] : [];
  if (!(await hasSetpriv(searchPath))) {
    throw new SluiceError(
      'database.embedded',
      'PostgreSQL does not run as root and setpriv is missing: set DATABASE_URL',
    );
  }
  const reachable = (await Promise.all(folders.map(everybodyMayEnter))).every((open) => open);
  const lent = ['--inh-caps=+dac_override', '--ambient-caps=+dac_override', '--securebits=+no_setuid_fixup'];
  const user = [`--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
  return [...dieWithParent, ...user, ...(reachable ? [] : lent), '--'];
}

async function unprivilegedUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const found = users.find(([user]) => user === 'postgres') ?? users.find(([user]) => user === 'nobody');
  return found === undefined ? { uid: 65_534, gid: 65_534 } : { uid: Number(found[2]), gid: Number(found[3]) };
}

async function hasSetpriv(searchPath: string): Promise<boolean> {
  const folders = searchPath.split(':');
  const found = await Promise.all(folders.map((folder) => exists(join(folder, 'setpriv'))));
  return found.includes(true);
}

async function everybodyMayEnter(path: string): Promise<boolean> {
  for (let folder = path; ; folder = dirname(folder)) {
    const { mode } = await stat(folder);
    if ((mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/**
 * The port of a server that already runs on this data, by its pid file. The number in an old file may belong to somebody
 * else by now: only a server that answers is joined; a stale file would keep ours from starting and is removed.
 */
async function portOfRunning(data: string): Promise<number | undefined> {
  const file = join(data, 'postmaster.pid');
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (!(pid > 0)) return undefined;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
  const isOurs = command === undefined ? isAlive(pid) && !(await exists('/proc/self')) : command.includes(data);
  if (isOurs && port > 0) return port;
  await rm(file, { force: true });
  return undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<number> {
  return new Promise((found, failed) => {
    const server = createServer();
    server.once('error', failed);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => found(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
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

function serverEnvironment(searchPath: string): Record<string, string> {
  return { PATH: searchPath, LC_ALL: 'C', TZ: 'UTC' };
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.F_OK).then(
    () => true,
    () => false,
  );
}
