import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { GitSandbox, GREEN_POLICY } from '../../harness/git-sandbox.ts';
import { freePort } from '../../src/lib/free-port.ts';
import { runSluice, SLUICE } from '../support/command-line.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

let git: GitSandbox;
let sluice: RunningSluice;
let folder: string;
beforeAll(async () => {
  git = await GitSandbox.create();
  sluice = await startSluice();
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-cli-'));
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
  await rm(folder, { recursive: true, force: true });
});

const cli = (args: string[], environment: Record<string, string> = {}) =>
  runSluice(args, {
    cwd: folder,
    environment: { SLUICE_URL: sluice.url, SLUICE_DATA_DIR: sluice.settings.dataDir, ...environment },
  });

async function specFile(name: string, spec: object): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, stringify(spec));
  return file;
}

describe('submitting and inspecting work', () => {
  test('`run submit --watch` prints the run id on stdout and progress on stderr, and exits with 0 or 1 by the outcome', async () => {
    const good = await cli([
      'run',
      'submit',
      await specFile('good.yaml', specOf(git.remote, [shell('a', 'echo a > a')])),
      '--watch',
    ]);
    expect(good).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^run_\w+\n$/) });
    expect(good.stderr).toContain('RUNNING → COMPLETED');
    const bad = await cli([
      'run',
      'submit',
      await specFile('bad.yaml', specOf(git.remote, [shell('b', 'echo the telling line; exit 1')])),
      '--watch',
    ]);
    expect(bad.exitCode).toBe(1);
    expect(bad.stderr).toMatch(/task +task_\w+ b RUNNING → FAILED/);
    expect(bad.stderr).toMatch(/\| the telling line\n?$/);
    const failed = (await sluice.client.tasks.list({ run: bad.stdout.trim() })).items[0]!;
    expect((await cli(['explain', failed.id])).stdout).toContain('| the telling line');
  });

  test('schema prints a JSON Schema with the meaning of each key', async () => {
    for (const document of ['policy', 'config', 'run']) {
      const { stdout } = await cli(['schema', document]);
      expect(JSON.parse(stdout)).toHaveProperty('$schema');
      expect(stdout).toContain('"description"');
    }
    expect((await cli(['schema', 'nothing'])).exitCode).toBe(2);
  });

  test('doctor reports what is wrong here, in the configuration, the services and the policies, with a cure for each', async () => {
    const odd = await GitSandbox.create({}, { ...GREEN_POLICY, pinned: ['nowhere/**'] });
    await sluice.finish(specOf(odd.remote, [shell('d', 'echo d > d')]));
    const { dataDir } = sluice.settings;
    await writeFile(join(dataDir, 'slots', '9.aside'), 'rm: cannot remove');
    const config = await specFile('doctor.config.yaml', {
      repositories: { here: { url: git.remote }, gone: { url: join(folder, 'nowhere') } },
      tools: { missing: { argv: ['no-such-program'], env: ['NOT_SET_HERE'] } },
    });
    const environment = { DATABASE_URL: sluice.deps.database.url };
    const { stdout, exitCode } = await cli(['doctor', '--config', config], environment);
    expect(exitCode).toBe(1);
    expect(stdout).toMatch(/confinement: (bubblewrap|user|none)/);
    expect(stdout).toContain(`Policy of ${odd.remote}@main, pinned`);
    expect(stdout).toMatch(/✗ slots: slot 9 is set aside since .*Z: rm: cannot remove$/m);
    expect(stdout).toMatch(/✗ repository gone: .*\n +→ check the address/);
    expect(stdout).toMatch(/! tool missing: no-such-program is not on PATH here\n/);
    for (const well of ['repository here', 'database', 'schema', 'schema drift', 'clock', 'queue', 'tokens', 'git'])
      expect(stdout).toContain(`✓ ${well}: `);
    const alone = await cli(['doctor', '-o', 'json'], { SLUICE_URL: 'http://127.0.0.1:1' });
    expect(JSON.parse(alone.stdout)).toMatchObject({ data_dir: dataDir, policies: null });
    await writeFile(config, 'tools: { a: { argb: [x] } }');
    const broken = await cli(['doctor', '--config', config], { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none' });
    expect(broken.stdout).toMatch(/✗ configuration: [\s\S]*did you mean argv\?[\s\S]*✗ database: database.unreachable/);
    await rm(join(dataDir, 'slots', '9.aside'));
    await odd.remove();
  });

  test('repository list and check say what is configured and what can be read', async () => {
    expect((await cli(['repository', 'list'])).stdout).toContain('(no repository)');
    // An address that is not configured is not called, although run specs may bring any.
    expect(await cli(['repository', 'check', git.remote])).toMatchObject({ exitCode: 1, stdout: '' });
  });

  test('show, list, logs and diff print a finished run as text and as JSON', async () => {
    const id = (
      await cli([
        'run',
        'submit',
        await specFile('s.yaml', specOf(git.remote, [shell('c', 'echo said; echo c > c')])),
        '--watch',
      ])
    ).stdout.trim();
    expect((await cli(['run', 'show', id])).stdout).toMatch(/COMPLETED[\s\S]*c command/);
    const tasks = JSON.parse((await cli(['task', 'list', '--run', id, '-o', 'json'])).stdout) as {
      items: { id: string }[];
    };
    expect((await cli(['task', 'logs', tasks.items[0]!.id])).stdout).toBe('said\n');
    const patches = JSON.parse((await cli(['patch', 'list', '--run', id, '-o', 'json'])).stdout) as {
      items: { id: string }[];
    };
    expect((await cli(['patch', 'diff', patches.items[0]!.id])).stdout).toContain('+c');
    const gates = JSON.parse((await cli(['gate', 'list', '--run', id, '-o', 'json'])).stdout) as {
      items: { id: string }[];
    };
    expect((await cli(['gate', 'logs', gates.items[0]!.id])).exitCode).toBe(0);
    const { stdout } = await cli(['status']);
    for (const title of ['Targets', 'Runs', 'Queues', 'Workers', 'Tools']) expect(stdout).toContain(title);
    expect((await cli(['target', 'show', `${git.remote}@main`])).exitCode).toBe(0);
    const check = await cli(['target', 'check', `${git.remote}@main`]);
    expect([check.exitCode, check.stdout]).toEqual([0, 'no warnings\n']);
  });

  test.each([
    ['git_patch', (diff: string) => diff],
    ['unified_diff', (diff: string) => diff.replace(/^(diff|index|new file) .*\n/gm, '')],
    [
      'context_diff',
      () => '*** /dev/null\n--- b/context_diff.txt\n***************\n*** 0 ****\n--- 1 ----\n+ context_diff\n',
    ],
  ] as const)('a patch file in the format %s lands', async (format, write) => {
    const file = join(folder, `${format}.patch`);
    await writeFile(file, write(await git.diffOf({ [`${format}.txt`]: `${format}\n` })));
    const submitted = await cli([
      'patch',
      'submit',
      file,
      '--repository',
      git.remote,
      '--format',
      format,
      '--message',
      `add ${format}`,
    ]);
    expect(submitted.exitCode).toBe(0);
    const runId = submitted.stdout.split(' ')[0]!;
    expect((await cli(['run', 'watch', runId])).exitCode).toBe(0);
    expect(await git.read(`${format}.txt`)).toBe(format);
  });

  test('an inline patch of whole files lands', async () => {
    const { patch } = await sluice.client.patches
      .submit({
        repository: git.remote,
        input: { format: 'inline', files: [{ path: 'inline.txt', content: 'inline\n' }] },
      })
      .then(async ({ run }) => {
        await cli(['run', 'watch', run.id]);
        return { patch: (await sluice.client.patches.list({ run: run.id })).items[0] };
      });
    expect(patch?.state).toBe('VERIFIED');
  });
});

