import { fork } from 'node:child_process';
import { openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { localTokenFile } from '../src/contract/tokens.ts';
import { readSecret } from '../src/lib/secret-file.ts';
import { CRASHER } from './main-run.ts';

export interface DaemonProcess {
  url: string;
  dataDir: string;
  tokenFile: string;
  token: string | undefined;
  pid: number;
  logFile: string;
  /** Sends SIGTERM and resolves when the daemon has ended. */
  stop(): Promise<void>;
  /** Detaches from the daemon, so that it keeps running after this process. */
  leave(): void;
}

const START_LIMIT_MS = 60_000;

/** Starts `sluice up` as a user would: embedded database, API, scheduler, two worker processes. */
export async function startDaemon(root: string, folder: string): Promise<DaemonProcess> {
  const config = join(folder, 'sluice.config.yaml');
  const crasher = { argv: ['sh', '-c', 'kill -SEGV $$'], concurrency: 1, breaker: CRASHER };
  await writeFile(config, stringify({ tools: { crasher }, sandbox: { readable: [join(root, 'node_modules')] } }));
  const dataDir = join(folder, 'data');
  const tokenFile = localTokenFile(dataDir);
  const logFile = join(folder, 'daemon.log');
  const log = openSync(logFile, 'a');
  const { DATABASE_URL: _database, REDIS_URL: _redis, SLUICE_CONFIG: _config, ...environment } = process.env;
  const child = fork(
    join(root, 'bin', 'sluice.cjs'),
    ['up', '--workers=2', '--port=0', `--config=${config}`, `--data-dir=${dataDir}`],
    { env: environment, stdio: ['ignore', log, log, 'ipc'], detached: true },
  );
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`the daemon did not start in time: see ${logFile}`)),
      START_LIMIT_MS,
    );
    child.once('message', (message) => {
      clearTimeout(late);
      resolve((message as { url: string }).url);
    });
    child.once('exit', () => {
      clearTimeout(late);
      reject(new Error(`the daemon ended at its start: see ${logFile}`));
    });
  });
  return {
    url,
    dataDir,
    tokenFile,
    token: await readSecret(tokenFile),
    pid: child.pid!,
    logFile,
    stop: async () => {
      child.kill('SIGTERM');
      await ended;
    },
    leave: () => {
      child.disconnect();
      child.unref();
    },
  };
}
