import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { ControlGroups } from '../../src/children/control-groups.ts';
import { runChild } from '../../src/lib/process.ts';
import { processesWithVariable } from '../../src/lib/process-identity.ts';
import { eventually } from '../support/eventually.ts';

const here = await ControlGroups.find();
const HIDES = ['setsid', 'env', '-i'];
const env = { PATH: process.env.PATH! };

/** A command that starts a process outside its process group and without its environment. */
function hiding(mark: string): string[] {
  return ['sh', '-c', `${HIDES.join(' ')} MARK=${mark} sleep 300 >/dev/null 2>&1 & sleep 0.2`];
}

test.skipIf(here === undefined)(
  'a process that a child leaves behind ends with its control group; without a group it stays',
  async () => {
    const marks = ['free', 'grouped'].map((kind) => `${kind}-${process.pid}`) as [string, string];
    const group = await here!.open({});
    const run = (argv: string[]) => runChild({ argv, cwd: '/tmp', env, timeoutMs: 20_000 });
    await run(hiding(marks[0]));
    const { ending } = await run([...group.argv, ...hiding(marks[1])]);
    expect(ending).toEqual({ kind: 'exited', exitCode: 0 });
    await group.end();
    const [free, grouped] = await Promise.all(marks.map((mark) => processesWithVariable(`MARK=${mark}`)));
    for (const pid of free!) process.kill(pid, 'SIGKILL');
    expect([free!.length > 0, grouped]).toEqual([true, []]);
  },
);

test.skipIf(here === undefined)('the control group of a dead worker is ended by the next worker', async () => {
  const mark = `orphan-${process.pid}`;
  const script = `
    const { ControlGroups } = await import(${JSON.stringify(new URL('../../src/children/control-groups.ts', import.meta.url).href)});
    const group = await (await ControlGroups.find()).open({});
    const { spawn } = await import('node:child_process');
    const argv = [...group.argv, ...${JSON.stringify(HIDES)}, 'MARK=${mark}', 'sleep', '300'];
    spawn(argv[0], argv.slice(1), { stdio: 'ignore', detached: true }).unref();
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), 500);`;
  await once(spawn(process.execPath, ['--input-type=module', '-e', script]), 'exit');
  expect(await processesWithVariable(`MARK=${mark}`)).toHaveLength(1);
  await ControlGroups.find();
  await eventually('its end', async () => (await processesWithVariable(`MARK=${mark}`)).length === 0);
});
