import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

const IMPORT = /^(?:import|export)\s[^;]*?from '([^']+)'|import\('([^']+)'\)/gm;

/** Returns the source files below a folder of the repository, such as `src`. */
export function sourceFiles(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .map((path) => `${folder}/${path}`);
}

/** Returns what a file imports, as it is written there; types and dynamic imports included. */
export function importsOf(root: string, path: string): string[] {
  const text = readFileSync(join(root, path), 'utf8');
  return [...text.matchAll(IMPORT)].map((match) => (match[1] ?? match[2])!);
}

/** Finds files that import themselves by way of others. Types count too, because they say who must know whom. */
export function circlesIn(importsByFile: ReadonlyMap<string, readonly string[]>): string[][] {
  const circles: string[][] = [];
  const done = new Set<string>();
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) circles.push(trail.slice(trail.indexOf(path)));
    if (trail.includes(path) || done.has(path)) return;
    const names = (importsByFile.get(path) ?? []).filter((name) => name.startsWith('.'));
    for (const name of names) walk(relative('', join(path, '..', name)), [...trail, path]);
    done.add(path);
  };
  for (const path of importsByFile.keys()) walk(path, []);
  return circles;
}
