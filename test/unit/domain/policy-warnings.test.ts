import { expect, test } from 'vitest';
import { policySchema } from '../../../src/contract/policy.ts';
import { policyWarnings } from '../../../src/domain/policy-warnings.ts';

const warned = (policy: object, paths: string[]) =>
  policyWarnings(policySchema.parse(policy), paths).map(({ where, message }) => `${where}: ${message}`);

test('a pattern that matches no file is reported with its place', () => {
  const policy = {
    pinned: ['tests/**'],
    protected: ['.github/'],
    gates: [{ name: 'docs', command: ['true'], paths: ['doc/**', 'src/**'] }],
  };
  expect(warned(policy, ['src/a.ts', 'test/a.ts', '.github/x.yml'])).toEqual([
    'pinned: tests/** matches no file of the branch',
    'gates.docs.paths: doc/** matches no file of the branch',
  ]);
});

test.each([
  [['npm', 'test'], ['package.json']],
  [['npx', 'tsc', '--noEmit'], ['tsconfig.json']],
  [['sh', '-c', 'make check'], ['Makefile']],
  [
    ['python', '-m', 'pytest'],
    ['pyproject.toml', 'lib/conftest.py'],
  ],
  [['./scripts/gate.sh'], ['scripts/gate.sh']],
  [['cargo', 'test'], ['Cargo.toml']],
])('a gate %j is reported unless %j is pinned or protected', (command, files) => {
  const gates = [{ name: 'g', command }];
  const paths = ['src/a.ts', ...files];
  expect(warned({ gates }, paths).join()).toContain(files.join(', '));
  expect(warned({ gates, pinned: files }, paths)).toEqual([]);
  expect(warned({ gates, protected: files }, paths)).toEqual([]);
});
