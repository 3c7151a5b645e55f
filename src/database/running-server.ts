import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { exists } from './server-programs.ts';

export interface ServerAddress {
  /** The folder of the socket, or 127.0.0.1. */
  host: string;
  port: number;
}

/** Folder of the embedded server below a data folder. */
export function embeddedFolder(dataDir: string): string {
  return resolve(dataDir, 'postgres');
}

/**
 * Returns the server that runs on this data, from its pid file; its port is 0 while it starts. The pid in an old file
 * may belong to another process by now; such a file would block the start of a server and is removed.
 */
export async function runningServer(data: string): Promise<ServerAddress | undefined> {
  const file = join(data, 'postmaster.pid');
  const lines = (await readFile(file, 'utf8').catch(() => '')).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  const host = lines[4] || lines[5] || '';
  const isReady = lines[7]?.trim() === 'ready';
  if (!(pid > 0)) return undefined;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
  const isOurs = command === undefined ? isAlive(pid) && !(await exists('/proc/self')) : command.includes(data);
  if (isOurs) return { host, port: isReady && port > 0 ? port : 0 };
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
