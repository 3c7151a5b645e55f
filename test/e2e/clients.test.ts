import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { assembleClientPackage } from '../../scripts/client-package.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

const ROOT = join(import.meta.dirname, '../..');
const exec = promisify(execFile);
let git: GitSandbox;
let sluice: RunningSluice;
let folder: string;
beforeAll(async () => {
  git = await GitSandbox.create();
  sluice = await startSluice();
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-clients-'));
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
  await rm(folder, { recursive: true, force: true });
});

/** A task whose patch waits for an approval, and one that lands. */
async function storyFile(name: string): Promise<string> {
  const file = join(folder, `${name}.json`);
  const tasks = [shell('lands', `echo ${name} > ${name}.txt`), shell('judge', 'echo "# x" >> .sluice.yaml')];
  await writeFile(file, JSON.stringify(specOf(git.remote, tasks)));
  return file;
}

const environment = () => ({ PATH: process.env.PATH, URL: sluice.url, TOKEN: sluice.token });

test('the Python client submits, watches, explains and approves, and raises coded errors', async () => {
  const script = `
import json, os, sys
from sluice_client import SluiceClient, SluiceError
sluice = SluiceClient(os.environ["URL"], os.environ["TOKEN"])
spec = json.load(open(sys.argv[1]))
run = sluice.runs.submit(spec, idempotency_key="python")
assert sluice.runs.submit(spec, idempotency_key="python")["id"] == run["id"]
approved = False
for event in sluice.runs.watch(run["id"]):
    if event["kind"] == "patch" and event["to_state"] == "QUARANTINED" and not approved:
        assert sluice.explain(event["entity_id"])["code"] == "approval"
        sluice.patches.approve(event["entity_id"], reason="seen")
        approved = True
ended = sluice.runs.wait(run["id"], timeout_seconds=60)
tasks = list(sluice.tasks.all(run=run["id"]))
patches = list(sluice.patches.all(run=run["id"], state="VERIFIED"))
try:
    sluice.runs.get("run_none")
    code = None
except SluiceError as error:
    code = error.code
try:
    sluice.runs.submit({"name": "x"})
except SluiceError as error:
    problems = len(error.errors)
print(json.dumps([ended["state"], len(tasks), len(patches), b"+" in sluice.patches.diff(patches[0]["id"]), code, problems > 0]))
`;
  const args = ['-c', script, await storyFile('python')];
  const { stdout } = await exec('python3', args, {
    env: { ...environment(), PYTHONPATH: join(ROOT, 'clients/python'), PYTHONDONTWRITEBYTECODE: '1' },
  });
  expect(JSON.parse(stdout)).toEqual(['COMPLETED', 2, 2, true, 'entity.not_found', true]);
});

test('the package @sluice/client works without the server, needs no module of Node, and brings its types', async () => {
  const compiled = join(folder, 'dist');
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  await exec(tsc, ['-p', join(ROOT, 'tsconfig.build.json'), '--outDir', compiled]);
  const user = join(folder, 'user');
  const installed = join(user, 'node_modules/@sluice/client');
  const files = assembleClientPackage({ root: ROOT, compiled, to: join(folder, 'package') });
  await cp(join(folder, 'package'), installed, { recursive: true });
  for (const name of ['zod', 'eventsource-parser'])
    await symlink(join(ROOT, 'node_modules', name), join(user, 'node_modules', name));
  for (const file of files.filter((name) => name.endsWith('.js'))) {
    expect(await readFile(join(installed, file), 'utf8'), file).not.toMatch(/from 'node:|import\('node:|\bBuffer\./);
  }
  await mkdir(user, { recursive: true });
  const script = `
import { SluiceClient, SluiceError, type RunObject } from '@sluice/client';
const sluice = new SluiceClient({ url: process.env.URL!, token: process.env.TOKEN! });
const spec = JSON.parse(process.argv[2]!);
const run: RunObject = await sluice.runs.submit(spec, { idempotencyKey: 'node' });
for await (const { kind, to_state, entity_id } of sluice.runs.watch(run.id)) {
  if (kind === 'patch' && to_state === 'QUARANTINED') await sluice.patches.approve(entity_id, { reason: 'seen' });
}
const code = await sluice.runs.get('run_none').catch((error) => (error instanceof SluiceError ? error.code : 'other'));
const { items } = await sluice.patches.list({ run: run.id });
console.log(JSON.stringify([(await sluice.runs.wait(run.id)).state, code, (await sluice.patches.diff(items[0]!.id)).toString().includes('+')]));
`;
  await writeFile(join(user, 'use.ts'), script);
  await writeFile(join(user, 'package.json'), '{ "type": "module" }');
  await symlink(join(ROOT, 'node_modules/@types'), join(user, 'node_modules/@types'));
  const checks = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024', '--types', 'node'];
  await exec(tsc, [...checks, '--skipLibCheck', 'use.ts'], { cwd: user });
  const spec = await readFile(await storyFile('node'), 'utf8');
  const { stdout } = await exec(process.execPath, ['use.ts', spec], { cwd: user, env: environment() });
  expect(JSON.parse(stdout)).toEqual(['COMPLETED', 'entity.not_found', true]);
});
