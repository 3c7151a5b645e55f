import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { poll } from '../src/lib/clock.ts';
import { freePort } from '../src/lib/free-port.ts';
import { type Service, startService } from '../src/lib/process-service.ts';

export interface TestRedis {
  url: string;
  client: Redis;
  /** Ends the server at once, as a crash would. */
  kill(): Promise<void>;
  /** Starts it again on the same port, empty. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Tells whether redis-server is installed. In CI its absence is an error, so that no Redis suite is skipped. */
export async function redisIsHere(): Promise<boolean> {
  const folders = (process.env.PATH ?? '').split(':');
  const found = await Promise.all(
    folders.map((folder) =>
      access(join(folder, 'redis-server')).then(
        () => true,
        () => false,
      ),
    ),
  );
  if (found.includes(true)) return true;
  if (process.env.CI !== undefined)
    throw new Error('redis-server is missing, and CI never leaves the Redis suites out');
  console.warn(
    '\n*** redis-server is missing: THE REDIS SUITES DO NOT RUN. Install it (apt-get install redis-server). ***\n',
  );
  return false;
}

/** Starts a Redis server on a free port, without persistence. */
export async function startRedis(): Promise<TestRedis> {
  const port = await freePort();
  const url = `redis://127.0.0.1:${port}`;
  let service: Service = await launch(port);
  const client = new Redis(url, { maxRetriesPerRequest: null });
  client.on('error', () => {});
  await answering(client);
  return {
    url,
    client,
    kill: () => service.end('SIGKILL', 1_000),
    restart: async () => {
      service = await launch(port);
      await answering(client);
    },
    stop: async () => {
      client.disconnect();
      await service.end('SIGKILL', 1_000);
    },
  };
}

function launch(port: number): Promise<Service> {
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--maxmemory-policy', 'noeviction'];
  return startService({
    argv: ['redis-server', ...settings],
    cwd: '/',
    env: { PATH: process.env.PATH! },
    onLine: () => {},
  });
}

async function answering(client: Redis): Promise<void> {
  const answer = await poll(
    () =>
      client.ping().then(
        (pong) => pong,
        () => undefined,
      ),
    { everyMs: 50, limitMs: 10_000 },
  );
  if (answer === undefined) throw new Error('redis-server does not answer');
}
