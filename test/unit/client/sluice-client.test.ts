import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { SluiceClient, SluiceError } from '../../../src/client/sluice-client.ts';

/** Answers of the server, in order; the last one stays. */
let answers: { status: number; body: unknown }[] = [];
let asked: string[] = [];
/** Body of an answer that breaks off. */
const CUT = Symbol('cut');
const server = createServer((request: IncomingMessage, response) => {
  asked.push(`${request.method} ${request.url}`);
  const { status, body } = answers.length > 1 ? answers.shift()! : answers[0]!;
  if (body === CUT) {
    response.writeHead(200, { 'content-length': 1_000 }).write('{');
    setTimeout(() => response.destroy(), 20);
    return;
  }
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
});
let client: SluiceClient;

beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  client = new SluiceClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: 't' });
});
beforeEach(() => {
  asked = [];
});
afterAll(() => server.close());

const away = {
  status: 503,
  body: { code: 'database.unreachable', detail: 'the database does not answer', retryable: true },
};
const broken = { status: 422, body: { code: 'spec.invalid', detail: 'no tasks', facts: { n: 1 } } };
const run = { status: 200, body: { id: 'run_1' } };

test('a read, and a submission with a key, are repeated while the daemon is away; any other call is not', async () => {
  answers = [away, away, run];
  expect(await client.runs.get('run_1')).toEqual(run.body);
  expect(asked).toHaveLength(3);
  answers = [{ status: 200, body: CUT }, run];
  expect(await client.runs.get('run_1')).toEqual(run.body);
  answers = [away, run];
  expect(await client.runs.submit({} as never, { idempotencyKey: 'k' })).toEqual(run.body);
  answers = [away];
  asked = [];
  await expect(client.runs.submit({} as never)).rejects.toMatchObject({ code: 'database.unreachable' });
  await expect(client.runs.cancel('run_1')).rejects.toMatchObject({ code: 'database.unreachable' });
  expect(asked).toHaveLength(2);
});

test('an error is a SluiceError with its status, code and facts, and waiting does not repeat it', async () => {
  answers = [broken];
  const error = await client.runs.get('run_1').catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(SluiceError);
  expect(error).toMatchObject({ code: 'spec.invalid', httpStatus: 422, retryable: false, facts: { n: 1 } });
  expect(asked).toHaveLength(1);
});

test('all objects of a list are read page after page', async () => {
  const page = (ids: string[], next_cursor: string | null) => ({
    status: 200,
    body: { items: ids.map((id) => ({ id })), next_cursor },
  });
  answers = [page(['a', 'b'], 'after b'), page(['c'], null)];
  const seen: string[] = [];
  for await (const { id } of client.tasks.all({ run: 'run_1', limit: 2 })) seen.push(id);
  expect(seen).toEqual(['a', 'b', 'c']);
  expect(asked).toEqual(['GET /v1/tasks?run=run_1&limit=2', 'GET /v1/tasks?run=run_1&limit=2&cursor=after+b']);
});
