import { expect, test } from 'vitest';
import { forTerminal, withoutControls } from '../../../src/lib/terminal-text.ts';

const HOSTILE = [
  ['\u001b]0;a title\u0007x', 'x'],
  ['\u001b]52;c;cm0gLXJm\u0007x', 'x'],
  ['\u001b[2J\u001b[Hx', 'x'],
  ['\u001b]8;;http://evil.example\u001b\\x\u001b]8;;\u001b\\', 'x'],
  ['ok\rno', 'okno'],
  ['a\u0008b\u009b31mc', 'abc'],
] as const;

test.each(HOSTILE)('%j is shown on a terminal as %j', (text, shown) => {
  expect(withoutControls(text)).toBe(shown);
  expect(forTerminal(text)).toBe(shown);
});

test('colours, line breaks and tabs stay on a terminal', () => {
  const text = '\u001b[1;31mred\u001b[0m\tx\r\ny\n';
  expect(forTerminal(text)).toBe('\u001b[1;31mred\u001b[0m\tx\ny\n');
  expect(withoutControls(text)).toBe('red\tx\ny\n');
});
