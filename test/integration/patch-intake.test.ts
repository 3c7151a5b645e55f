import { readdir } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GitSandbox } from '../../harness/git-sandbox.ts';
import { pathMatcher } from '../../src/contract/glob.ts';
import { patchInputSchema } from '../../src/contract/patch-input.ts';
import { policySchema } from '../../src/contract/policy.ts';
import type { ClaimedTask } from '../../src/ledger/attempts/claims.ts';
import type { NewPatch } from '../../src/ledger/attempts/record-patch.ts';
import { readyMadePatch } from '../../src/pipeline/run-task/ready-made-patch.ts';

/** New ones in each run, from a new seed that a failure names. `FUZZ_CASES=10000` looks deeper. */
const CASES = Number(process.env.FUZZ_CASES ?? 2_500);
/** Inputs in parallel; most of the time is spent waiting for git. */
const AT_ONCE = 8;
const SCOPE = ['src/**'];
const inScope = pathMatcher(SCOPE);

let git: GitSandbox;
let tip: string;
let diffs: string[];
beforeAll(async () => {
  git = await GitSandbox.create({
    'src/a.txt': 'one\ntwo\nthree\n',
    'src/b.txt': 'b\n',
    'secret.txt': 's\n',
    link: { link: 'src' },
  });
  tip = (await git.mirror.fetchTip('main')).commit;
  diffs = [await git.diffOf({ 'src/a.txt': 'one\n2\nthree\n' })];
  diffs.push(await git.diffOf({ 'src/new/c.txt': 'c\n', 'src/b.txt': null }));
  diffs.push(await git.diffOf({ 'src/run.sh': { executable: 'x\n' }, 'src/bin': Buffer.from([0, 1, 2, 255]) }));
  diffs.push(await git.diffOf({ 'secret.txt': 'stolen\n', 'src/a.txt': 'x\n' }));
  diffs.push(
    '*** src/a.txt\t1\n--- src/a.txt\t2\n***************\n*** 1,3 ****\n  one\n! two\n  three\n--- 1,3 ----\n  one\n! 2\n  three\n',
  );
});
afterAll(() => git.remove());

/** Hostile text to put in place of a path, a number or a line. */
const poison = fc.constantFrom(
  ...[
    '../../etc/passwd',
    '/etc/passwd',
    '.git/config',
    'src/../secret.txt',
    'link/a.txt',
    'src/.GIT/hooks/x',
    'secret.txt',
    'src/\\..\\x',
  ],
  ...[
    '--- a/secret.txt',
    '+++ b/../x',
    'rename to secret.txt',
    'copy from src/a.txt',
    'new file mode 120000',
    'new file mode 160000',
  ],
  ...[
    'diff --git a/src/a.txt b/secret.txt',
    '@@ -1,99999999 +1 @@',
    '@@ -0,0 +1 @@',
    '"b/\\377\\n"',
    '\0',
    '\u202e',
    'GIT binary patch',
    'literal 99999',
  ],
);
const edit = fc.record({
  at: fc.nat(),
  kind: fc.constantFrom('replace', 'insert', 'remove', 'repeat', 'swap'),
  text: fc.oneof(poison, fc.string({ maxLength: 12 })),
});

function mutated(diff: string, edits: readonly { at: number; kind: string; text: string }[]): string {
  const lines = diff.split('\n');
  for (const { at, kind, text } of edits) {
    const n = at % lines.length;
    const line = lines[n] ?? '';
    if (kind === 'replace') lines[n] = at % 2 === 0 ? text : line.replace(/[ab]\/\S+/, text);
    else if (kind === 'insert') lines.splice(n, 0, text);
    else if (kind === 'remove') lines.splice(n, 1);
    else if (kind === 'repeat') lines.splice(n, 0, line);
    else lines.splice(n, 1, lines.at(-1) ?? '');
  }
  return lines.join('\n');
}

const format = fc.constantFrom('git_patch', 'unified_diff', 'context_diff');
const intake = fc.oneof(
  {
    weight: 8,
    arbitrary: fc
      .tuple(fc.nat(4), fc.array(edit, { maxLength: 4 }), format)
      .map(([n, edits, as]) => ({ format: as, content: mutated(diffs[n]!, edits) })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.string({ minLength: 1, maxLength: 300 }), format)
      .map(([content, as]) => ({ format: as, content })),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(
        fc.record({
          path: fc.oneof(poison, fc.constantFrom('src/a.txt', 'src/x/y.txt', 'src')),
          content: fc.string({ maxLength: 20 }),
          mode: fc.constantFrom('100644', '120000'),
        }),
        { minLength: 1, maxLength: 3 },
      )
      .map((files) => ({ format: 'inline', files })),
  },
);

async function takeIn(input: object): Promise<NewPatch | undefined> {
  const parsed = patchInputSchema.safeParse({ ...input, base: tip });
  if (!parsed.success) return undefined;
  const task = { input: parsed.data, scope: SCOPE, branch: 'main' } as unknown as ClaimedTask;
  const policy = policySchema.parse({});
  const ending = await readyMadePatch(git.mirror, task, {
    tip: { commit: tip, policy },
    message: { given: undefined, fallback: 'fuzz' },
  });
  if (ending.kind !== 'patch') throw new Error(`a ready-made patch ended as ${ending.kind}`);
  return ending.patch;
}

test('each generated or mutated diff is refused with a reason or stays inside its scope; nothing crashes and nothing else is written', async () => {
  const before = await git.git(['for-each-ref'], git.remote);
  const beside = (await readdir(git.folder)).toSorted();
  const seen = { taken: 0, refused: 0, unread: 0 };
  const judge = async (input: object): Promise<void> => {
    const patch = await takeIn(input);
    if (patch === undefined) {
      seen.unread += 1;
      return;
    }
    if (patch.refusal !== null) {
      expect(patch.refusal.reason).toMatch(/^[a-z_]+$/);
      seen.refused += 1;
      return;
    }
    seen.taken += 1;
    expect({
      input,
      outside: patch.paths.filter((path) => !inScope(path) || path.includes('..') || /\.git(\/|$)/i.test(path)),
    }).toEqual({ input, outside: [] });
    const differing = await git.mirror.text({ args: ['diff-tree', '-r', '--name-only', '-z', tip, patch.tree_id!] });
    expect(
      differing
        .split('\0')
        .filter((path) => path !== '')
        .every(inScope),
    ).toBe(true);
  };
  const property = fc.asyncProperty(fc.array(intake, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (inputs) => {
    await Promise.all(inputs.map(judge));
  });
  await fc.assert(property, { numRuns: Math.ceil(CASES / AT_ONCE) });
  expect(seen.taken).toBeGreaterThan(CASES / 50);
  expect(seen.refused).toBeGreaterThan(CASES / 10);
  expect(await git.git(['for-each-ref'], git.remote)).toBe(before);
  expect((await readdir(git.folder)).toSorted()).toEqual(beside);
}, 900_000);
