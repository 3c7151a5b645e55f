import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { startAll } from '../../src/lib/component.ts';
import { signWebhook } from '../../src/lib/webhook-signature.ts';
import { createSchedulerRole } from '../../src/scheduler/scheduler-role.ts';
import { eventually } from '../support/eventually.ts';
import { type RunningSluice, shell, specOf, startSluice } from '../support/run-sluice.ts';

interface Received {
  path: string;
  id: string;
  signature: string | undefined;
  timestamp: string;
  body: string;
}

const SECRET = 'a-secret-of-the-receiver';
const received: Received[] = [];
/** Answers with which the receiver begins, before it accepts. */
let refusals: number[] = [];
const receiver = createServer(async (request, response) => {
  let body = '';
  for await (const chunk of request) body += String(chunk);
  const header = (name: string) => request.headers[name] as string;
  received.push({
    path: request.url!,
    id: header('webhook-id'),
    signature: header('webhook-signature'),
    timestamp: header('webhook-timestamp'),
    body,
  });
  if (request.url === '/dead') return;
  response.writeHead(refusals.shift() ?? 204).end();
});

let git: GitSandbox;
let sluice: RunningSluice;
beforeAll(async () => {
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  git = await GitSandbox.create();
  sluice = await startSluice({
    environment: { HOOK_SECRET: SECRET },
    config: {
      webhooks: [
        {
          name: 'all',
          url: `${url}/all`,
          events: ['run.*', 'patch.landed', 'target.*'],
          secret_env: 'HOOK_SECRET',
          allow_private: true,
        },
        { name: 'chat', url: `${url}/chat`, events: ['run.failed'], format: 'slack', allow_private: true },
        { name: 'dead', url: `${url}/dead`, events: ['*'], allow_private: true },
        { name: 'inside', url: `${url}/inside`, events: ['run.failed'] },
      ],
    },
  });
});
afterAll(async () => {
  await sluice.stop();
  await git.remove();
  receiver.closeAllConnections();
  receiver.close();
});

const typesAt = (path: string) =>
  received.filter((each) => each.path === path).map(({ body }) => (JSON.parse(body) as { type: string }).type);

test('changes that a webhook asks for are sent signed, each once although two schedulers run', async () => {
  const stop = await startAll(createSchedulerRole(sluice.deps));
  const { run } = await sluice.finish(specOf(git.remote, [shell('lands', 'echo l > l.txt')]));
  await sluice.client.targets.pause(run.target_id, { reason: 'release day' });
  const expected = ['patch.landed', 'run.completed', 'run.initializing', 'run.running', 'target.paused'];
  await eventually('all events', async () => typesAt('/all').length >= expected.length);
  await sluice.client.targets.resume(run.target_id, { reason: 'done' });
  await eventually('the resumption', async () => typesAt('/all').includes('target.resumed'));
  expect(typesAt('/all').toSorted()).toEqual([...expected, 'target.resumed'].toSorted());
  for (const { id, timestamp, body, signature } of received.filter(({ path }) => path === '/all')) {
    expect(signature).toBe(signWebhook(SECRET, { id, seconds: Number(timestamp), body }));
  }
  const landed = JSON.parse(received.find(({ body }) => body.includes('patch.landed'))!.body) as object;
  expect(landed).toMatchObject({ timestamp: expect.any(String), data: { run_id: run.id, to_state: 'VERIFIED' } });
  expect(typesAt('/chat')).toEqual([]);
  await stop();
});

test('a refused delivery is repeated with the same id; a private address is refused; a replay sends again', async () => {
  refusals = [500];
  const { client } = sluice;
  received.length = 0;
  const { run } = await sluice.finish(specOf(git.remote, [shell('fails', 'exit 3')]));
  const chats = () => received.filter(({ path }) => path === '/chat');
  await eventually('all deliveries', async () => {
    const { items } = await client.deliveries.list({ outcome: 'delivered' });
    return items.filter(({ body }) => body.includes(run.id)).length === 4;
  });
  expect(chats().every(({ body }) => /^\{"text":"run run_.* is FAILED: /.test(body))).toBe(true);
  const all = received.filter(({ path }) => path === '/all' || path === '/chat');
  expect(all).toHaveLength(5);
  expect(new Set(all.map(({ id }) => id)).size).toBe(4);
  const [inside] = (await client.deliveries.list({ webhook: 'inside' })).items;
  expect(inside).toMatchObject({ outcome: 'pending', status: null, error: expect.stringContaining('private network') });
  const [chat] = (await client.deliveries.list({ webhook: 'chat' })).items;
  const before = chats().length;
  expect(await client.deliveries.replay(chat!.id)).toMatchObject({ outcome: 'pending', attempts: 0 });
  await eventually('the replay', async () => chats().length === before + 1);
  expect(chats().at(-1)).toMatchObject({ id: chat!.id, body: chat!.body });
  await expect(client.deliveries.replay('msg_none')).rejects.toMatchObject({ code: 'entity.not_found' });
});