describe('an error has a code and an exit status', () => {
  test('wrong usage and invalid input exit with 2', async () => {
    expect((await cli(['run', 'frobnicate'])).exitCode).toBe(2);
    expect((await cli(['run', 'submit', 'no-such-file.yaml'])).exitCode).toBe(2);
    const invalid = await cli(['run', 'validate', await specFile('invalid.yaml', { name: 'x', repo: 'y' })]);
    expect(invalid).toMatchObject({ exitCode: 2, stdout: '' });
    expect(invalid.stderr).toMatch(/spec\.invalid[\s\S]*repo: unknown key: did you mean repository\?/);
    expect((await cli(['run', 'show', 'run_no'])).exitCode).toBe(2);
  });

  test('an unreachable daemon exits with 3', async () => {
    const { exitCode, stderr } = await cli(['run', 'list'], { SLUICE_URL: 'http://127.0.0.1:1' });
    expect({ exitCode, stderr }).toEqual({ exitCode: 3, stderr: expect.stringContaining('daemon.unreachable') });
  });

  test('with -o json an error is one line of JSON on stderr, and a watched run is one line an event', async () => {
    const wrong = await cli(['-o', 'json', 'run', 'show']);
    expect([wrong.stdout, JSON.parse(wrong.stderr)]).toEqual([
      '',
      { error: expect.objectContaining({ code: 'usage.invalid', detail: "missing required argument 'run'" }) },
    ]);
    const invalid = await cli(['-o', 'json', 'run', 'validate', await specFile('j.yaml', { name: 'x' })]);
    expect(JSON.parse(invalid.stderr)).toMatchObject({
      error: { code: 'spec.invalid', errors: [{ path: expect.any(String) }, {}] },
    });
    const spec = await specFile('json.yaml', specOf(git.remote, [shell('j', 'echo j > json.txt')]));
    const { stdout } = await cli(['run', 'submit', spec, '--watch', '-o', 'json']);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines[0]).toMatchObject({ name: lines.at(-1)!.name, state: expect.any(String) });
    expect(lines.at(-1)).toMatchObject({ state: 'COMPLETED', tasks: [{ name: 'j' }] });
    expect(lines.slice(1, -1).every(({ to_state }) => typeof to_state === 'string')).toBe(true);
  });

  test('a wrong token exits with 4', async () => {
    expect((await cli(['run', 'list', '--token', 'wrong'])).exitCode).toBe(4);
  });

  test('`up` on a port that is in use names the port and ends', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const args = ['up', '--workers=1', `--port=${port}`, `--data-dir=${join(folder, 'port')}`];
    const { exitCode, stderr } = await cli(args, { DATABASE_URL: await cloneTemplate() });
    taken.close();
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(`port.in_use: port ${port}`) });
  });

  test('the API refuses to listen beyond loopback without a token', async () => {
    const args = ['api', '--host=0.0.0.0', '--port=0', `--data-dir=${join(folder, 'open')}`];
    const { exitCode, stderr } = await cli(args, { DATABASE_URL: await cloneTemplate() });
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining('auth.unsafe_listen') });
  });

  test('an unreachable database is retried with one log line per attempt, then the scheduler exits with 3', async () => {
    const args = ['scheduler', `--data-dir=${join(folder, 'down')}`];
    const { exitCode, stderr } = await cli(args, { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none' });
    expect(exitCode).toBe(3);
    expect(stderr.match(/database\.unreachable: trying again/g)?.length).toBeGreaterThan(3);
    expect(stderr).toContain('sluice: database.unreachable');
  });

  test('an unknown configuration key is refused with its path and a suggestion', async () => {
    const config = await specFile('broken.config.yaml', { tools: { a: { argv: ['x'], timeout: 5 } } });
    const { exitCode, stderr } = await cli(['api', '--config', config], { DATABASE_URL: 'postgresql://x/y' });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('tools.a.timeout: unknown key: did you mean timeout_seconds?');
  });
});

