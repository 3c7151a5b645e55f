import { withoutControls } from '../../lib/terminal-text.ts';

/** The sources of a commit message that are known before the change is read. */
export interface GivenMessage {
  /** The caller's message; undefined if none was given. */
  given: string | undefined;
  /** Used when neither the caller nor the change gives a message. */
  fallback: string;
}

const OUR_TRAILERS = /^sluice-(run|task|patch)\s*:.*$/gim;

/** Prefers the caller's message, then the one in the mail of the change, then the fallback. */
export function messageOf({ given, fallback }: GivenMessage, withChange: string | undefined): string {
  return cleaned(given ?? '') ?? cleaned(withChange ?? '') ?? fallback;
}

/** Prefers what a tool wrote about its change to what the caller wrote in advance. */
export function toolMessage({ given, fallback }: GivenMessage, written: string): string {
  return cleaned(written) ?? cleaned(given ?? '') ?? fallback;
}

/**
 * Removes characters that PostgreSQL, git or terminals do not take, and trailers that only Sluice writes. Undefined
 * when nothing is left.
 */
function cleaned(text: string): string | undefined {
  const message = withoutControls(text).replace(OUR_TRAILERS, '').trim();
  return message === '' ? undefined : message;
}
