import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeTree } from '../../lib/remove-tree.ts';
import type { Mirror } from '../mirror.ts';
import type { Person } from '../write-commit.ts';

/** A mail as `git mailinfo` reads it: transfer encodings are decoded. */
export interface Mail {
  author: Person | undefined;
  /** RFC 3339; undefined where the mail has no date that can be read. */
  authoredAt: string | undefined;
  /** Subject without `[PATCH …]`, and the text above `---`. */
  message: string;
  /** The diff that follows the text, as bytes in Latin-1. */
  diff: string;
}

/** Refuses an input with more mails than this. */
export const MAX_MAILS = 1_000;
const ENVELOPE = /^From ([0-9a-f]{40}|[0-9a-f]{64}|\S+@\S+|\S+) +(Mon|Tue|Wed|Thu|Fri|Sat|Sun) /;
const HEADER = /^[A-Za-z][A-Za-z0-9-]{0,60}:/;

/** True for a mailbox, or for one mail that starts with its header lines. */
export function isMail(text: string): boolean {
  const lines = text.slice(0, 64_000).replace(/^\s+/, '').split('\n', 200);
  if (ENVELOPE.test(lines[0] ?? '')) return true;
  const end = lines.findIndex((line) => !HEADER.test(line) && !/^[ \t]\S/.test(line));
  const header = lines.slice(0, end === -1 ? lines.length : end);
  const has = (name: RegExp): boolean => header.some((line) => name.test(line));
  return has(/^from: /i) && has(/^(subject|date): /i);
}

/**
 * Splits a mailbox (`git mailsplit`) and reads each mail (`git mailinfo`). Undefined on a failure or too many mails.
 */
export async function readMails(mirror: Mirror, content: Buffer): Promise<Mail[] | undefined> {
  const folder = join(mirror.dir, 'sluice-tmp', `mails-${randomUUID()}`);
  await mkdir(folder);
  try {
    const box = content.subarray(content.length - content.toString('latin1').trimStart().length);
    const split = await mirror.ask({ args: ['mailsplit', `-o${folder}`, '-b', '--keep-cr'], stdin: box });
    if (split.exitCode !== 0) return undefined;
    const names = (await readdir(folder)).toSorted();
    if (names.length > MAX_MAILS) return undefined;
    const mails: Mail[] = [];
    for (const name of names) {
      const mail = await readMail(mirror, join(folder, name));
      if (mail === undefined) return undefined;
      mails.push(mail);
    }
    return mails;
  } finally {
    await removeTree(folder);
  }
}

async function readMail(mirror: Mirror, file: string): Promise<Mail | undefined> {
  const [message, diff] = [`${file}.message`, `${file}.diff`];
  const stdin = await readFile(file);
  const { exitCode, stdout } = await mirror.ask({ args: ['mailinfo', message, diff], stdin });
  if (exitCode !== 0) return undefined;
  const facts = new Map(
    stdout
      .toString('utf8')
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]),
  );
  const [name, email, date] = [facts.get('Author'), facts.get('Email'), Date.parse(facts.get('Date') ?? '')];
  const text = (await readFile(message, 'utf8')).replaceAll('\r\n', '\n').trim();
  return {
    author: name && email ? { name, email } : undefined,
    authoredAt: Number.isNaN(date) ? undefined : new Date(date).toISOString(),
    message: [facts.get('Subject') ?? '', text].filter((part) => part !== '').join('\n\n'),
    diff: await readFile(diff, 'latin1'),
  };
}
