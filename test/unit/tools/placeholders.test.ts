import { expect, test } from 'vitest';
import { fillPlaceholders } from '../../../src/tools/placeholders.ts';

test('a value fills one argument unchanged, because no shell reads it', () => {
  expect(fillPlaceholders('fix: {input.prompt}', { prompt: '$(rm -rf /) "; ls' })).toBe('fix: $(rm -rf /) "; ls');
});

test('nested values are filled in, other types as JSON, missing values as nothing', () => {
  expect(fillPlaceholders('{input.a.b}|{input.n}|{input.list}|{input.none}', { a: { b: 'x' }, n: 1, list: [1] })).toBe(
    'x|1|[1]|',
  );
});

test('inherited properties of JavaScript objects are not input', () => {
  expect(fillPlaceholders('{input.constructor}{input.a.__proto__}', { a: {} })).toBe('');
});