test('roles in separate processes with separate data folders land a run together', async () => {
  const environment = { PATH: process.env.PATH, DATABASE_URL: await cloneTemplate(), SLUICE_PORT: '0' };
  const config = await specFile('roles.config.yaml', {
    repositories: { app: { url: git.remote }, gone: { url: join(folder, 'nowhere') } },
    allow_commands: true,
  });
  const { token } = JSON.parse((await cli(['token', 'create', 'ops', '-o', 'json'], environment as never)).stdout) as {
    token: string;
  };
  const monitors = await Promise.all([freePort(), freePort()]);
  const start = (...args: string[]) => {
    const port = { scheduler: monitors[0], worker: args.length === 1 ? monitors[1] : undefined }[args[0]!];
    const data = join(folder, `role-${args.join('-')}`);
    const child = spawn(process.execPath, [SLUICE, ...args, `--config=${config}`, `--data-dir=${data}`], {
      cwd: folder,
      env: port === undefined ? environment : { ...environment, SLUICE_MONITOR_PORT: String(port) },
    });
    let words = '';
    child.stderr.on('data', (chunk) => (words += String(chunk)));
    return { child, words: () => words };
  };
  const api = start('api');
  const roles = [api, start('scheduler'), start('worker'), start('worker', '--pools=default,gpu')];
  try {
    const url = await eventually('the address', async () => /"url":"([^"]+)"/.exec(api.words())?.[1]);
    const access = { SLUICE_URL: url, SLUICE_TOKEN: token };
    const spec = await specFile('roles.yaml', specOf('app', [shell('r', 'echo r > roles.txt')]));
    expect(await cli(['run', 'submit', spec, '--watch'], access)).toMatchObject({ exitCode: 0 });
    expect(await git.read('roles.txt')).toBe('r');
    expect((await cli(['run', 'list'], { SLUICE_URL: url })).exitCode).toBe(4);
    expect((await cli(['repository', 'list'], access)).stdout).toMatch(/^app .* app@main$/m);
    expect((await cli(['repository', 'check', 'app'], access)).stdout).toMatch(
      /^readable: \d+ branches, default branch main\n$/,
    );
    expect(await cli(['repository', 'check', 'gone'], access)).toMatchObject({
      exitCode: 1,
      stdout: expect.stringContaining('cannot be read'),
    });
    for (const port of monitors) {
      const health = await cli(['health', '--port', String(port)]);
      expect(health).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^ready\nstarted: ok\n/) });
      const said = async (path: string) => (await fetch(`http://127.0.0.1:${port}${path}`)).text();
      expect(await said('/healthz')).toBe('{"status":"ok"}');
      const metrics = await said('/metrics');
      expect(metrics).toMatch(/^sluice_transitions_total\{.*\} [1-9]/m);
      // The supervisor gathers the metrics of its worker processes.
      if (port === monitors[1]) expect(metrics).toMatch(/^sluice_round_seconds_count\{.*worker="0".*\} [1-9]/m);
    }
    expect((await cli(['health', '--port', '1'])).exitCode).toBe(3);
  } finally {
    const ended = roles.map(({ child }) => once(child, 'exit'));
    for (const { child } of roles) child.kill('SIGTERM');
    expect((await Promise.all(ended)).map(([code]) => code)).toEqual([0, 0, 0, 0]);
  }
});

