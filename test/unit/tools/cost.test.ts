import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CostLines, readReport } from '../../../src/tools/cost.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-test-cost-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function report(text: string) {
  const file = join(folder, 'cost.json');
  await writeFile(file, text);
  return readReport(file);
}

function lines(...chunks: string[]): number | null {
  const costs = new CostLines();
  for (const chunk of chunks) costs.hear('stdout', Buffer.from(chunk));
  return costs.usd;
}

test('the cost file gives the dollars and when the tool may be called again', async () => {
  expect(await report('{"usd": 0.42, "retry_after_seconds": 1.5}')).toEqual({ usd: 0.42, retryAfterMs: 1_500 });
  expect(await report('{"usd": 0}')).toEqual({ usd: 0, retryAfterMs: null });
});

test.each([
  '',
  'nonsense',
  '[]',
  'null',
  '{"usd": "1"}',
  '{"usd": -1}',
  '{"usd": 1e99}',
  '{"retry_after_seconds": -5}',
])('the invalid cost file %j is ignored', async (text) => {
  expect(await report(text)).toEqual({ usd: null, retryAfterMs: null });
});

test('a missing cost file and a symbolic link are ignored', async () => {
  const link = join(folder, 'link');
  await writeFile(join(folder, 'real'), '{"usd": 5}');
  await symlink(join(folder, 'real'), link);
  expect(await readReport(link)).toEqual({ usd: null, retryAfterMs: null });
  expect(await readReport(join(folder, 'absent'))).toEqual({ usd: null, retryAfterMs: null });
});

test('of several cost lines the last total counts, however the output is cut', () => {
  expect(lines('{"total_cost_usd": 1}\n{"type":"x"}\n{"total_', 'cost_usd": 2.5}\n')).toBe(2.5);
  expect(lines('{"total_cost_usd": 3}')).toBe(3);
  expect(lines('total_cost_usd: 3\n', ' {"total_cost_usd": 4}\n', '{"total_cost_usd": "5"}\n')).toBeNull();
});

test('a cost line of 2.5 MiB is ignored', () => {
  expect(
    lines('{"total_cost_usd": 1, "x": "', ...Array.from({ length: 40 }, () => 'x'.repeat(64 * 1024)), '"}\n'),
  ).toBeNull();
});

test('a cost line on standard error is ignored', () => {
  const costs = new CostLines();
  costs.hear('stderr', Buffer.from('{"total_cost_usd": 9}\n'));
  expect(costs.usd).toBeNull();
});
