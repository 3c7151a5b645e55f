import fc from 'fast-check';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { patchInputSchema } from '../../src/contract/patch-input.ts';
import { policySchema } from '../../src/contract/policy.ts';
import type { ClaimedTask } from '../../src/ledger/attempts/claims.ts';
import type { NewPatch } from '../../src/ledger/attempts/record-patch.ts';
import { readyMadePatch } from '../../src/pipeline/run-task/ready-made-patch.ts';
import type { PatchFormat } from '../support/patch-format.ts';
import { FORMATS } from '../support/patch-formats.ts';
import { type Change, makeChanges } from '../support/patch-history.ts';
import { OraclePool } from '../support/patch-oracles.ts';

const SEED = 1;
const HISTORIES = 8;
const MUTATIONS = 960;
/** Samples in parallel; most of the time is spent waiting for processes. */
const AT_ONCE = 8;
// Enough for a machine that runs other suites at the same time.
vi.setConfig({ testTimeout: 600_000, hookTimeout: 600_000 });
const policy = policySchema.parse({ limits: { max_files: 1000, max_bytes: 10_000_000, allow_binary: true } });

interface Sample {
  format: PatchFormat;
  change: Change;
  patch: Buffer;
  /** Forms of the patch that real tools can read. */
  readings: Buffer[];
}

interface Place {
  base: string | undefined;
  tip: string;
}

/**
 * `meant`: the tree of the commits. `as a tool`: another tree that a real tool makes too. `wrong`: any other, or an
 * error.
 */
type Verdict = 'meant' | 'as a tool' | 'refused' | 'wrong';

interface Row {
  format: string;
  verdict: Verdict;
  told: string;
}

let git: GitSandbox;
let oracles: OraclePool;
let samples: Sample[];
beforeAll(async () => {
  git = await GitSandbox.create({}, null);
  oracles = await OraclePool.create(git, { size: AT_ONCE });
  const changes = await makeChanges(git, { seed: SEED, histories: HISTORIES });
  // Use half of the formats for each change: more changes find more than more formats of one change.
  const carried = FORMATS.flatMap((format, n) =>
    changes.filter((change, m) => (n + m) % 2 === 0 && format.carries(change)).map((change) => ({ format, change })),
  );
  samples = await several(carried, async ({ format, change }) => {
    const patch = await format.make(git, change);
    const plain = format.plain === undefined ? [] : [await format.plain(git, change)];
    return { format, change, patch, readings: [patch, ...plain].flatMap(withBothEnds) };
  });
});
afterAll(() => git.remove());

