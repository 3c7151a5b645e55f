import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import type { Mirror } from './mirror.ts';

export interface Person {
  name: string;
  email: string;
}

export interface CommitParts {
  tree: string;
  parent: string;
  message: string;
  author: Person;
  /** RFC 3339; seconds count. The same parts always give the same commit id, on any machine. */
  authoredAt: string;
  committer: Person;
  committedAt: string;
}

const compress = promisify(deflate);
const SHA1_LENGTH = 40;

export async function writeCommit(mirror: Mirror, parts: CommitParts): Promise<string> {
  const commit = isPlain(parts) ? await writeObject(mirror, parts) : await askGit(mirror, parts);
  mirror.noteParent(commit, parts.parent);
  return commit;
}

/** git takes some characters out of names; those are left to it. SHA-256 repositories as well. */
function isPlain({ tree, message, author, committer }: CommitParts): boolean {
  return (
    tree.length === SHA1_LENGTH &&
    !message.includes('\0') &&
    [author, committer].every(({ name, email }) => [name, email].every((text) => PLAIN_IDENT.test(text)))
  );
}

const PLAIN_IDENT = /^[\p{L}\p{N}](?:[\p{L}\p{N} ._@+()-]*[\p{L}\p{N}])?$/u;

/** A commit is a small text: written as git would write it, without a process for each. */
async function writeObject(mirror: Mirror, parts: CommitParts): Promise<string> {
  const body = Buffer.from(
    [
      `tree ${parts.tree}`,
      `parent ${parts.parent}`,
      `author ${identOf(parts.author, parts.authoredAt)}`,
      `committer ${identOf(parts.committer, parts.committedAt)}`,
      '',
      withNewline(parts.message),
    ].join('\n'),
  );
  const object = Buffer.concat([Buffer.from(`commit ${body.length}\0`), body]);
  const id = createHash('sha1').update(object).digest('hex');
  const file = join(mirror.dir, 'objects', id.slice(0, 2), id.slice(2));
  await mkdir(dirname(file), { recursive: true });
  const half = join(dirname(file), `tmp_obj_${randomUUID()}`);
  await writeFile(half, await compress(object), { mode: 0o444 });
  await rename(half, file);
  return id;
}

function askGit(mirror: Mirror, parts: CommitParts): Promise<string> {
  return mirror.text({
    args: ['commit-tree', '-p', parts.parent, '-F', '-', parts.tree],
    stdin: withNewline(parts.message),
    env: {
      GIT_AUTHOR_NAME: parts.author.name,
      GIT_AUTHOR_EMAIL: parts.author.email,
      GIT_AUTHOR_DATE: `@${secondsOf(parts.authoredAt)} +0000`,
      GIT_COMMITTER_NAME: parts.committer.name,
      GIT_COMMITTER_EMAIL: parts.committer.email,
      GIT_COMMITTER_DATE: `@${secondsOf(parts.committedAt)} +0000`,
    },
  });
}

function withNewline(message: string): string {
  return message.endsWith('\n') ? message : `${message}\n`;
}

function identOf({ name, email }: Person, instant: string): string {
  return `${name} <${email}> ${secondsOf(instant)} +0000`;
}

function secondsOf(instant: string): number {
  return Math.floor(Date.parse(instant) / 1_000);
}
