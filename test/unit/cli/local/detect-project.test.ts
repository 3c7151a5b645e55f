import { expect, test } from 'vitest';
import { parsePolicy } from '../../../../src/candidates/read-policy.ts';
import { detectProject } from '../../../../src/cli/local/detect-project.ts';
import { policyText } from '../../../../src/cli/local/project-files.ts';
import { pathMatcher } from '../../../../src/contract/glob.ts';
import { policyWarnings } from '../../../../src/domain/policy-warnings.ts';

const detect = (files: Record<string, string>) =>
  detectProject({ paths: Object.keys(files), read: async (path) => files[path]! });

const packageJson = (scripts: object, dependencies: object = { left: '1' }) =>
  JSON.stringify({ scripts, dependencies });

test.each([
  [
    'npm with a lock file',
    {
      'package.json': packageJson({ test: 'node --test', lint: 'eslint .' }),
      'package-lock.json': '',
      'a.test.js': '',
    },
    { gates: ['npm run lint', 'npm run test'], prepare: ['npm ci'] },
  ],
  [
    'pnpm with types',
    {
      'package.json': packageJson({ typecheck: 'tsc', test: 'vitest run' }),
      'pnpm-lock.yaml': '',
      'vitest.config.ts': '',
    },
    { gates: ['pnpm run typecheck', 'pnpm run test'], prepare: ['pnpm install --frozen-lockfile'] },
  ],
  [
    'a package without dependencies',
    { 'package.json': packageJson({ test: 'true' }, {}) },
    { gates: ['npm run test'], prepare: [] },
  ],
  [
    'pip and pytest',
    { 'requirements.txt': 'pytest\n', 'tests/test_a.py': '' },
    {
      gates: ['.venv/bin/python -m pytest'],
      prepare: ['sh -c python3 -m venv .venv && .venv/bin/pip install --quiet -r requirements.txt'],
    },
  ],
  ['unittest', { 'setup.py': '', 'test_a.py': '' }, { gates: ['python3 -m unittest discover'], prepare: [] }],
  [
    'uv',
    { 'pyproject.toml': 'pytest', 'uv.lock': '' },
    { gates: ['uv run --frozen python -m pytest'], prepare: ['uv sync --frozen'] },
  ],
  ['Go', { 'go.mod': '', 'a_test.go': '' }, { gates: ['go vet ./...', 'go test ./...'], prepare: [] }],
  ['Rust', { 'Cargo.toml': '', 'Cargo.lock': '' }, { gates: ['cargo test --locked'], prepare: [] }],
  [
    'Node and Python together',
    { 'package.json': packageJson({ test: 'true' }, {}), 'setup.py': '', 'tests/test_a.py': '' },
    { gates: ['npm run test', 'python3 -m unittest discover'], prepare: [] },
  ],
  ['Make', { Makefile: 'all:\n\ttrue\ntest:\n\ttrue\n' }, { gates: ['make test'], prepare: [] }],
])('the policy for %s is valid, and nothing in it misses', async (_name, files, expected) => {
  const project = await detect(files as Record<string, string>);
  const commands = (parts: { command: string[] }[]) => parts.map(({ command }) => command.join(' '));
  expect({ gates: commands(project.gates), prepare: commands(project.prepare) }).toEqual(expected);
  const policy = parsePolicy(policyText(project));
  expect(policy.pinned).toEqual(project.pinned);
  expect(policyWarnings(policy, Object.keys(files))).toEqual([]);
});

test('a package without a real test, a broken package.json and an unknown project give no gate', async () => {
  const none = 'echo "Error: no test specified" && exit 1';
  for (const text of [packageJson({ test: none }), '{ broken', 'null']) {
    expect((await detect({ 'package.json': text })).gates).toEqual([]);
  }
  expect(await detect({ 'README.md': '' })).toMatchObject({ found: [], gates: [] });
});

test('tests are pinned wherever they are, and workflows protected where there are any', async () => {
  const files = {
    'package.json': packageJson({ test: 'vitest' }),
    'src/a.spec.ts': '',
    '.github/workflows/ci.yaml': '',
  };
  const project = await detect(files);
  expect(pathMatcher(project.pinned)('src/deep/b.test.ts')).toBe(true);
  expect(parsePolicy(policyText(project)).protected).toEqual(['.github/**']);
});