async function several<T, R>(items: readonly T[], use: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await use(next[1]);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

/** Adds the diff with LF line ends, because not every tool reads one with CRLF. */
function withBothEnds(patch: Buffer): Buffer[] {
  const text = patch.toString('latin1');
  return text.includes('\r\n') ? [patch, Buffer.from(text.replaceAll('\r\n', '\n'), 'latin1')] : [patch];
}

/** Returns undefined for blank input, which does not become a task. */
async function takeIn(patch: Buffer, { base, tip }: Place): Promise<NewPatch | undefined> {
  const content = { format: 'unified_diff', content_base64: patch.toString('base64') };
  const parsed = patchInputSchema.safeParse(base === undefined ? content : { ...content, base });
  if (!parsed.success) return undefined;
  const task = { input: parsed.data, scope: null, branch: 'main' } as unknown as ClaimedTask;
  const message = { given: undefined, fallback: 'corpus' };
  const ending = await readyMadePatch(git.mirror, task, { tip: { commit: tip, policy }, message });
  if (ending.kind !== 'patch') throw new Error(`a ready-made patch ended as ${ending.kind}`);
  return ending.patch;
}

async function judge({ format, change, patch, readings }: Sample, place: Place): Promise<Row> {
  const row = (verdict: Verdict, told: unknown): Row => {
    return { format: format.name, verdict, told: `${change.name}: ${JSON.stringify(told)}` };
  };
  const taken = await takeIn(patch, place).catch((error: unknown) => ({ error: String(error) }));
  if (taken === undefined) return row('refused', 'blank');
  if ('error' in taken) return row('wrong', taken);
  if (taken.refusal !== null) return row('refused', taken.refusal);
  const { base_commit: base, tree_id: tree, notes } = taken;
  const meant = base === change.base ? change.result : base === change.later.tip ? change.later.result : undefined;
  if (tree === meant) return row('meant', notes);
  const agrees = await oracles.agrees(tree!, { base, readings, first: format.tool });
  return row(agrees ? 'as a tool' : 'wrong', { base, tree, notes });
}

/** Prints the table of a test when CORPUS_TABLE is set. */
function show(title: string, rows: readonly { format: string; verdict: string }[]): void {
  if (process.env.CORPUS_TABLE === undefined) return;
  const counts = new Map(FORMATS.map(({ name }) => [name, {} as Record<string, number>]));
  for (const { format, verdict } of rows) {
    const ofFormat = counts.get(format)!;
    ofFormat[verdict] = (ofFormat[verdict] ?? 0) + 1;
  }
  console.log(title);
  console.table(Object.fromEntries(counts));
}

function count(rows: readonly Row[], wanted: Verdict): number {
  return rows.filter(({ verdict }) => verdict === wanted).length;
}

test('the corpus holds at least 300 patches, and real tools make the intended tree of more than 95 % of them', async () => {
  const rows = await several(samples, async ({ format, change, patch }) => {
    const tree = await oracles.tree(format.tool, { base: change.base, patch });
    const verdict = tree === change.result ? 'meant' : tree === undefined ? 'refused' : 'another tree';
    return { format: format.name, verdict };
  });
  show('The tool of each format, on the base', rows);
  expect(samples.length).toBeGreaterThanOrEqual(300);
  expect(rows.filter(({ verdict }) => verdict === 'meant').length).toBeGreaterThan(samples.length * 0.95);
});

test('every patch on its own base gives the very tree of its commits', async () => {
  const rows = await several(samples, (sample) => {
    return judge(sample, { base: sample.change.base, tip: sample.change.later.tip });
  });
  show('Sluice, with the base', rows);
  const others = [...rows.entries()].filter(([, { verdict }]) => verdict !== 'meant');
  const faults = await several(others, async ([n, row]) => {
    const { format, change, patch } = samples[n]!;
    if (row.verdict !== 'refused' || format.isLimited !== true) return [row];
    return (await oracles.tree(format.tool, { base: change.base, patch })) === undefined ? [] : [row];
  });
  expect(faults.flat()).toEqual([]);
});

test('on a later tip with lines inserted above, a patch gives the intended tree or that of a real tool, or is refused', async () => {
  const rows = await several(samples, (sample) => judge(sample, { base: undefined, tip: sample.change.later.tip }));
  show('Sluice, on a later tip', rows);
  expect(rows.filter(({ verdict }) => verdict === 'wrong')).toEqual([]);
  expect(count(rows, 'meant')).toBeGreaterThan(samples.length / 2);
});

const HEADER = /^(diff|index|Index|new|old|deleted|rename|copy|similarity|@@|---|\+\+\+|\*\*\*)/;
/** Lines that have a meaning in some diff format. */
const LINES = [
  ...['+added', '-removed', ' context', '! changed', '', '+', '-', ' ', '-- ', '---', 'prose', '***************'],
  ...['@@ -1,2 +1,2 @@', '--- a/src/alpha.ts', '+++ b/src/alpha.ts', 'diff --git a/top.txt b/top.txt', '--- /dev/null'],
  ...['+++ /dev/null', 'Index: top.txt', 'new file mode 100755', 'deleted file mode 100644', 'rename to x'],
  '\\ No newline at end of file',
];
/** Unbiased, so that small numbers are not more likely. */
const anyNumber = fc.noBias(fc.nat());
const edit = fc.record({
  sample: anyNumber,
  at: anyNumber,
  isInHeader: fc.boolean(),
  kind: fc.constantFrom('drop', 'repeat', 'insert', 'replace', 'respell', 'renumber', 'drop hunk header'),
  text: fc.oneof(fc.constantFrom(...LINES), anyNumber),
  by: fc.constantFrom(-5, -2, -1, 1, 2, 10),
  isExact: fc.boolean(),
});

type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

function withOneEdit(patch: Buffer, { at, isInHeader, kind, text, by }: Edit): Buffer {
  const lines = patch.toString('latin1').split('\n');
  const whole = [...lines.keys()].slice(0, -1);
  const ofHunks = whole.filter((n) => /^(@@ |\*\*\* \d|--- \d)/.test(lines[n]!));
  const isOfHunk = kind === 'renumber' || kind === 'drop hunk header';
  const places = isOfHunk ? ofHunks : isInHeader ? whole.filter((n) => HEADER.test(lines[n]!)) : whole;
  const line = places[at % places.length] ?? 0;
  const old = lines[line]!;
  const written = typeof text === 'string' ? text : lines[text % lines.length]!;
  if (kind === 'drop' || kind === 'drop hunk header') lines.splice(line, 1);
  else if (kind === 'repeat') lines.splice(line, 0, old);
  else if (kind === 'insert') lines.splice(line, 0, written);
  else if (kind === 'replace') lines[line] = written;
  else if (kind === 'respell')
    lines[line] = `${old.slice(0, at % (old.length + 1))}x${old.slice((at % (old.length + 1)) + 1)}`;
  else {
    const [number] = [...old.matchAll(/\d+/g)].slice(at % 4, 4);
    const end = (number?.index ?? 0) + (number?.[0].length ?? 0);
    if (number !== undefined)
      lines[line] = old.slice(0, number.index) + Math.max(0, Number(number[0]) + by) + old.slice(end);
  }
  return Buffer.from(lines.join('\n'), 'latin1');
}

/** The first two lines at which two texts differ. */
function differingLines(old: Buffer, fresh: Buffer): string {
  const [before, after] = [old, fresh].map((text) => text.toString('latin1').split('\n')) as [string[], string[]];
  const at = after.findIndex((line, n) => line !== before[n]);
  return `line ${at + 1}: ${JSON.stringify(before.slice(at, at + 2))} became ${JSON.stringify(after.slice(at, at + 2))}`;
}

test('a diff with one changed line gives the tree that a real tool makes of it, or is refused', async () => {
  const edits = fc.sample(edit, { seed: SEED, numRuns: MUTATIONS });
  const rows = await several(edits, async (one) => {
    const sample = samples[one.sample % samples.length]!;
    const { change } = sample;
    const patch = withOneEdit(sample.patch, one);
    const place = { base: one.isExact ? change.base : undefined, tip: change.base };
    const row = await judge({ ...sample, patch, readings: withBothEnds(patch) }, place);
    return { ...row, changed: differingLines(sample.patch, patch) };
  });
  show('Sluice, with one line changed', rows);
  expect(rows.filter(({ verdict }) => verdict === 'wrong')).toEqual([]);
  expect(count(rows, 'refused')).toBeGreaterThan(MUTATIONS / 4);
  expect(count(rows, 'meant') + count(rows, 'as a tool')).toBeGreaterThan(MUTATIONS / 10);
});
