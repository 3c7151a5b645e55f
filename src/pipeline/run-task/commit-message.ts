import { withoutControls } from '../../lib/terminal-text.ts';

/** The message of a task's commit before anything was read of its change. */
export interface GivenMessage {
  /** What the caller wrote; undefined: nothing. */
  given: string | undefined;
  /** Taken where no message was given. */
  fallback: string;
}

const OUR_TRAILERS = /^sluice-(run|task|patch)\s*:.*$/gim;

/** The caller's message, else the one that came with the change (a mail, a tool), else the fallback. */
export function messageOf({ given, fallback }: GivenMessage, withChange: string | undefined): string {
  return cleaned(given ?? '') ?? cleaned(withChange ?? '') ?? fallback;
}

/** What a tool wrote about its change comes before what its caller wrote in advance. */
export function toolMessage({ given, fallback }: GivenMessage, written: string): string {
  return cleaned(written) ?? cleaned(given ?? '') ?? fallback;
}

/** Without what PostgreSQL, git and terminals do not take, and without trailers that only Sluice writes; undefined when nothing is left. */
function cleaned(text: string): string | undefined {
  const message = withoutControls(text).replace(OUR_TRAILERS, '').trim();
  return message === '' ? undefined : message;
}
