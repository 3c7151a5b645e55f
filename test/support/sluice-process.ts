import { type ChildProcess, fork } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { SluiceClient } from '../../src/client/sluice-client.ts';
import type { ConfigFileInput } from '../../src/contract/config-schema.ts';
import { localTokenFile } from '../../src/contract/tokens.ts';
import { readSecret } from '../../src/lib/secret-file.ts';
import { atTheEnd } from './clean-up.ts';
import { SLUICE } from './command-line.ts';

export interface SluiceProcess {
  client: SluiceClient;
  url: string;
  child: ChildProcess;
  dataDir: string;
  output: () => string;
  /** Process ids of its workers at the start. */
  workers: number[];
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `sluice up` as a separate process, which a test can kill and restart on the same database and data folder. */
export async function spawnSluice(options: {
  /** Empty: the embedded server. */
  databaseUrl: string;
  dataDir?: string;
  config?: ConfigFileInput;
  redisUrl?: string;
  environment?: Record<string, string>;
  args?: string[];
}): Promise<SluiceProcess> {
  const dataDir = options.dataDir ?? (await makeDataDir());
  const config = join(dataDir, 'sluice.config.yaml');
  await writeFile(config, stringify(options.config ?? {}));
  const child = fork(
    SLUICE,
    ['up', '--workers=2', '--port=0', `--data-dir=${dataDir}`, `--config=${config}`, ...(options.args ?? [])],
    {
      env: {
        PATH: process.env.PATH,
        ...options.environment,
        DATABASE_URL: options.databaseUrl,
        REDIS_URL: options.redisUrl ?? '',
      },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    },
  );
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) stream.on('data', (chunk) => (output += String(chunk)));
  const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  atTheEnd(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  const ready = await new Promise<{ url: string; workers: number[] }>((resolve, reject) => {
    child.once('message', (message) => resolve(message as { url: string; workers: number[] }));
    child.once('exit', () => reject(new Error(`sluice up ended at its start:\n${output}`)));
  });
  return {
    url: ready.url,
    client: new SluiceClient({ url: ready.url, token: await readSecret(localTokenFile(dataDir)) }),
    child,
    dataDir,
    output: () => output,
    workers: ready.workers,
    stop: (signal = 'SIGTERM') => {
      child.kill(signal);
      return ended;
    },
  };
}

export async function makeDataDir(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-up-'));
  atTheEnd(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }));
  return dataDir;
}
