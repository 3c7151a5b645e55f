import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const ENTRY = 'src/client/sluice-client';
const IMPORT = /\b(?:from|import)\s*\(?\s*'([^']+)'/g;

/**
 * Assembles the package `@sluice/client` from the compiled files: the client and what it imports, without the server.
 * `node scripts/client-package.ts dist dist/client-package` after a build; publish that folder.
 */
export function assembleClientPackage({ root, compiled, to }: { root: string; compiled: string; to: string }): string[] {
  const server = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
  const files = new Set<string>();
  const packages = new Set<string>();
  const gather = (file: string): void => {
    if (files.has(file)) return;
    files.add(file);
    for (const [, name = ''] of readFileSync(join(compiled, file), 'utf8').matchAll(IMPORT)) {
      if (!name.startsWith('.')) packages.add(packageOf(name));
      // Declarations name each other with the endings of the compiled files, or of their sources.
      else gather(join(dirname(file), file.endsWith('.d.ts') ? name.replace(/\.(js|ts)$/, '.d.ts') : name));
    }
  };
  gather(`${ENTRY}.js`);
  gather(`${ENTRY}.d.ts`);
  rmSync(to, { recursive: true, force: true });
  for (const file of files) {
    mkdirSync(dirname(join(to, file)), { recursive: true });
    cpSync(join(compiled, file), join(to, file));
  }
  const manifest = {
    name: '@sluice/client',
    version: server.version,
    description: 'Client of the Sluice daemon for Node, Bun, Deno and browsers.',
    license: server.license,
    type: 'module',
    exports: { '.': { types: `./${ENTRY}.d.ts`, default: `./${ENTRY}.js` } },
    dependencies: Object.fromEntries([...packages].toSorted().map((name) => [name, server.dependencies[name]])),
  };
  writeFileSync(join(to, 'package.json'), `${JSON.stringify(manifest, null, 2)}\n`);
  cpSync(join(root, 'LICENSE'), join(to, 'LICENSE'));
  return [...files];
}

interface Manifest {
  version: string;
  license: string;
  dependencies: Record<string, string>;
}

function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

if (import.meta.main) {
  const [compiled = 'dist', to = 'dist/client-package'] = process.argv.slice(2);
  const root = join(import.meta.dirname, '..');
  const files = assembleClientPackage({ root, compiled, to });
  process.stdout.write(`${files.length} files in ${relative(process.cwd(), to)}\n`);
}
