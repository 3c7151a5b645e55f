import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { brokenRules, commentsOf } from './comments.ts';
import { circlesIn, importsOf, sourceFiles } from './imports.ts';

/** Prints the figures of the house: `npm run house`, for `src` or the folders that are named. */
const ROOT = join(import.meta.dirname, '..');
const LONG_FUNCTION = 50;
const COPY = 6;

/** Returns the lengths of functions in lines. Biome's format puts the end of a block at the indent of its beginning. */
function functionLengths(lines: readonly string[]): number[] {
  return lines.flatMap((line, start) => {
    const begins = /(\bfunction\b.*|=>|^\s+(async |static |#|override |private |protected )*[\w#]+\(.*\).*)\s\{$/.test(line);
    if (!begins || /^\s*(if|for|while|switch|catch|\} else)\b/.test(line)) return [];
    const indent = /^\s*/.exec(line)![0];
    const end = lines.findIndex((other, index) => index > start && other.startsWith(`${indent}}`));
    return end < 0 ? [] : [end - start + 1];
  });
}

/** Counts places that share `COPY` lines with another place. Imports and closing brackets do not count. */
function copies(files: readonly string[][]): number {
  const seen = new Map<string, number>();
  for (const lines of files) {
    const told = lines.map((line) => line.trim()).filter((line) => line.length > 3 && !line.startsWith('import '));
    for (let at = 0; at + COPY <= told.length; at += 1) {
      const window = told.slice(at, at + COPY).join('\n');
      seen.set(window, (seen.get(window) ?? 0) + 1);
    }
  }
  return [...seen.values()].filter((times) => times > 1).length;
}

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
const percent = (part: number, whole: number): string => `${((100 * part) / Math.max(1, whole)).toFixed(1)} %`;

const folders = process.argv.length > 2 ? process.argv.slice(2) : ['src'];
const paths = folders.flatMap((folder) => sourceFiles(ROOT, folder));
const texts = paths.map((path) => readFileSync(join(ROOT, path), 'utf8'));
const files = texts.map((text) => text.split('\n'));
const sizes = files.map((lines) => lines.length).toSorted((a, b) => a - b);
const functions = files.flatMap(functionLengths);
const comments = texts.flatMap(commentsOf);
const fragments = comments.filter((comment) => brokenRules(comment).includes('begins with a fragment'));
const long = functions.filter((length) => length > LONG_FUNCTION).length;
const circles = circlesIn(new Map(paths.map((path) => [path, importsOf(ROOT, path)])));

console.log(`files                       ${paths.length}
lines: median, p90, largest ${at(sizes, 0.5)}, ${at(sizes, 0.9)}, ${at(sizes, 1)}
functions over ${LONG_FUNCTION} lines     ${long} of ${functions.length} (${percent(long, functions.length)})
circles of imports          ${circles.length}
comments                    ${comments.length}
 that open with a fragment  ${fragments.length} (${percent(fragments.length, comments.length)})
runs of ${COPY} equal lines      ${copies(files)}`);
