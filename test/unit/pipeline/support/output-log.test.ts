import { expect, test } from 'vitest';
import type { NewLogChunk } from '../../../../src/ledger/attempts/logs.ts';
import type { Ledger } from '../../../../src/ledger/ledger.ts';
import { OutputLog } from '../../../../src/pipeline/support/output-log.ts';

const SECRET = 'sk-ant-api03-THISISTHESECRETVALUE';
const KEY = `-----BEGIN KEY-----\n${'A1b2'.repeat(16)}\n${'C3d4'.repeat(16)}\n-----END KEY-----`;

/** Returns the text that is stored for output that arrives in these pieces. */
async function stored(pieces: readonly string[], secrets: readonly string[]): Promise<string> {
  const chunks: NewLogChunk[] = [];
  const ledger = { appendLogs: async (more: NewLogChunk[]) => void chunks.push(...more) } as unknown as Ledger;
  const log = new OutputLog({ ledger, taskId: 't', gateId: null, attempt: 1, workerId: 'w', secrets });
  for (const piece of pieces) log.write('stdout', Buffer.from(piece));
  await log.end();
  return chunks.map(({ text }) => text).join('');
}

test('a secret is redacted wherever a long line is cut', async () => {
  for (let cut = 0; cut <= SECRET.length; cut += 1) {
    const pieces = [`${'x'.repeat(20_000)}${SECRET.slice(0, cut)}`, `${SECRET.slice(cut)}${'y'.repeat(20_000)}`, 'z\n'];
    const text = await stored(pieces, [SECRET]);
    expect(text.replaceAll(/x+|y+/g, '')).toBe('[redacted]z\n');
  }
});

test('no line of a multi-line key is stored, however the output is cut', async () => {
  const text = await stored(
    [...`before\n${KEY}\nafter\n`].map((character) => character),
    [KEY],
  );
  expect(text).not.toMatch(/A1b2A1b2|C3d4C3d4/);
  expect(text).toMatch(/^before\n[\s\S]*after\n$/);
});

test('output without a secret is stored completely', async () => {
  const lines = Array.from({ length: 50 }, (_, n) => `${n} ${'w'.repeat(n * 700)}\n`);
  expect(await stored([lines.join('').slice(0, 100_000), lines.join('').slice(100_000)], [SECRET])).toBe(
    lines.join(''),
  );
});
