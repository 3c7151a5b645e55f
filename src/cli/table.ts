import { stripVTControlCharacters, styleText } from 'node:util';
import type { Outcome } from '../contract/states.ts';

/** Pads each column but the last to its widest cell. Without rows, returns a line that says so. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return `(no ${head[0]?.toLowerCase() ?? 'rows'})`;
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => visibleLength(row[i] ?? ''))));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === head.length - 1 ? cell : cell + ' '.repeat(widths[i]! - visibleLength(cell))))
      .join('  ');
  return [styleText('dim', line(head)), ...rows.map(line)].join('\n');
}

function visibleLength(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Text from outside (names, reasons, what tools print) must not move the cursor or colour the terminal. */
export function plain(text: string | null | undefined): string {
  return stripVTControlCharacters(text ?? '').replaceAll(/[\p{Cc}]+/gu, ' ');
}

const GOOD = ['COMPLETED', 'VERIFIED', 'PASSED', 'APPLIED', 'CLOSED', 'IDLE'];
const BAD = ['FAILED', 'QUARANTINED', 'OPEN', 'DEAD', 'UNHEALTHY', 'ABANDONED', 'EXPIRED'];

/**
 * Colours a state. With its outcome, the state of a run that was cancelled reads so: by its state alone it would be
 * FAILED.
 */
export function coloured(state: string, outcome?: Outcome | null): string {
  if (outcome === 'cancelled') return styleText('yellow', 'CANCELLED');
  if (GOOD.includes(state)) return styleText('green', state);
  if (BAD.includes(state)) return styleText('red', state);
  return styleText('yellow', state);
}

/** Colours the state of a patch: BLOCKED means that it was stopped. For all other objects it is an ordinary wait. */
export function colouredPatch(state: string): string {
  return state === 'BLOCKED' ? styleText('red', state) : coloured(state);
}
