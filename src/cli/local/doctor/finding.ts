import { REMEDIES } from '../../../contract/error-page.ts';
import type { SluiceError } from '../../../contract/errors.ts';

/** One thing that `sluice doctor` looked at. An `error` stops work; a `warning` may become one. */
export interface Finding {
  check: string;
  state: 'ok' | 'warning' | 'error';
  says: string;
  /** Advice; null when all is well. */
  cure: string | null;
}

export function ok(check: string, says: string): Finding {
  return { check, state: 'ok', says, cure: null };
}

export function warning(check: string, says: string, cure: string): Finding {
  return { check, state: 'warning', says, cure };
}

export function fault(check: string, says: string, cure: string): Finding {
  return { check, state: 'error', says, cure };
}

/** Returns the finding of an error, with the remedy of its code. */
export function faultOf(check: string, { code, message }: SluiceError): Finding {
  return fault(check, `${code}: ${message}`, REMEDIES[code]);
}