test('init writes a policy that check proves on HEAD and on the working tree, as a worker would', async () => {
  const project = await GitSandbox.create({ 'calc.py': 'def add(a, b): return a + b\n' }, null);
  const here = (args: string[]) => runSluice(args, { cwd: project.clone, environment: {} });
  try {
    expect(await here(['init', '--yes'])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--gate') });
    await project.push({
      'tests/__init__.py': '',
      'tests/test_calc.py':
        'import unittest, calc\nclass T(unittest.TestCase):\n  def test(self): self.assertEqual(calc.add(1, 2), 3)\n',
    });
    expect(await here(['check'])).toMatchObject({ exitCode: 1, stdout: expect.stringContaining('sluice init') });
    expect(await here(['init'])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--yes') });
    expect((await here(['init', '--yes'])).exitCode).toBe(0);
    // Not committed yet: only the working tree has a policy.
    expect(await here(['check'])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining('working tree: 1 of 1'),
    });
    await project.git(['add', '--all']);
    await project.git(['commit', '--quiet', '--message', 'policy']);
    const before = await project.git(['status', '--porcelain']);
    await writeFile(join(project.clone, 'calc.py'), 'def add(a, b): return a - b\n');
    const checked = await here(['check', '-o', 'json']);
    const { trees } = JSON.parse(checked.stdout) as { trees: { tree: string; gates: { outcome: string }[] }[] };
    expect(trees.map(({ tree, gates }) => [tree, gates.map(({ outcome }) => outcome)])).toEqual([
      ['HEAD', ['passed']],
      ['working tree', ['red']],
    ]);
    expect([checked.exitCode, (await here(['check'])).stdout]).toEqual([1, expect.stringContaining('AssertionError')]);
    expect([before, await project.git(['status', '--porcelain'])]).toEqual(['', ' M calc.py']);
    expect(await here(['check', 'nothing'])).toMatchObject({ exitCode: 2 });
    await project.git(['checkout', '--quiet', 'calc.py']);
    const gates = [
      { name: 'red', command: ['false'], advisory: true },
      { name: 'asks', command: ['sh', '-c', 'test -z "$HOME_OF_A_SECRET"'], env: ['HOME_OF_A_SECRET'] },
    ];
    await project.push({ '.sluice.yaml': stringify({ gates }) });
    const shallow = join(folder, 'shallow');
    await project.git(['clone', '--quiet', '--depth=1', `file://${project.remote}`, shallow], folder);
    const environment = { HOME_OF_A_SECRET: 'x' };
    // An advisory gate stops nothing, and a gate gets what a worker would give it.
    const sound = await runSluice(['check'], { cwd: shallow, environment });
    expect(sound).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('HOME_OF_A_SECRET: not set here') });
    await project.git(['remote', 'set-url', 'origin', 'https://me:token@git.example/app.git'], shallow);
    expect(await runSluice(['init', '--yes', '--gate', 'x=true && true'], { cwd: shallow, environment })).toMatchObject(
      {
        exitCode: 0,
      },
    );
    const config = await readFile(join(shallow, 'sluice.config.yaml'), 'utf8');
    expect(config).toContain('https://git.example/app.git');
    expect(config).not.toContain('me:token');
  } finally {
    await project.remove();
  }
});

