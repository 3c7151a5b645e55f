import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { GitSandbox } from '../../../harness/git-sandbox.ts';
import { configSchema } from '../../../src/contract/config-schema.ts';
import { eventually } from '../../support/eventually.ts';
import { type GitHttpServer, serveGitOverHttp } from '../../support/git-http-server.ts';
import { shell, specOf, startSluice } from '../../support/run-sluice.ts';

const TOKEN = 'a-token-nobody-may-see';
let git: GitSandbox;
beforeEach(async () => {
  git = await GitSandbox.create();
});
afterEach(() => git.remove());

describe('http with a token', () => {
  let server: GitHttpServer;
  beforeEach(async () => {
    server = await serveGitOverHttp(git.remote, TOKEN);
  });
  afterEach(() => server.stop());

  const started = (credentials: object, environment = {}) =>
    startSluice({
      config: { repositories: { app: { url: server.url, credentials: credentials as never } } },
      environment,
    });

  test.each([
    ['from a variable', { token_env: 'APP_TOKEN' }, { APP_TOKEN: TOKEN }],
    ['from a command', { token_command: ['printf', TOKEN], username: 'robot' }, {}],
  ])('a run lands with a token %s', async (_title, credentials, environment) => {
    const sluice = await started(credentials, environment);
    const { run } = await sluice.finish(specOf('app', [shell('one', 'echo 1 > one.txt')]));
    expect(run).toMatchObject({ state: 'COMPLETED', target_id: 'app@main' });
    expect(await git.subjects()).toEqual(['change', 'test: one']);
    expect(server.allowed()).toBeGreaterThan(0);
    await sluice.stop();
  });

  test('the token reaches no file, no table and no child process', async () => {
    const sluice = await started({ token_env: 'APP_TOKEN' }, { APP_TOKEN: TOKEN });
    const look = `env > seen.txt; cat "$HOME"/* .git/config >> seen.txt 2>/dev/null; exit 0`;
    const gates = [{ name: 'g', command: ['sh', '-c', 'env; exit 0'], env: ['APP_TOKEN'] }];
    await git.push({ '.sluice.yaml': JSON.stringify({ gates }) });
    const { run } = await sluice.finish(specOf('app', [shell('one', look)]));
    expect(run.state).toBe('COMPLETED');
    expect(await git.read('seen.txt')).not.toContain(TOKEN);
    const logs = await sluice.deps.daos.logs.listAll(1_000);
    expect(JSON.stringify([logs, run])).not.toContain(TOKEN);
    for (const file of await readdir(sluice.settings.dataDir, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue;
      const content = await readFile(join(file.parentPath, file.name), 'latin1');
      expect([file.name, content.includes(TOKEN)]).toEqual([file.name, false]);
    }
    await sluice.stop();
  });

  test('a wrong token is repository.unreadable, and a variable that is not set is named', async () => {
    const sluice = await started({ token_env: 'APP_TOKEN' }, { APP_TOKEN: 'wrong' });
    await sluice.client.runs.submit(specOf('app', [shell('one', 'true')]));
    await expect(sluice.deps.mirrorsOf('api').of(server.url).fetchTip('main')).rejects.toMatchObject({
      code: 'repository.unreadable',
    });
    const none = await started({ token_env: 'NOT_SET' });
    await expect(none.deps.mirrorsOf('api').of(server.url).fetchTip('main')).rejects.toThrow(/NOT_SET/);
    await sluice.stop();
    await none.stop();
  });

  test('a push that fails with a server error is settled and retried, and no gate runs twice', async () => {
    const sluice = await started({ token_env: 'APP_TOKEN' }, { APP_TOKEN: TOKEN });
    server.failPushes(2);
    const { run } = await sluice.finish(specOf('app', [shell('one', 'echo 1 > one.txt')]));
    expect(run.state).toBe('COMPLETED');
    expect(run.gates).toHaveLength(1);
    expect((await sluice.client.targets.get('app@main')).paused_at).toBeNull();
    await sluice.stop();
  });
});

test('ssh uses the configured key and known hosts only, and never asks a question', async () => {
  const bin = join(git.folder, 'bin');
  await mkdir(bin);
  await copyFile(join(import.meta.dirname, '../../fixtures/ssh-to-this-machine.sh'), join(bin, 'ssh'));
  const [key, hosts] = [join(git.folder, 'a key'), join(git.folder, 'known hosts')];
  for (const file of [key, hosts]) await writeFile(file, '', { mode: 0o600 });
  const sluice = await startSluice({
    config: {
      repositories: {
        app: {
          url: `ssh://git@git.example${git.remote}`,
          credentials: { ssh_key_file: key, known_hosts_file: hosts },
          committer: { name: 'Release Robot', email: 'robot@example.com' },
        },
      },
    },
    environment: { PATH: `${bin}:${process.env.PATH}` },
  });
  const { run } = await sluice.finish(specOf('app', [shell('one', 'echo 1 > one.txt')]));
  expect(run.state).toBe('COMPLETED');
  const who = await git.git(['log', '-1', '--format=%cn <%ce>', 'main'], git.remote);
  expect(who).toBe('Release Robot <robot@example.com>');
  const call = (await readFile(join(bin, 'calls'), 'utf8')).split('\n')[0];
  expect(call).toContain(`-i ${key}`);
  expect(call).toContain(`UserKnownHostsFile="${hosts}"`);
  expect(call).toContain('BatchMode=yes');
  expect(call).toContain('StrictHostKeyChecking=yes');
  await sluice.stop();
});

test('a run lands on a repository that is named by a file: URL', async () => {
  const sluice = await startSluice();
  const { run } = await sluice.finish(specOf(`file://${git.remote}`, [shell('one', 'echo 1 > one.txt')]));
  expect(run.state).toBe('COMPLETED');
  await sluice.stop();
});

test('a landed commit keeps the author of its patch, and its trailers name run, task and patch', async () => {
  const sluice = await startSluice();
  const input = {
    format: 'inline',
    files: [{ path: 'x', content: 'x\n' }],
    author: { name: 'Grace', email: 'grace@example.com' },
  };
  const { run, task, patch } = await sluice.finish(
    specOf(git.remote, [{ name: 't', tool: 'patch', input, message: 'by Grace' }]),
  );
  const said = await git.git(['log', '-1', '--format=%an <%ae>%n%s%n%(trailers:only)', 'main'], git.remote);
  expect(said.trim().split('\n')).toEqual([
    'Grace <grace@example.com>',
    'by Grace',
    `Sluice-Run: ${run.id}`,
    `Sluice-Task: ${task('t').id}`,
    `Sluice-Patch: ${patch('t')!.id}`,
  ]);
  await sluice.stop();
});

test('a broken or missing mirror is made again, and the run completes', async () => {
  const sluice = await startSluice();
  expect((await sluice.finish(specOf(git.remote, [shell('one', 'echo 1 > one.txt')]))).run.state).toBe('COMPLETED');
  const mirrors = join(sluice.settings.dataDir, 'mirrors', 'scheduler');
  const [mirror] = await readdir(mirrors);
  await rm(join(mirrors, mirror!, 'objects'), { recursive: true });
  await mkdir(join(mirrors, mirror!, 'objects'));
  expect((await sluice.finish(specOf(git.remote, [shell('two', 'echo 2 > two.txt')]))).run.state).toBe('COMPLETED');
  await rm(join(mirrors, mirror!), { recursive: true });
  expect((await sluice.finish(specOf(git.remote, [shell('three', 'echo 3 > three.txt')]))).run.state).toBe('COMPLETED');
  await eventually('three commits', async () => (await git.subjects()).length === 4);
  await sluice.stop();
});

test('a repository URL with a password is refused in the configuration and in a run spec', async () => {
  const url = 'https://me:secret@git.example/app.git';
  expect(configSchema.safeParse({ repositories: { app: { url } } }).success).toBe(false);
  const sluice = await startSluice({ workers: [] });
  await expect(sluice.client.runs.submit(specOf(url, [shell('one', 'true')]))).rejects.toMatchObject({
    code: 'spec.invalid',
  });
  await sluice.stop();
});
