import { stripVTControlCharacters } from 'node:util';

/** Keeps line breaks and tabs; removes colours and all other control characters. */
export function withoutControls(text: string): string {
  return stripVTControlCharacters(text.replaceAll('\r\n', '\n')).replaceAll(/[^\P{Cc}\n\t]/gu, '');
}

const ESCAPE = '\u001b';
const COLOUR = new RegExp(`(${ESCAPE}\\[[0-9;:]*m)`);

/** Makes a program's output safe for a terminal: keeps its colours, removes every other control sequence. */
export function forTerminal(text: string): string {
  return text
    .split(COLOUR)
    .map((part, index) => (index % 2 === 1 ? part : withoutControls(part)))
    .join('');
}
