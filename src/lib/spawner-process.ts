import { type ChildProcess, spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { FromSmallProcess, ToSmallProcess } from './small-process.ts';

/**
 * Entry of the small process that starts children for the large one: a fork copies the page tables of the process that
 * forks. Each standard stream of a child is a connection to the large process. When that is gone, every child is killed.
 */
const groups = new Set<number>();

function say(message: FromSmallProcess): void {
  // An error means that the large process is gone, which `disconnect` tells as well.
  process.send!(message, () => {});
}

process.on('message', (message: ToSmallProcess) => void start(message));
process.on('disconnect', () => {
  for (const groupId of groups) {
    try {
      process.kill(-groupId, 'SIGKILL');
    } catch {
      // ESRCH: the group has ended.
    }
  }
  rmSync(process.argv[2]!, { recursive: true, force: true });
  process.exit(0);
});
// Ctrl-C in a terminal reaches this process too; the large one decides when its children end.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

async function start({ id, address, secret, argv, cwd, env }: ToSmallProcess): Promise<void> {
  const streams: Socket[] = [];
  try {
    for (const stream of [0, 1, 2]) streams.push(await open(address, `${secret} ${id} ${stream}\n`));
  } catch (error) {
    for (const stream of streams) stream.destroy();
    refuse(id, error as NodeJS.ErrnoException, { tried: false });
    return;
  }
  try {
    watch(id, spawn(argv[0]!, argv.slice(1), { cwd, env, detached: true, stdio: streams as never }));
  } catch (error) {
    refuse(id, error as NodeJS.ErrnoException, { tried: true });
  } finally {
    // The child has them by now.
    for (const stream of streams) stream.destroy();
  }
}

function watch(id: number, child: ChildProcess): void {
  const { pid } = child;
  child.once('error', (error) => refuse(id, error, { tried: true }));
  if (pid === undefined) return;
  groups.add(pid);
  say({ kind: 'spawned', id, pid });
  child.once('exit', (code, signal) => {
    groups.delete(pid);
    say({ kind: 'exit', id, code, signal });
  });
}

function refuse(id: number, { code, message }: NodeJS.ErrnoException, { tried }: { tried: boolean }): void {
  say({ kind: 'error', id, code: code ?? 'UNKNOWN', message, tried });
}

/** Connects and says which stream of which child this is. */
function open(address: string, greeting: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: address });
    socket.on('error', reject);
    socket.once('connect', () => socket.write(greeting, (error) => (error ? reject(error) : resolve(socket))));
  });
}
