import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { allActions } from '../../src/contract/actions.ts';
import { type RunningSluice, startSluice } from '../support/run-sluice.ts';

let sluice: RunningSluice;
beforeAll(async () => {
  sluice = await startSluice({ workers: [], scheduler: false, config: { tools: { agent: { argv: ['true'] } } } });
});
afterAll(() => sluice.stop());

/** Every call that takes a body. */
const PLACES = [
  '/v1/runs',
  '/v1/runs?dry_run=true',
  '/v1/patches',
  ...allActions().map(
    ({ collection, name }) => `/v1/${collection}/${collection === 'targets' ? 'app@main' : 'x'}/${name}`,
  ),
];

const near = fc.record(
  {
    name: fc.oneof(fc.string(), fc.jsonValue()),
    reason: fc.oneof(fc.string(), fc.jsonValue()),
    repository: fc.string(),
    usd: fc.oneof(fc.double(), fc.string()),
    priority: fc.oneof(fc.integer(), fc.double()),
    workstreams: fc.jsonValue(),
    input: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const body = fc.oneof(
  fc.jsonValue({ maxDepth: 5 }).map((value) => JSON.stringify(value)),
  near.map((value) => JSON.stringify(value)),
  fc.string(),
  fc.constantFrom(
    '',
    '{',
    '[]',
    'null',
    '{"__proto__":{"x":1}}',
    `{"name":"${'\\u0000'}"}`,
    '['.repeat(50_000),
    `"${'a'.repeat(100_000)}"`,
  ),
);

test('any request body is accepted or answered with a coded problem, never with a server error', async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...PLACES), body, async (place, sent) => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${sluice.token}` };
      const response = await fetch(`${sluice.url}${place}`, { method: 'POST', headers, body: sent });
      const answer = { place, sent: sent.slice(0, 200), status: response.status };
      expect({ ...answer, crashed: response.status >= 500 }).toEqual({ ...answer, crashed: false });
      if (response.ok) return;
      expect(response.headers.get('content-type')).toContain('application/problem+json');
      expect(await response.json()).toMatchObject({
        status: response.status,
        code: expect.stringMatching(/^[a-z]+\.[a-z_]+$/),
      });
    }),
    { numRuns: 1_500 },
  );
});

test('any id and query string is answered without a server error', async () => {
  const kinds = ['runs', 'tasks', 'patches', 'gates', 'targets', 'explain'];
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...kinds),
      fc.string({ minLength: 1, maxLength: 60 }),
      fc.string(),
      async (kind, id, query) => {
        const url = `${sluice.url}/v1/${kind}/${encodeURIComponent(id)}?limit=${encodeURIComponent(query)}`;
        expect((await fetch(url, { headers: { authorization: `Bearer ${sluice.token}` } })).status).toBeLessThan(500);
      },
    ),
    { numRuns: 500 },
  );
});
