import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { poll } from '../../../src/lib/clock.ts';
import { runChild } from '../../../src/lib/process.ts';
import { Spawner, spawner } from '../../../src/lib/spawner.ts';

beforeAll(() => spawner.start());
afterAll(() => spawner.stop());

const shell = (script: string, stdin?: Buffer) =>
  runChild({ argv: ['sh', '-c', script], cwd: '/', env: { PATH: process.env.PATH! }, stdin, timeoutMs: 60_000 });
const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};
const gone = (pid: number) => poll(async () => (isAlive(pid) ? undefined : true), { everyMs: 20, limitMs: 60_000 });
const statusOf = (pid: string): string => readFileSync(`/proc/${pid}/status`, 'utf8');

/** The folder of a spawner's socket, as its command line names it. */
function foldersOf(pid: number): string[] {
  const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  return words.filter((word) => word.includes('/sluice-spawner-'));
}

/** Process ids of the spawners of a process. */
function helpersOf(pid: number): number[] {
  const pids = readdirSync('/proc').filter((entry) => /^\d+$/.test(entry));
  return pids
    .filter((one) => {
      try {
        const command = readFileSync(`/proc/${one}/cmdline`, 'latin1');
        return command.includes('spawner-process') && statusOf(one).includes(`PPid:\t${pid}\n`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

test('children at once keep their own input and output, whatever their size', async () => {
  const sizes = Array.from({ length: 40 }, (_, n) => n * 7_919);
  const ended = await Promise.all(
    sizes.map((size, n) => shell(`cat; echo ${n} >&2; exit ${n}`, Buffer.alloc(size, n))),
  );
  for (const [n, { ending, stdout, stderr }] of ended.entries()) {
    expect(ending).toEqual({ kind: 'exited', exitCode: n });
    expect(stdout.equals(Buffer.alloc(sizes[n]!, n))).toBe(true);
    expect(stderr.toString()).toBe(`${n}\n`);
  }
});

test('a child is started by the small process, with blocking streams and nothing else open', async () => {
  const { stdout } = await shell('echo $PPID; ls -l /proc/$$/fd; grep flags /proc/$$/fdinfo/1');
  const [parent, ...lines] = stdout.toString().trim().split('\n');
  expect(helpersOf(process.pid)).toEqual([Number(parent)]);
  const others = lines.slice(0, -1).filter((line) => !/^total| [012] -> |-> \/dev\/null$/.test(line));
  expect(others).toEqual([]);
  const O_NONBLOCK = 0o4_000;
  expect(Number.parseInt(lines.at(-1)!.split('\t')[1]!, 8) & O_NONBLOCK).toBe(0);
});

test('a connection that does not know the secret is closed', async () => {
  const folder = foldersOf(helpersOf(process.pid)[0]!)[0]!;
  expect(statSync(folder).mode & 0o777).toBe(0o700);
  for (const greeting of [`${'0'.repeat(32)} 1 1\n`, 'no greeting at all'.repeat(10)]) {
    const socket = connect({ path: join(folder, 'socket') });
    socket.on('error', () => {});
    socket.write(greeting);
    await once(socket, 'close');
  }
});

test('children of a process that is killed end with it', async () => {
  const program = `
    const { runChild } = await import(${JSON.stringify(new URL('../../../src/lib/process.ts', import.meta.url).href)});
    const { spawner } = await import(${JSON.stringify(new URL('../../../src/lib/spawner.ts', import.meta.url).href)});
    await spawner.start();
    const onSpawn = (pid) => process.send(pid);
    await runChild({ argv: ['sleep', '600'], cwd: '/', env: { PATH: process.env.PATH }, timeoutMs: 600000, onSpawn });`;
  const large = fork('-', { execArgv: ['--input-type=module', '--eval', program], stdio: ['ignore', 2, 2, 'ipc'] });
  const [pid] = (await once(large, 'message')) as [number];
  const helpers = helpersOf(large.pid!);
  expect(helpers).toHaveLength(1);
  const folders = foldersOf(helpers[0]!);
  large.kill('SIGKILL');
  expect(await gone(pid)).toBe(true);
  expect(await gone(helpers[0]!)).toBe(true);
  expect(folders.map(existsSync)).toEqual([false]);
});

test('when the small process is killed its children count as lost by this machine, and the next child is started all the same', async () => {
  const [helper] = helpersOf(process.pid);
  const running = shell('sleep 600');
  await poll(async () => (helpersOf(process.pid).length > 0 ? true : undefined), { everyMs: 20, limitMs: 1_000 });
  await shell('true');
  process.kill(helper!, 'SIGKILL');
  // A fault of this machine, and none of the command.
  expect((await running).ending).toMatchObject({ kind: 'not_started', code: 'EAGAIN' });
  expect((await shell('echo on')).stdout.toString()).toBe('on\n');
});

test('when the socket of the small process is gone, children are started all the same, and another takes its place', async () => {
  await poll(async () => (spawner.isReady ? true : undefined), { everyMs: 20, limitMs: 60_000 });
  const [before] = helpersOf(process.pid);
  rmSync(foldersOf(before!)[0]!, { recursive: true });
  expect((await shell('echo here')).stdout.toString()).toBe('here\n');
  const after = await poll(async () => helpersOf(process.pid).find((pid) => pid !== before), {
    everyMs: 20,
    limitMs: 60_000,
  });
  expect(after).toBeDefined();
  expect(await gone(before!)).toBe(true);
});

test('a stop beside a start leaves a spawner that works', async () => {
  const second = new Spawner();
  await second.start();
  await Promise.all([second.stop(), second.start()]);
  expect(second.isReady).toBe(true);
  const child = await second.spawn({ argv: ['true'], cwd: '/', env: { PATH: process.env.PATH! } });
  expect(await once(child, 'exit')).toEqual([0, null]);
  await second.stop();
  expect(second.isReady).toBe(false);
});
