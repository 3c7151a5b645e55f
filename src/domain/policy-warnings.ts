import { pathMatcher } from '../contract/glob.ts';
import { type GateDefinition, POLICY_PATH, type Policy } from '../contract/policy.ts';

/** A part of a policy that probably does not do what its author meant. */
export interface PolicyWarning {
  /** Place in the policy, such as `gates.unit.paths`. */
  where: string;
  message: string;
}

/** Files that define what a program does, by the program's name. */
const DEFINED_BY: readonly (readonly [RegExp, readonly string[]])[] = [
  [/^(npm|yarn|pnpm|bun)$/, ['package.json']],
  [/^(tsc|vue-tsc)$/, ['tsconfig*.json']],
  [/^(vitest|vite)$/, ['vitest.config.*', 'vite.config.*', 'vitest.workspace.*']],
  [/^jest$/, ['jest.config.*', 'package.json']],
  [/^(eslint|biome|prettier)$/, ['eslint.config.*', '.eslintrc*', 'biome.json*', '.prettierrc*']],
  [/^(make|gmake)$/, ['Makefile', 'makefile', 'GNUmakefile']],
  [
    /^(pytest|py\.test|tox|nox)$/,
    ['pytest.ini', 'pyproject.toml', 'setup.cfg', 'tox.ini', 'noxfile.py', '**/conftest.py'],
  ],
  [/^(cargo)$/, ['Cargo.toml', 'build.rs', '.cargo/config.toml']],
  [/^(mvn|gradle|gradlew)$/, ['pom.xml', 'build.gradle*', 'settings.gradle*']],
  [/^(rake|bundle)$/, ['Rakefile', 'Gemfile']],
  [/^just$/, ['justfile', 'Justfile']],
];

/** Warns of patterns that match no file, and of gates whose command is defined by files that a patch may change. */
export function policyWarnings(policy: Policy, tipPaths: readonly string[]): PolicyWarning[] {
  const patterns = [
    ...policy.pinned.map((glob) => ({ where: 'pinned', glob })),
    ...policy.protected.map((glob) => ({ where: 'protected', glob })),
    ...policy.gates.flatMap(({ name, paths }) => paths.map((glob) => ({ where: `gates.${name}.paths`, glob }))),
  ];
  const unmatched = patterns
    .filter(({ glob }) => !tipPaths.some(pathMatcher([glob])))
    .map(({ where, glob }) => ({ where, message: `${glob} matches no file of the branch` }));
  const isKept = pathMatcher([...policy.pinned, ...policy.protected, POLICY_PATH], { anyCase: true });
  const loose = policy.gates.flatMap((gate) => {
    const free = definersOf(gate, tipPaths).filter((path) => !isKept(path));
    if (free.length === 0) return [];
    const message = `its command is defined by ${free.slice(0, 5).join(', ')}, neither pinned nor protected: a patch may change what it runs`;
    return [{ where: `gates.${gate.name}.command`, message }];
  });
  return [...unmatched, ...loose];
}

/** Returns the files of the tip that define a gate's command: settings of its programs, and scripts that it names. */
export function definersOf({ command }: Pick<GateDefinition, 'command'>, tipPaths: readonly string[]): string[] {
  const words = command.flatMap((word) => word.split(/\s+/)).filter((word) => word !== '');
  const programs = words.map((word) => word.split('/').at(-1)!);
  const globs = DEFINED_BY.flatMap(([program, files]) => (programs.some((name) => program.test(name)) ? files : []));
  const isSettings = pathMatcher(globs);
  const named = new Set(words.map((word) => word.replace(/^\.\//, '')));
  return tipPaths.filter((path) => isSettings(path) || named.has(path));
}
