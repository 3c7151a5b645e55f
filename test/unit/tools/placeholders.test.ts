import { expect, test } from 'vitest';
import { fillPlaceholders } from '../../../src/tools/placeholders.ts';

test('values go into one argument as they are: no shell reads them', () => {
  expect(fillPlaceholders('fix: {input.prompt}', { prompt: '$(rm -rf /) "; ls' })).toBe('fix: $(rm -rf /) "; ls');
});

test('nested values, JSON for what is no string, nothing for what is missing', () => {
  expect(fillPlaceholders('{input.a.b}|{input.n}|{input.list}|{input.none}', { a: { b: 'x' }, n: 1, list: [1] })).toBe(
    'x|1|[1]|',
  );
});

test('properties of JavaScript are not input', () => {
  expect(fillPlaceholders('{input.constructor}{input.a.__proto__}', { a: {} })).toBe('');
});
