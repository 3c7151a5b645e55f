import { stripVTControlCharacters } from 'node:util';

/** Line breaks and tabs stay, colours and all else that steers a terminal goes. */
export function withoutControls(text: string): string {
  return stripVTControlCharacters(text.replaceAll('\r\n', '\n')).replaceAll(/[^\P{Cc}\n\t]/gu, '');
}

const ESCAPE = '\u001b';
const COLOUR = new RegExp(`(${ESCAPE}\\[[0-9;:]*m)`);

/** What somebody else's program printed, for a terminal: its colours stay, all else that moves the cursor or says something to the terminal goes. */
export function forTerminal(text: string): string {
  return text
    .split(COLOUR)
    .map((part, index) => (index % 2 === 1 ? part : withoutControls(part)))
    .join('');
}
