import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { plain, table } from '../../../src/cli/table.ts';

test('columns line up even if cells are coloured', () => {
  const text = stripVTControlCharacters(
    table(
      ['A', 'B'],
      [
        ['\u001b[31mlong cell\u001b[39m', 'x'],
        ['s', 'y'],
      ],
    ),
  );
  expect(text.split('\n')).toEqual(['A          B', 'long cell  x', 's          y']);
});

test('control sequences in foreign text do not reach the terminal', () => {
  expect(plain('a\u001b[2Jb\nc\u0007')).toBe('ab c ');
});
