import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { edgesFrom, forcedEdgesFrom, KINDS, type Kind, statesOf } from '../src/domain/lifecycle.ts';

const TEXT = readFileSync(join(import.meta.dirname, '../docs/states.md'), 'utf8');

/** Edges of the diagram below `## <kind>`: `A --> B` and, forced by an operator, `A --> B: forced`. */
function drawn(kind: Kind): { edges: Set<string>; forced: Set<string> } {
  const section = TEXT.split(/^## /m).find((part) => part.startsWith(`${kind}\n`)) ?? '';
  const lines = [...section.matchAll(/^\s+(\w+) --> (\w+)(: forced)?$/gm)];
  const pick = (forced: boolean) =>
    new Set(lines.filter((line) => (line[3] !== undefined) === forced).map((line) => `${line[1]} → ${line[2]}`));
  return { edges: pick(false), forced: pick(true) };
}

function coded(kind: Kind): { edges: Set<string>; forced: Set<string> } {
  const all = (next: (state: never) => readonly string[]) =>
    new Set(statesOf(kind).flatMap((from) => next(from as never).map((to) => `${from} → ${to}`)));
  return { edges: all((from) => edgesFrom(kind, from)), forced: all((from) => forcedEdgesFrom(kind, from)) };
}

describe('docs/states.md draws the lifecycles that the code has', () => {
  test.each(KINDS)('%s', (kind) => {
    expect(drawn(kind)).toEqual(coded(kind));
  });
});