test('a role that waits for its database ends at once when it is asked to', async () => {
  const environment = { PATH: process.env.PATH, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' };
  const attemptsAfterSignal = async (role: string): Promise<number> => {
    const args = [SLUICE, role, `--data-dir=${join(folder, `waiting-${role}`)}`];
    const child = spawn(process.execPath, args, { cwd: folder, env: environment });
    let words = '';
    child.stderr.on('data', (chunk) => (words += String(chunk)));
    const attempts = (): number => words.split('trying again').length - 1;
    await eventually('an attempt', () => Promise.resolve(attempts() > 0));
    const before = attempts();
    child.kill('SIGTERM');
    expect((await once(child, 'close'))[0]).toBe(0);
    return attempts() - before;
  };
  for (const attempts of await Promise.all(['api', 'scheduler', 'worker'].map(attemptsAfterSignal))) {
    expect(attempts).toBeLessThan(5);
  }
});

test('the token and migrate commands work on the database without a daemon', async () => {
  const environment = { DATABASE_URL: await cloneTemplate() };
  const made = JSON.parse(
    (await cli(['token', 'create', 'ci', '--scope', 'read', '-o', 'json'], environment)).stdout,
  ) as { id: string; token: string };
  expect(made.token).toMatch(/^sluice_/);
  const listed = (await cli(['token', 'list', '-o', 'json'], environment)).stdout;
  expect(listed).toContain(made.id);
  expect(listed).not.toContain(made.token);
  expect((await cli(['token', 'revoke', made.id], environment)).exitCode).toBe(0);
  expect((await cli(['migrate', 'status'], environment)).stdout).toContain('Migration20261123000001_runs');
  expect((await cli(['migrate', 'up'], environment)).stdout).toContain('nothing to do');
});
