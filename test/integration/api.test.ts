import { cp, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { SluiceClient } from '../../src/client/sluice-client.ts';
import { allActions } from '../../src/contract/actions.ts';
import { taskObject } from '../../src/contract/objects.ts';
import type { TokenScope } from '../../src/contract/tokens.ts';
import { sql } from '../../src/database/database.ts';
import { hashToken, newTokenSecret } from '../../src/domain/token.ts';
import { cloneTemplate } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

let git: GitSandbox;
let sluice: RunningSluice;
beforeAll(async () => {
  git = await GitSandbox.create();
  sluice = await startSluice({ config: { allow_any_repository: true, allow_commands: true } });
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
});

const call = (path: string, init: RequestInit & { headers?: Record<string, string> } = {}) =>
  fetch(`${sluice.url}${path}`, { ...init, headers: { authorization: `Bearer ${sluice.token}`, ...init.headers } });
const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
  call(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

describe('runs', () => {
  test('a repeated submission under one idempotency key makes one run, and another spec under that key is refused', async () => {
    const spec = specOf(git.remote, [shell('a', 'true')]);
    const first = await post('/v1/runs', spec, { 'idempotency-key': 'k1' });
    const again = await post('/v1/runs', spec, { 'idempotency-key': 'k1' });
    const other = await post('/v1/runs', { ...spec, name: 'other' }, { 'idempotency-key': 'k1' });
    expect([first.status, again.status, other.status]).toEqual([201, 200, 422]);
    expect(((await again.json()) as { id: string }).id).toBe(((await first.json()) as { id: string }).id);
    expect(await other.json()).toMatchObject({ code: 'idempotency.mismatch', status: 422 });
    const racers = await Promise.all(
      Array.from({ length: 5 }, () => post('/v1/runs', spec, { 'idempotency-key': 'k2' })),
    );
    expect(
      new Set((await Promise.all(racers.map((r) => r.json()))).map((run) => (run as { id: string }).id)).size,
    ).toBe(1);
  });

  test('objects carry id, state, outcome, reason and times in UTC', async () => {
    const { run } = await sluice.finish(specOf(git.remote, [shell('a', 'true')]));
    expect(run).toMatchObject({
      id: expect.stringMatching(/^run_/),
      state: 'COMPLETED',
      outcome: 'succeeded',
      reason: null,
    });
    expect(run.created_at).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/);
    expect(run.tasks?.[0]).toMatchObject({ id: expect.stringMatching(/^task_/), run_id: run.id, outcome: 'succeeded' });
  });

  test('runs are listed by label, page by page', async () => {
    const labelled = (team: string) =>
      sluice.client.runs.submit(specOf(git.remote, [shell('a', 'true')], { labels: { team } }));
    const made = [(await labelled('blue')).id, (await labelled('blue')).id, (await labelled('red')).id];
    const first = await sluice.client.runs.list({ label: 'team=blue', limit: 1 });
    const second = await sluice.client.runs.list({ label: 'team=blue', limit: 1, cursor: first.next_cursor! });
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual([made[1], made[0]]);
  });

  test('a cancelled run ends its tool within 10 s, and nothing of it lands', async () => {
    const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell('long', 'sleep 300; echo x > x')]));
    await eventually(
      'a running task',
      async () => (await sluice.client.tasks.list({ run: id, state: 'RUNNING' })).items[0],
    );
    const tip = await git.tip();
    expect(await sluice.client.runs.cancel(id, { reason: 'wrong' })).toMatchObject({
      state: 'FAILED',
      outcome: 'cancelled',
    });
    const worker = sluice.workerIds[0]!;
    await eventually('the worker idle', async () => (await sluice.deps.daos.workers.get(worker)).state === 'IDLE');
    expect(await git.tip()).toBe(tip);
    await expect(sluice.client.runs.cancel(id)).rejects.toMatchObject({ code: 'state.changed' });
  });

  test('an ended run can be deleted', async () => {
    const { run } = await sluice.finish(specOf(git.remote, [shell('a', 'true')]));
    await sluice.client.runs.delete(run.id);
    await expect(sluice.client.runs.get(run.id)).rejects.toMatchObject({ code: 'entity.not_found' });
  });
});

