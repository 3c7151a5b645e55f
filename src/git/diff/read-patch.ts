import type { Mirror } from '../mirror.ts';
import { type FileSection, MalformedDiff, type RepairNotes } from './diff-model.ts';
import { isMail, MAX_MAILS, type Mail, readMails } from './mails.ts';
import { readDiff } from './read-diff.ts';
import { namesIn } from './section-paths.ts';

/** `git show` writes the message, indented, before the diff, so it is read like the text of a mail. */
const SHOWN_COMMIT = /^commit [0-9a-f]{40}/;

/** A patch in which every line was accounted for. */
export interface ReadPatch {
  ok: true;
  /**
   * One diff for each mail, in order. An input that is no mail gives one diff, or one for each commit of `git show`.
   */
  diffs: FileSection[][];
  /** Every name in a header, before stripping. */
  names: string[];
  /** The mails that hold a diff. */
  mails: Mail[];
  repairs: RepairNotes;
}

export interface UnreadPatch {
  ok: false;
  reason: 'malformed';
  names: string[];
  evidence: { messages: string; line?: number };
}

/** Reads a diff, mail or mailbox; the content decides which. A line that cannot be accounted for is malformed. */
export async function readPatch(mirror: Mirror, content: Buffer): Promise<ReadPatch | UnreadPatch> {
  const text = content.toString('latin1');
  if (/^(\u00ff\u00fe|\u00fe\u00ff)/.test(text))
    return unread('the text is UTF-16: save it as UTF-8 or send the bytes that git wrote');
  const mails = isMail(text) ? await readMails(mirror, content) : [];
  const headless = mails === undefined || mails.length < 2 ? -1 : mails.findIndex(({ author }) => author === undefined);
  if (headless !== -1) {
    return unread(
      `mail ${headless + 1} has no author: a line that begins with "From " may have split the mail before it`,
    );
  }
  if (mails === undefined) return unread(`git cannot split this into mails, or there are more than ${MAX_MAILS}`);
  const diffs: FileSection[][] = [];
  const holders: Mail[] = [];
  const repairs: RepairNotes = {};
  const texts = mails.length === 0 ? commitsIn(text) : mails.map(({ diff }) => diff);
  for (const [index, diff] of texts.entries()) {
    try {
      const read = readDiff(diff, { isMail: mails.length > 0 || SHOWN_COMMIT.test(diff) });
      if (read.sections.length === 0) continue;
      Object.assign(repairs, read.repairs);
      diffs.push(read.sections);
      holders.push(...mails.slice(index, index + 1));
    } catch (error) {
      if (!(error instanceof MalformedDiff)) throw error;
      const where = mails.length > 1 ? `mail ${index + 1}, ` : '';
      return {
        ...unread(`${where}${error.message}`),
        evidence: { messages: `${where}${error.message}`, line: error.line },
      };
    }
  }
  if (diffs.length === 0) return unread('the patch names no file');
  return { ok: true, diffs, names: [...new Set(diffs.flat().flatMap(namesIn))], mails: holders, repairs };
}

/** `git show A B` writes one commit after the other, each with its own change. */
function commitsIn(text: string): string[] {
  return SHOWN_COMMIT.test(text) ? text.split(/^(?=commit [0-9a-f]{40})/m) : [text];
}

function unread(messages: string): UnreadPatch {
  return { ok: false, reason: 'malformed', names: [], evidence: { messages } };
}
