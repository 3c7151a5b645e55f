import { type StdioOptions, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { poll } from '../../../src/lib/clock.ts';
import { type ChildSpec, runChild } from '../../../src/lib/process.ts';
import { spawner } from '../../../src/lib/spawner.ts';

const FIXTURES = join(import.meta.dirname, '../../fixtures');
const fixture = (name: string, more: Partial<ChildSpec> = {}, args: string[] = []) =>
  runChild({
    argv: [process.execPath, join(FIXTURES, name), ...args],
    cwd: FIXTURES,
    env: { PATH: process.env.PATH! },
    timeoutMs: 20_000,
    graceMs: 100,
    ...more,
  });
const shell = (script: string, more: Partial<ChildSpec> = {}) =>
  runChild({
    argv: ['sh', '-c', script],
    cwd: '/',
    env: { PATH: process.env.PATH! },
    timeoutMs: 20_000,
    graceMs: 100,
    ...more,
  });

async function isGone(pid: number): Promise<boolean> {
  const gone = await poll(
    async () => {
      try {
        process.kill(pid, 0);
        return undefined;
      } catch {
        return true;
      }
    },
    { everyMs: 20, limitMs: 5_000 },
  );
  return gone === true;
}

const source = (name: string): string => new URL(`../../../src/lib/${name}.ts`, import.meta.url).href;

describe.each([
  { how: 'started here', bySpawner: false },
  { how: 'started by the spawner', bySpawner: true },
])('a child $how', ({ bySpawner }) => {
  beforeAll(async () => {
    if (!bySpawner) return;
    await spawner.start();
    await poll(async () => (spawner.isReady ? true : undefined), { everyMs: 10, limitMs: 60_000 });
  });
  afterAll(async () => {
    if (bySpawner) await spawner.stop();
  });

  describe('runChild returns how a child ended', () => {
    test('exited, with its output', async () => {
      const { ending, stdout, stderr } = await shell('echo out; echo err >&2; exit 3');
      expect(ending).toEqual({ kind: 'exited', exitCode: 3 });
      expect([stdout.toString(), stderr.toString()]).toEqual(['out\n', 'err\n']);
    });

    test('signalled', async () => {
      expect((await shell('kill -SEGV $$')).ending).toEqual({ kind: 'signalled', signal: 'SIGSEGV' });
    });

    test('run timeout', async () => {
      expect((await fixture('hangs.mjs', { timeoutMs: 300 })).ending).toEqual({ kind: 'timeout', limit: 'run' });
    });

    test('idle timeout', async () => {
      expect((await fixture('hangs.mjs', { idleTimeoutMs: 500 })).ending).toEqual({ kind: 'timeout', limit: 'idle' });
    });

    test('aborted, even if it ignores TERM', async () => {
      const abort = new AbortController();
      const onOutput = (): void => abort.abort('cancelled');
      const { ending } = await fixture('ignores-sigterm.mjs', { signal: abort.signal, onOutput });
      expect(ending).toEqual({ kind: 'aborted', cause: 'cancelled' });
    });

    test('not started, for a missing program', async () => {
      const { ending } = await runChild({ argv: ['/no/such/program'], cwd: '/', env: {}, timeoutMs: 1_000 });
      expect(ending).toMatchObject({ kind: 'not_started', code: 'ENOENT' });
    });
  });

  describe('no process of a group outlives its child', () => {
    test('a grandchild that holds the output open is ended when the leader exits', async () => {
      const { ending, stdout } = await fixture('forks-a-child.mjs');
      expect(ending).toEqual({ kind: 'exited', exitCode: 0 });
      expect(await isGone(Number(stdout.toString()))).toBe(true);
    });

    test('a grandchild is ended when the leader times out', async () => {
      const { ending, stdout } = await fixture('forks-a-child.mjs', { timeoutMs: 500 }, ['stay']);
      expect(ending).toEqual({ kind: 'timeout', limit: 'run' });
      expect(await isGone(Number(stdout.toString()))).toBe(true);
    });
  });

  test('output over the cap is read and dropped', async () => {
    let seenBytes = 0;
    const onOutput = (_stream: string, chunk: Buffer): void => {
      seenBytes += chunk.length;
    };
    const { stdout, truncated } = await fixture('prints-10-mb.mjs', { maxCapturedBytes: 1_000, onOutput });
    expect({ kept: stdout.length, truncated, seenBytes }).toEqual({
      kept: 1_000,
      truncated: true,
      seenBytes: 10_500_000,
    });
  });

  test('a child whose group cannot be recorded is killed and counts as not started', async () => {
    const pids: number[] = [];
    const onSpawn = (groupId: number): void => {
      pids.push(groupId);
      throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
    };
    const { ending } = await shell('sleep 20', { onSpawn });
    expect(ending).toMatchObject({ kind: 'not_started', code: 'ENOSPC' });
    expect(() => process.kill(pids[0]!, 0)).toThrow('ESRCH');
  });

  test('the environment of a child is what was given and nothing else', async () => {
    const { stdout } = await runChild({
      argv: ['env'],
      cwd: '/',
      env: { PATH: process.env.PATH!, ONLY: 'this' },
      timeoutMs: 5_000,
    });
    const names = stdout
      .toString()
      .trim()
      .split('\n')
      .map((line) => line.split('=')[0]);
    expect(names.filter((name) => !['PWD', 'SHLVL', '_'].includes(name!)).toSorted()).toEqual(['ONLY', 'PATH']);
  });

  describe('idle', () => {
    test('a silent child is ended unless the probe reports activity; then it is probed again', async () => {
      const asked: number[] = [];
      const isActive = async (): Promise<boolean> => {
        asked.push(performance.now());
        return asked.length < 3;
      };
      const { ending } = await shell('sleep 20', { idleTimeoutMs: 100, isActive });
      expect(ending).toEqual({ kind: 'timeout', limit: 'idle' });
      expect(asked).toHaveLength(3);
    });

    test('a probe that fails counts as no activity', async () => {
      const isActive = (): Promise<boolean> => Promise.reject(new Error('no'));
      const { ending } = await shell('sleep 20', { idleTimeoutMs: 50, isActive });
      expect(ending).toEqual({ kind: 'timeout', limit: 'idle' });
    });

    test('output during a probe keeps the child alive, and only one idle watch goes on', async () => {
      let asked = 0;
      const isActive = async (): Promise<boolean> => {
        asked += 1;
        await new Promise((resolve) => setTimeout(resolve, 150));
        return true;
      };
      const { ending } = await shell('sleep 0.2; echo x; sleep 0.8', { idleTimeoutMs: 150, isActive });
      expect(ending).toEqual({ kind: 'exited', exitCode: 0 });
      expect(asked).toBeLessThan(6);
    });

    test('a child that prints during a probe is not ended for the result of that probe', async () => {
      const spoke = Promise.withResolvers<void>();
      let asked = 0;
      const isActive = async (): Promise<boolean> => {
        asked += 1;
        await spoke.promise;
        return asked > 1;
      };
      const script = 'sleep 0.4; echo x; sleep 0.4';
      const { ending } = await shell(script, {
        idleTimeoutMs: 150,
        isActive,
        onOutput: () => setTimeout(spoke.resolve, 20),
      });
      expect(ending).toEqual({ kind: 'exited', exitCode: 0 });
    });
  });

  test('a child does not inherit an open file that this process inherited from its parent', async () => {
    const program = `
      const { runChild } = await import(${JSON.stringify(source('process'))});
      const { spawner } = await import(${JSON.stringify(source('spawner'))});
      if (${bySpawner}) await spawner.start();
      const argv = ['sh', '-c', 'readlink /proc/self/fd/40; cat <&40 2>/dev/null; true'];
      const { stdout } = await runChild({ argv, cwd: '/', env: { PATH: process.env.PATH }, timeoutMs: 10000 });
      console.log(stdout.toString());
      if (${bySpawner}) await spawner.stop();`;
    const secret = openSync(import.meta.filename, 'r');
    const stdio = [
      'ignore',
      'pipe',
      'inherit',
      ...Array.from({ length: 37 }, () => 'ignore' as const),
      secret,
    ] as StdioOptions;
    const given = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio });
    expect(await text(given.stdout!)).toContain('/dev/null');
    closeSync(secret);
  });
});