describe('events', () => {
  test('a watcher receives every transition in order until the run ends, and resumes without a gap', async () => {
    const { id } = await sluice.client.runs.submit(specOf(git.remote, [shell('a', 'echo a > a.txt')]));
    const live = [];
    for await (const event of sluice.client.runs.watch(id)) live.push(event);
    expect(live[0]).toMatchObject({ kind: 'run', from_state: null, to_state: 'INITIALIZING' });
    expect(live.at(-1)).toMatchObject({ kind: 'run', to_state: 'COMPLETED' });
    const middle = live[3]!.id;
    const page = (await (await call(`/v1/runs/${id}/events?after=${middle}`)).json()) as { items: { id: string }[] };
    expect(page.items.map((event) => event.id)).toEqual(live.slice(4).map((event) => event.id));
    const abort = new AbortController();
    const resumed = await call(`/v1/runs/${id}/events`, {
      headers: { accept: 'text/event-stream', 'last-event-id': middle },
      signal: abort.signal,
    });
    const { value } = await resumed.body!.pipeThrough(new TextDecoderStream()).getReader().read();
    abort.abort();
    expect(value).toMatch(/^: open|id: /);
  });
});

describe('logs', () => {
  test('a follower receives the output of a running tool, and both of its streams are stored', async () => {
    const { id } = await sluice.client.runs.submit(
      specOf(git.remote, [shell('talks', 'echo first; sleep 1; echo second >&2; echo l > l.txt')]),
    );
    const task = await eventually(
      'a task',
      async () => (await sluice.client.tasks.list({ run: id, state: 'RUNNING' })).items[0],
    );
    let followed = '';
    for await (const { text } of sluice.client.tasks.logs(task.id, { follow: true })) followed += text;
    expect(followed).toBe('first\nsecond\n');
    const streams = [];
    for await (const { stream } of sluice.client.tasks.logs(task.id)) streams.push(stream);
    expect(streams).toEqual(['stdout', 'stderr']);
  });
});

describe('problem details', () => {
  test.each([
    ['GET', '/v1/runs/run_no', 404, 'entity.not_found'],
    ['GET', '/v1/nowhere', 404, 'route.unknown'],
    ['GET', '/v1/runs?limit=0', 400, 'body.invalid'],
    ['GET', '/v1/runs?state=DONE', 400, 'body.invalid'],
    ['GET', '/v1/runs/x?expand=secrets', 404, 'entity.not_found'],
    ['POST', '/v1/runs/run_no/cancel', 404, 'entity.not_found'],
  ])('%s %s', async (method, path, status, code) => {
    const response = await call(path, { method });
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(await response.json()).toMatchObject({
      status,
      code,
      type: `/docs/errors#${code}`,
      title: expect.any(String),
      detail: expect.any(String),
    });
    expect(response.status).toBe(status);
  });

  test('a body that is not JSON is body.invalid', async () => {
    const response = await call('/v1/runs', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{',
    });
    expect([response.status, await response.json()]).toMatchObject([400, { code: 'body.invalid' }]);
  });
});

describe('waiting', () => {
  test('a wait answers when the run or patch has ended, and after its time with the state of then', async () => {
    const { client } = sluice;
    const { id } = await client.runs.submit(specOf(git.remote, [shell('slow', 'sleep 1; echo w > waited.txt')]));
    expect(await client.runs.wait(id, { timeoutSeconds: 0 })).toMatchObject({ id, completed_at: null });
    expect(await client.runs.wait(id)).toMatchObject({ id, state: 'COMPLETED' });
    const [patch] = (await client.patches.list({ run: id })).items;
    expect(await client.patches.wait(patch!.id)).toMatchObject({ state: 'VERIFIED' });
    await expect(client.runs.wait('run_nowhere')).rejects.toMatchObject({ code: 'entity.not_found' });
    const strange = await call(`/v1/runs/${id}/wait?timeout_seconds=3600`);
    expect([strange.status, await strange.json()]).toMatchObject([400, { code: 'body.invalid' }]);
  });
});

