import { parseDocument } from 'yaml';
import { definersOf } from '../../domain/policy-warnings.ts';

/** Files of a repository: paths from its top, and the text of one. */
export interface ProjectFiles {
  paths: readonly string[];
  read: (path: string) => Promise<string>;
}

export interface DetectedGate {
  name: string;
  command: string[];
}

export interface DetectedStep extends DetectedGate {
  key_files: string[];
  kept_paths: string[];
}

/** The parts that a policy for a repository probably needs. */
export interface DetectedProject {
  /** Kinds of projects that were recognised, in words for people. */
  found: string[];
  gates: DetectedGate[];
  prepare: DetectedStep[];
  pinned: string[];
  /** True when the repository holds workflows of a forge, which run with its secrets. */
  hasWorkflows: boolean;
}

/** One language. `kind` names its gates where another one has gates of the same name. */
type Part = Omit<DetectedProject, 'pinned' | 'hasWorkflows'> & { kind: string };

/** Folders and patterns of tests: a patch that changes one must pass with the branch's files as well. */
const TESTS: readonly (readonly [RegExp, string])[] = [
  [/^tests?\//, ''],
  [/(^|\/)__tests__\//, '**/__tests__/**'],
  [/\.(test|spec)\.[cm]?[jt]sx?$/, '**/*.{test,spec}.*'],
  [/(^|\/)test_[^/]*\.py$/, '**/test_*.py'],
  [/_test\.(go|py)$/, '**/*_test.*'],
];

/** Recognises the tests of a repository, how they are prepared, and the files that define them. */
export async function detectProject(files: ProjectFiles): Promise<DetectedProject> {
  const parts: Part[] = [];
  for (const detect of [node, python, goModule, cargo, java, makefile]) {
    const part = await detect(files);
    // A Makefile often only calls what was recognised before.
    if (part !== undefined && (detect !== makefile || parts.every(({ gates }) => gates.length === 0))) parts.push(part);
  }
  const gates = withOwnNames(parts);
  const prepare = parts.flatMap((part) => part.prepare);
  return {
    found: parts.flatMap((part) => part.found),
    gates,
    prepare,
    pinned: pinnedFor(files, { gates, prepare }),
    hasWorkflows: files.paths.some((path) => path.startsWith('.github/')),
  };
}

function withOwnNames(parts: readonly Part[]): DetectedGate[] {
  const taken = new Set<string>();
  return parts.flatMap(({ kind, gates }) =>
    gates.map(({ name, command }) => {
      const own = taken.has(name) ? `${kind}-${name}` : name;
      taken.add(own);
      return { name: own, command };
    }),
  );
}

/** Returns patterns for the tests, and for the files that decide what the gates run. */
export function pinnedFor(
  { paths }: Pick<ProjectFiles, 'paths'>,
  { gates, prepare }: Pick<DetectedProject, 'gates' | 'prepare'>,
): string[] {
  const tests = TESTS.flatMap(([pattern, glob]) => {
    const found = paths.find((path) => pattern.test(path));
    return found === undefined ? [] : [glob === '' ? `${found.split('/')[0]}/**` : glob];
  });
  const defining = gates.flatMap((gate) => definersOf(gate, paths)).filter((path) => !path.includes('/'));
  const locks = prepare.flatMap(({ key_files }) => key_files);
  return [...new Set([...tests, ...defining, ...locks])];
}

interface PackageJson {
  scripts?: Record<string, string>;
  dependencies?: object;
  devDependencies?: object;
}

/** Package managers by their lock file, with the command that installs exactly what it lists. */
const NODE_MANAGERS: readonly (readonly [lock: string, manager: string, install: string[]])[] = [
  ['pnpm-lock.yaml', 'pnpm', ['pnpm', 'install', '--frozen-lockfile']],
  ['yarn.lock', 'yarn', ['yarn', 'install', '--immutable']],
  ['bun.lock', 'bun', ['bun', 'install', '--frozen-lockfile']],
  ['bun.lockb', 'bun', ['bun', 'install', '--frozen-lockfile']],
  ['package-lock.json', 'npm', ['npm', 'ci']],
];
/** Scripts that tell whether a change is good, by the name of their gate. */
const NODE_GATES: readonly (readonly [gate: string, scripts: string[]])[] = [
  ['types', ['typecheck', 'type-check', 'types', 'check-types']],
  ['lint', ['lint']],
  ['test', ['test']],
];

async function node({ paths, read }: ProjectFiles): Promise<Part | undefined> {
  if (!paths.includes('package.json')) return undefined;
  const { scripts = {}, dependencies = {}, devDependencies = {} } = parsed<PackageJson>(await read('package.json'));
  const known = NODE_MANAGERS.find(([lock]) => paths.includes(lock));
  const [lock, manager, install] = known ?? ['package.json', 'npm', ['npm', 'install']];
  const hasDependencies = Object.keys({ ...dependencies, ...devDependencies }).length > 0;
  const step = { name: manager, command: [...install], key_files: [lock], kept_paths: ['node_modules'] };
  const gates = NODE_GATES.flatMap(([name, names]) => {
    const script = names.find((each) => scripts[each] !== undefined && !/no test specified/.test(scripts[each]));
    return script === undefined ? [] : [{ name, command: [manager, 'run', script] }];
  });
  const found = `a Node.js package (${manager}${known === undefined ? ', without a lock file' : ''})`;
  return { kind: 'node', found: [found], gates, prepare: hasDependencies ? [step] : [] };
}

const PYTHON_FILES = ['pyproject.toml', 'setup.py', 'setup.cfg', 'requirements.txt'];

async function python({ paths, read }: ProjectFiles): Promise<Part | undefined> {
  const files = PYTHON_FILES.filter((path) => paths.includes(path));
  if (files.length === 0 && !paths.some((path) => /(^|\/)test_[^/]*\.py$/.test(path))) return undefined;
  const texts = await Promise.all([...files, 'requirements-dev.txt'].filter((path) => paths.includes(path)).map(read));
  const usesPytest = texts.some((text) => /pytest/.test(text)) || paths.includes('pytest.ini');
  const runner = usesPytest ? ['pytest'] : ['unittest', 'discover'];
  if (paths.includes('uv.lock')) {
    const step = { name: 'uv', command: ['uv', 'sync', '--frozen'], key_files: ['uv.lock'], kept_paths: ['.venv'] };
    const test = { name: 'test', command: ['uv', 'run', '--frozen', 'python', '-m', ...runner] };
    return { kind: 'python', found: ['a Python project (uv)'], gates: [test], prepare: [step] };
  }
  const lists = ['requirements.txt', 'requirements-dev.txt'].filter((path) => paths.includes(path));
  if (lists.length === 0) {
    const test = { name: 'test', command: ['python3', '-m', ...runner] };
    return { kind: 'python', found: ['a Python project'], gates: [test], prepare: [] };
  }
  const install = ['.venv/bin/pip', 'install', '--quiet', ...lists.flatMap((list) => ['-r', list])].join(' ');
  const step = {
    name: 'pip',
    command: ['sh', '-c', `python3 -m venv .venv && ${install}`],
    key_files: lists,
    kept_paths: ['.venv'],
  };
  const test = { name: 'test', command: ['.venv/bin/python', '-m', ...runner] };
  return { kind: 'python', found: ['a Python project (pip)'], gates: [test], prepare: [step] };
}

async function goModule({ paths }: ProjectFiles): Promise<Part | undefined> {
  if (!paths.includes('go.mod')) return undefined;
  const gates = [
    { name: 'go-vet', command: ['go', 'vet', './...'] },
    { name: 'go-test', command: ['go', 'test', './...'] },
  ];
  return { kind: 'go', found: ['a Go module'], gates, prepare: [] };
}

async function cargo({ paths }: ProjectFiles): Promise<Part | undefined> {
  if (!paths.includes('Cargo.toml')) return undefined;
  return {
    kind: 'rust',
    found: ['a Rust package'],
    gates: [{ name: 'cargo-test', command: ['cargo', 'test', ...(paths.includes('Cargo.lock') ? ['--locked'] : [])] }],
    prepare: [],
  };
}

async function java({ paths }: ProjectFiles): Promise<Part | undefined> {
  const gradle = paths.includes('gradlew') ? ['./gradlew', 'test'] : undefined;
  const maven = paths.includes('pom.xml') ? ['mvn', '--batch-mode', '--quiet', 'test'] : undefined;
  const command = gradle ?? maven;
  if (command === undefined) return undefined;
  return { kind: 'java', found: ['a Java project'], gates: [{ name: 'test', command }], prepare: [] };
}

async function makefile({ paths, read }: ProjectFiles): Promise<Part | undefined> {
  const file = ['Makefile', 'makefile', 'GNUmakefile'].find((path) => paths.includes(path));
  if (file === undefined || !/^test:/m.test(await read(file))) return undefined;
  return { kind: 'make', found: ['a Makefile'], gates: [{ name: 'test', command: ['make', 'test'] }], prepare: [] };
}

/** Reads JSON as YAML, which takes it, so that a broken file gives an empty object instead of an error. */
function parsed<T extends object>(text: string): Partial<T> {
  const document = parseDocument(text);
  return document.errors.length > 0 ? {} : ((document.toJS() as Partial<T> | null) ?? {});
}
