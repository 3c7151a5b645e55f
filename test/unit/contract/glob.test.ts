import fc from 'fast-check';
import picomatch from 'picomatch';
import { describe, expect, test } from 'vitest';
import { globProblem, pathMatcher } from '../../../src/contract/glob.ts';

const matches = (glob: string, path: string) => pathMatcher([glob])(path);

test.each([
  ['src/**', 'src/a/b.ts', true],
  ['src/*', 'src/a/b.ts', false],
  ['**/*.ts', 'a.ts', true],
  ['**/*.{ts,tsx}', 'a/b.tsx', true],
  ['a/**/b/**/c', 'a/x/b/y/b/c', true],
  ['[a-c]?x', 'b1x', true],
  ['[!a]x', 'ax', false],
  ['[]x', '[]x', true],
  ['a{b', 'a{b', true],
  ['\\*', '*', true],
  ['\\*', 'a', false],
  ['(a|b)+', '(a|b)+', true],
  ['*', '.hidden', true],
  ['src/**', 'src/a\nb', true],
])('%s on %j: %s', (glob, path, expected) => {
  expect(matches(glob, path)).toBe(expected);
});

describe('a glob that names a folder matches all that lies below it', () => {
  test.each([
    ['.github/', '.github/workflows/x.yml'],
    ['.github', '.github/workflows/x.yml'],
    ['/.github/**', '.github/x'],
    ['./test', 'test/a.ts'],
    ['test', 'test'],
    ['src/*/', 'src/a/b'],
  ])('%s holds %s', (glob, path) => {
    expect(matches(glob, path)).toBe(true);
  });

  test('a wildcard at the end does not match deeper paths', () => {
    expect(matches('src/*', 'src/a/b')).toBe(false);
    expect(matches('test', 'tests/a')).toBe(false);
  });
});

test('with anyCase, names that some file systems treat as equal match each other', () => {
  const isProtected = pathMatcher(['.sluice.yaml', '.github/**'], { anyCase: true });
  for (const twin of ['.SLUICE.YAML', '.GitHub/x', '.git\u200chub/x']) expect(isProtected(twin)).toBe(true);
  expect(matches('.github/**', '.GitHub/x')).toBe(false);
});

test.each(['@(a|b)', '!(a)', '{1..3}', '{a,b}'.repeat(7), '/', '../x', './'])('%s is refused', (glob) => {
  expect(globProblem(glob)).toBeDefined();
});

/** Compares with picomatch on globs that both must read alike. */
test('the matcher agrees with picomatch', () => {
  const part = fc.array(fc.constantFrom('a', 'b', '.', '*', '?', '[ab]', '{a,b}', '-'), { minLength: 1, maxLength: 5 });
  const glob = fc
    .array(fc.oneof({ weight: 3, arbitrary: part.map((tokens) => tokens.join('')) }, fc.constant('**')), {
      minLength: 1,
      maxLength: 4,
    })
    .map((parts) => parts.join('/'))
    .filter((text) => text.split('/').every((name) => name === '**' || !/^\.+$|\*\*/.test(name)))
    // Left out: whether `<wildcard>/**` matches the folder itself depends in picomatch on the kind of wildcard.
    .filter((text) => !/[*?\]}][^/]*\/(\*\*\/)*\*\*$/.test(text))
    // Left out: in `*.*` at the start, picomatch wants something after the dot, and nowhere else.
    .filter((text) => !/^(\*\*\/)*\*\.\*$/.test(text));
  const path = fc
    .array(
      fc.stringMatching(/^[ab.-]{1,5}$/).filter((name) => !/^\.+$/.test(name)),
      { minLength: 1, maxLength: 4 },
    )
    .map((parts) => parts.join('/'));
  fc.assert(
    fc.property(glob, path, (text, name) => {
      const isFolder = !/[*?[]/.test(text.split('/').at(-1)!);
      const options = { dot: true, nonegate: true, noextglob: true };
      const theirs = picomatch(isFolder ? [text, `${text}/**`] : text, options)(name);
      expect([text, name, matches(text, name)]).toEqual([text, name, theirs]);
    }),
    { numRuns: 3_000 },
  );
});

/** Compares the CPU time of two inputs, the second twice as long, to exclude exponential matching. */
test('doubling path and glob takes less than 20 times as long', () => {
  const cost = (n: number): number => {
    const glob = `**/${'*a'.repeat(n)}/**/${'*a'.repeat(n)}*b`.slice(0, 500);
    const name = `${'a/'.repeat(n * 8)}${'a'.repeat(n * 16)}`;
    const started = process.cpuUsage();
    for (let round = 0; round < 20; round += 1) matches(glob, name);
    const { user } = process.cpuUsage(started);
    return user;
  };
  cost(50);
  const [short, long] = [cost(50), cost(100)];
  // Work proportional to path × glob takes 4 times as long; exponential work would exceed any bound.
  expect(long).toBeLessThan(20 * Math.max(short, 1_000));
});