describe('operations', () => {
  test('the API serves liveness, readiness and its OpenAPI description', async () => {
    expect(await (await call('/healthz')).json()).toEqual({ status: 'ok' });
    expect(await (await call('/readyz')).json()).toMatchObject({ status: 'ready', checks: { database: { ok: true } } });
  });

  test('the description names the answer of every route, and every action of the table has its route', async () => {
    interface Operation {
      responses: Record<string, { content?: Record<string, { schema: object }> }>;
    }
    const described = (await (await call('/openapi.json')).json()) as {
      openapi: string;
      paths: Record<string, Record<string, Operation>>;
      components: { schemas: Record<string, { properties: object }> };
    };
    expect(described.openapi).toBe('3.1.0');
    const operations = Object.entries(described.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, ...operation })),
    );
    const unanswered = operations.filter(({ responses }) =>
      Object.entries(responses).every(([status, { content }]) => status !== '204' && content === undefined),
    );
    expect(unanswered.map(({ name }) => name)).toEqual([]);
    const posts = operations.map(({ name }) => name).filter((name) => name.startsWith('post'));
    const actions = allActions().map(({ collection, name }) => `post /v1/${collection}/{id}/${name}`);
    expect(posts.toSorted()).toEqual(
      [
        ...actions,
        'post /v1/patches',
        'post /v1/runs',
        'post /v1/runs/prune',
        'post /v1/webhooks/deliveries/{id}/replay',
      ].toSorted(),
    );
    expect(Object.keys(described.components.schemas.Task!.properties).toSorted()).toEqual(
      Object.keys(taskObject.shape).toSorted(),
    );
  });

  test('the description has no errors and no warnings, and the pages of documentation are served', async () => {
    const source = await (await call('/openapi.json')).text();
    const config = await createConfig({ extends: ['recommended'] });
    const problems = await lintFromString({ source, absoluteRef: '/openapi.json', config });
    expect(problems.map(({ ruleId, message, location }) => [ruleId, message, location[0]?.pointer])).toEqual([]);
    const errors = await (await call('/docs/errors')).text();
    expect(errors).toContain('## spec.invalid');
    const page = await call('/docs/');
    expect([page.status, page.headers.get('content-security-policy')]).toEqual([
      200,
      expect.stringMatching(/^default-src 'self'/),
    ]);
    expect(await page.text()).not.toMatch(/<script(?![^>]* src=)|https?:\/\//);
    expect((await fetch(`${sluice.url}/docs/`)).headers.get('www-authenticate')).toContain('Basic');
  });

  test('a cursor that is broken or of another list is refused', async () => {
    for (let n = 0; n < 2; n += 1) await sluice.client.runs.submit(specOf(git.remote, [shell('a', 'true')]));
    const { next_cursor } = await sluice.client.runs.list({ limit: 1 });
    expect((await sluice.client.runs.list({ limit: 1, cursor: next_cursor! })).items).toHaveLength(1);
    const places = ['runs?cursor=garbage', `tasks?cursor=${next_cursor}`, 'events?after=garbage', 'gates?cursor=run_1'];
    places.push(`runs?cursor=${Buffer.from('runs a\0b').toString('base64url')}`);
    for (const place of places) {
      const answer = await call(`/v1/${place}`);
      expect([answer.status, await answer.json()]).toMatchObject([400, { code: 'cursor.invalid' }]);
    }
    const resumed = await call('/v1/events', { headers: { accept: 'text/event-stream', 'last-event-id': 'x' } });
    expect(await resumed.json()).toMatchObject({ code: 'cursor.invalid' });
  });

  test('a target is forgotten only when no run is for it', async () => {
    const { run } = await sluice.finish(specOf(git.remote, [shell('a', 'true')]));
    await expect(sluice.client.targets.delete(run.target_id)).rejects.toMatchObject({ code: 'target.in_use' });
    const unused = `${git.remote}@unused`;
    await sluice.client.targets.pause(unused, { reason: 'not yet' });
    await sluice.client.targets.delete(unused);
    await expect(sluice.client.targets.delete(unused)).rejects.toMatchObject({ code: 'entity.not_found' });
  });

  test('names and the beginning of an id stand for an object; a deletion wants the whole id', async () => {
    const { client } = sluice;
    const tasks = [shell('fix', 'date +%s%N > named.txt')];
    const spec = { ...specOf(git.remote, tasks), name: 'nightly/lint', workstreams: [{ name: 'style', tasks }] };
    await sluice.finish(spec);
    const { run, task, patch } = await sluice.finish(spec);
    const names = ['nightly/lint', run.id.slice(0, 20)];
    for (const name of names) expect((await client.runs.get(name)).id).toBe(run.id);
    expect((await client.tasks.get('nightly/lint/style/fix')).id).toBe(task('fix').id);
    expect((await client.patches.get('nightly/lint/style/fix')).id).toBe(patch('fix')!.id);
    expect(await client.explain('nightly/lint/style/fix')).toMatchObject({ kind: 'task', id: task('fix').id });
    expect(await client.explain('nightly/lint/style')).toMatchObject({ kind: 'workstream' });
    expect(await client.explain('nightly/lint')).toMatchObject({ kind: 'run', id: run.id });
    await expect(client.tasks.retry('nightly/lint/style/fix', { reason: 'again' })).rejects.toMatchObject({
      code: 'state.changed',
    });
    await expect(client.runs.get(run.id.slice(0, 10))).rejects.toMatchObject({ code: 'entity.ambiguous' });
    for (const nothing of ['nightly', 'nightly/lint/style/none', 'run_zzzzzzzzzz', '%', "x' or '1"]) {
      await expect(client.runs.get(nothing)).rejects.toMatchObject({ code: 'entity.not_found' });
    }
    await expect(client.runs.delete('nightly/lint')).rejects.toMatchObject({ code: 'entity.not_found' });
  });

  test('runs that ended long ago are pruned by hand; the others stay', async () => {
    const { run } = await sluice.finish(specOf(git.remote, [shell('a', 'true')]));
    await sluice.deps.database.query(sql`
      update runs set created_at = now() - interval '10 days', completed_at = now() - interval '9 days'
      where run_id = ${run.id}`);
    expect(await sluice.client.runs.prune({ olderThanDays: 10 })).toBe(0);
    expect(await sluice.client.runs.prune({ olderThanDays: 8 })).toBe(1);
    await expect(sluice.client.runs.get(run.id)).rejects.toMatchObject({ code: 'entity.not_found' });
  });

  test('gates are listed by run, task, patch and target', async () => {
    const { run, patch } = await sluice.finish(specOf(git.remote, [shell('gated', 'echo g > gated.txt')]));
    const { id, task_id: task, target_id: target } = patch('gated')!;
    const [gate] = (await sluice.client.gates.list({ run: run.id })).items;
    for (const filter of [{ task }, { patch: id }, { patch: id, target }]) {
      expect((await sluice.client.gates.list(filter)).items.map((found) => found.id)).toEqual([gate!.id]);
    }
    expect((await sluice.client.gates.list({ patch: id, target: 'none@main' })).items).toEqual([]);
  });

  test('metrics show what lives, waits and is in trouble, and nothing that is gone', async () => {
    const text = async (): Promise<string> => {
      const answer = await call('/metrics');
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
      return answer.text();
    };
    // More than are dispatched ahead of the slots.
    const held = Array.from({ length: 12 }, (_, n) => shell(`held-${n}`, 'sleep 600'));
    const { id } = await sluice.client.runs.submit(specOf(git.remote, held));
    await eventually('a running task', async () =>
      (await text()).includes('sluice_tasks{pool="default",state="RUNNING"} 3'),
    );
    const busy = await text();
    expect(busy).toContain('sluice_runs{state="RUNNING"} 1');
    expect(busy).toMatch(/^sluice_slots\{pool="default",kind="task"\} [1-9]/m);
    expect(busy).toMatch(/^sluice_target_trouble\{kind="paused",target="[^"]+"\} 0$/m);
    expect(busy).toMatch(/^nodejs_eventloop_lag_seconds /m);
    expect(busy).toMatch(/^sluice_transitions_total\{kind="patch",to="VERIFIED"\} [1-9]/m);
    for (const count of ['attempt', 'gate_execution', 'git', 'round'])
      expect(busy).toMatch(new RegExp(`^sluice_${count}_seconds_count\\{.*\\} [1-9]`, 'm'));
    expect(busy).toMatch(/^sluice_landing_overhead_seconds\{target="[^"]+",quantile="0.5"\} [0-9.]+$/m);
    expect(busy).toMatch(/^sluice_run_seconds\{outcome="succeeded",quantile="0.5"\} [0-9.]+$/m);
    expect(busy).toMatch(/^sluice_gate_runs_saved\{target="[^"]+"\} \d+$/m);
    expect(busy).toMatch(/^sluice_landing_seconds\{target="[^"]+",quantile="0.95"\} [0-9.]+$/m);
    expect(busy).toMatch(/^sluice_gate_runs\{gate="check",target="[^"]+",outcome="passed"\} [1-9]/m);
    expect(busy).toMatch(/^sluice_task_waits\{pool="default",reason="slots"\} [1-9]/m);
    await sluice.client.runs.cancel(id, { reason: 'seen' });
    await eventually('its end', async () => !(await text()).includes('sluice_runs{'));
    expect((await fetch(`${sluice.url}/metrics`)).status).toBe(401);
  });

  test('alert rules and the board name only metrics that exist', async () => {
    const names = new Set((await (await call('/metrics')).text()).match(/(?<=^# TYPE )\w+/gm));
    for (const file of ['prometheus/alerts.yaml', 'grafana/sluice.json']) {
      const text = await readFile(new URL(`../../deploy/${file}`, import.meta.url), 'utf8');
      const document = parse(text) as { groups?: { rules: { expr: string }[] }[] };
      expect(document.groups?.flatMap(({ rules }) => rules) ?? [{}]).not.toEqual([]);
      const used = text.match(/\b(sluice|nodejs|process)_\w+/g) ?? [];
      expect(used.length).toBeGreaterThan(10);
      expect(used.filter((name) => !names.has(name))).toEqual([]);
    }
  });

  test('columns that the schemas do not name stay inside', async () => {
    const { run } = await sluice.finish(specOf(git.remote, [shell('a', 'true')]));
    const shown = [run, run.tasks![0]!, await sluice.client.targets.get(run.target_id)].map((object) =>
      Object.keys(object),
    );
    for (const hidden of ['version', 'rolled_up', 'lease_expires_at', 'spec_digest', 'policy', 'url', 'landing']) {
      expect(shown.flat()).not.toContain(hidden);
    }
  });

  test('Bull Board shows the live queues read-only', async () => {
    const html = await (await call('/board')).text();
    expect(html).toContain('<html');
    const { queues } = (await (await call('/board/api/queues')).json()) as {
      queues: { name: string; readOnlyMode: boolean }[];
    };
    expect(queues.map(({ name }) => name)).toEqual(expect.arrayContaining(['tasks.default', 'gates.default']));
    expect(queues.every(({ readOnlyMode }) => readOnlyMode)).toBe(true);
    const pause = await call('/board/api/queues/tasks.default/pause', { method: 'PUT' });
    expect(pause.status).toBe(405);
  });

  test('workers, breakers and targets are listed', async () => {
    expect((await sluice.client.workers.list()).items[0]).toMatchObject({
      id: sluice.workerIds[0],
      pools: ['default'],
    });
    expect((await sluice.client.breakers.list()).items).toEqual([]);
    expect((await sluice.client.targets.list()).items[0]).toMatchObject({
      id: `${git.remote}@main`,
      tip_commit: expect.any(String),
    });
  });
});

describe('patches', () => {
  test('a patch submitted without a run spec lands with its author and message', async () => {
    const content = await git.diffOf({ 'one.txt': 'one\n' });
    const input = { format: 'git_patch' as const, content, author: { name: 'Grace', email: 'grace@example.com' } };
    const submitted = await sluice.client.patches.submit({ repository: git.remote, input, message: 'feat: one' });
    const { run, task } = submitted;
    expect(submitted.patch).toMatchObject({ id: expect.stringMatching(/^patch_/), state: 'PENDING', task_id: task.id });
    expect(task).toMatchObject({ tool: 'patch', run_id: run.id });
    await eventually('the end', async () => (await sluice.client.runs.get(run.id)).state === 'COMPLETED');
    expect((await git.subjects()).at(-1)).toBe('feat: one');
    const [patch] = (await sluice.client.patches.list({ run: run.id })).items;
    expect(patch).toMatchObject({ id: submitted.patch.id, state: 'VERIFIED' });
    expect((await sluice.client.patches.diff(patch!.id)).toString()).toContain('+one');
    const author = await git.git(['log', '-1', '--format=%an <%ae>%n%B', 'main'], git.remote);
    expect(author).toContain('Grace <grace@example.com>');
    expect(author).toContain(`Sluice-Patch: ${patch!.id}`);
  });
});

describe('tokens', () => {
  const clientWith = async (own: RunningSluice, name: string, scope: TokenScope) => {
    const secret = newTokenSecret();
    const id = await own.deps.daos.tokens.createUnlessTaken({ name, token_hash: hashToken(secret), scopes: [scope] });
    return { id: id!, client: new SluiceClient({ url: own.url, token: secret }) };
  };

  test('a caller without a valid token is refused; a scope includes the lower ones; the audit names the token', async () => {
    const [read, submit] = [await clientWith(sluice, 'r', 'read'), await clientWith(sluice, 's', 'submit')];
    for (const token of ['wrong', '']) {
      await expect(new SluiceClient({ url: sluice.url, token }).runs.list()).rejects.toMatchObject({
        code: 'auth.missing',
      });
    }
    await read.client.runs.list();
    const spec = specOf(git.remote, [shell('a', 'true')]);
    await expect(read.client.runs.submit(spec)).rejects.toMatchObject({ code: 'auth.refused' });
    const run = await submit.client.runs.submit(spec);
    await expect(submit.client.runs.pause(run.id)).rejects.toMatchObject({ code: 'auth.refused' });
    expect((await fetch(`${sluice.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${sluice.url}/v1/runs`)).status).toBe(401);
    expect((await fetch(`${sluice.url}/board`)).headers.get('www-authenticate')).toContain('Basic');
    expect((await sluice.deps.daos.transitions.findByEntity(run.id))[0]).toMatchObject({ actor: `s ${submit.id}` });
  });

  test('revoking the last token does not open the API, and the next start makes a new local token', async () => {
    const dataDir = await mkdtemp(join(tmpdir(), 'sluice-test-token-'));
    const databaseUrl = await cloneTemplate();
    const own = await startSluice({ databaseUrl, dataDir, workers: [], scheduler: false });
    const { daos } = own.deps;
    const file = join(dataDir, 'local.token');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const before = await readFile(file, 'utf8');
    for (const { token_id } of await daos.tokens.listAll(10))
      await daos.tokens.update(token_id, { revoked_at: new Date() });
    expect((await fetch(`${own.url}/v1/runs`)).status).toBe(401);
    await expect(own.client.runs.list()).rejects.toMatchObject({ code: 'auth.missing' });
    await cp(file, `${dataDir}.kept`);
    await own.stop();
    await cp(`${dataDir}.kept`, file);
    const again = await startSluice({ databaseUrl, dataDir, workers: [], scheduler: false });
    expect(await readFile(file, 'utf8')).not.toBe(before);
    await again.client.runs.list();
    await again.stop();
    await rm(`${dataDir}.kept`);
  });

  test('a caller with the scope submit cannot cancel, supersede or outrank runs of other callers', async () => {
    const [mine, theirs] = [await clientWith(sluice, 'mine', 'submit'), await clientWith(sluice, 'theirs', 'submit')];
    const keyed = (name: string, supersede: boolean) =>
      specOf(git.remote, [shell(name, 'sleep 300')], { concurrency: { key: 'shared', supersede } });
    const run = await theirs.client.runs.submit(keyed('theirs', false));
    const task = await eventually('it runs', async () => {
      const found = (await sluice.whole(run.id)).task('theirs');
      return found.state === 'RUNNING' ? found : undefined;
    });
    const refused = (asked: Promise<unknown>) => expect(asked).rejects.toMatchObject({ code: 'auth.refused' });
    await refused(mine.client.runs.cancel(run.id, { reason: 'mine now' }));
    await refused(mine.client.tasks.cancel(task.id));
    await refused(mine.client.runs.submit(specOf(git.remote, [shell('a', 'true')], { priority: 1 })));
    const successor = await mine.client.runs.submit(keyed('mine', true));
    await eventually('its wait', async () => {
      const waiting = (await sluice.whole(successor.id)).task('mine');
      return waiting.state === 'QUEUED' && (await sluice.client.explain(waiting.id)).code === 'run_key';
    });
    expect((await sluice.client.runs.get(run.id)).state).toBe('RUNNING');
    await mine.client.runs.cancel(successor.id, { reason: 'own' });
    await theirs.client.runs.cancel(run.id, { reason: 'own' });
  });

  test('names of unrevoked tokens are unique', async () => {
    const token = { name: 'twice', scopes: ['read' as const] };
    const { tokens } = sluice.deps.daos;
    const first = await tokens.createUnlessTaken({ ...token, token_hash: 'one' });
    expect(await tokens.createUnlessTaken({ ...token, token_hash: 'two' })).toBeUndefined();
    await tokens.update(first!, { revoked_at: new Date() });
    expect(await tokens.createUnlessTaken({ ...token, token_hash: 'three' })).toMatch(/^tok_/);
  });
});

describe('browsers', () => {
  test('a write from a page of another site is refused even with a valid token', async () => {
    const spec = specOf(git.remote, [shell('a', 'true')]);
    const foreign = await post('/v1/runs', spec, { origin: 'https://evil.example' });
    expect([foreign.status, await foreign.json()]).toMatchObject([403, { code: 'auth.foreign_origin' }]);
    expect((await post('/v1/runs', spec, { origin: 'null' })).status).toBe(403);
    expect((await post('/v1/runs', spec, { origin: sluice.url })).status).toBe(201);
    expect((await call('/v1/runs', { headers: { origin: 'https://evil.example' } })).status).toBe(200);
  });

  test('every response has a content security policy', async () => {
    for (const path of ['/healthz', '/v1/runs', '/nowhere', '/board', '/v1/%00']) {
      const { headers } = await call(path);
      expect([path, headers.get('content-security-policy')]).toEqual([
        path,
        expect.stringContaining("frame-ancestors 'none'"),
      ]);
      expect(headers.get('x-content-type-options')).toBe('nosniff');
    }
  });
});

describe('readiness', () => {
  test('the daemon is not ready while a task waits and no worker lives', async () => {
    const own = await startSluice({ workers: [] });
    const ready = async () => (await fetch(`${own.url}/readyz`)).status;
    expect(await ready()).toBe(200);
    await own.client.runs.submit(specOf(git.remote, [shell('a', 'true')]));
    await eventually('the wait', async () => (await own.deps.daos.tasks.findByState('QUEUED'))[0]);
    await own.deps.database.query(sql`update tasks set updated_at = now() - interval '1 minute'`);
    expect(await ready()).toBe(503);
    await own.stop();
  });
});

describe('the fleet in figures', () => {
  test('stats count depth, slots and endings by pool, and no repairs on a healthy fleet', async () => {
    await sluice.finish(specOf(git.remote, [shell('counted', 'true')]));
    const stats = await sluice.client.stats({ windowSeconds: 600 });
    const pool = stats.pools.find((found) => found.pool === 'default')!;
    expect(pool).toMatchObject({ task_slots: 3, gate_slots: 2, tasks_waiting: 0 });
    expect(pool.tasks_ended.COMPLETED).toBeGreaterThan(0);
    expect(stats).toMatchObject({ window_seconds: 600, repairs: {}, refused_writes: expect.any(Number) });
  });
});

describe('runs with a key', () => {
  test('runs with one key run one at a time, oldest first, and a superseding run cancels the others', async () => {
    const keyed = (name: string, script: string, supersede = false) =>
      sluice.client.runs.submit(specOf(git.remote, [shell(name, script)], { concurrency: { key: 'k', supersede } }));
    const first = await keyed('first', 'sleep 300');
    await eventually('it runs', async () => (await sluice.whole(first.id)).task('first').state === 'RUNNING');
    const second = await keyed('second', 'true');
    const waiting = await eventually('its wait', async () => {
      const task = (await sluice.whole(second.id)).task('second');
      return task.state === 'QUEUED' ? sluice.client.explain(task.id) : undefined;
    });
    expect(waiting).toMatchObject({ code: 'run_key', facts: { holders: [first.id] } });
    const third = await keyed('third', 'true', true);
    await eventually('the end', async () => (await sluice.client.runs.get(third.id)).state === 'COMPLETED');
    for (const { id } of [first, second]) {
      expect(await sluice.client.runs.get(id)).toMatchObject({ state: 'FAILED', outcome: 'cancelled' });
    }
  });
});
