import type { Mirror } from './mirror.ts';
import { writeObject } from './write-object.ts';

export interface Person {
  name: string;
  email: string;
}

export interface CommitParts {
  tree: string;
  /** Null for a commit without history. */
  parent: string | null;
  message: string;
  author: Person;
  /** RFC 3339, used to the second. The same parts always give the same commit id, on any host. */
  authoredAt: string;
  committer: Person;
  committedAt: string;
}

export async function writeCommit(mirror: Mirror, parts: CommitParts): Promise<string> {
  const commit = isPlain(parts) ? await writePlainly(mirror, parts) : await askGit(mirror, parts);
  if (parts.parent !== null) mirror.noteParent(commit, parts.parent);
  return commit;
}

/** git strips some characters from names; commits with such names are written by git. */
function isPlain({ message, author, committer }: CommitParts): boolean {
  return (
    !message.includes('\0') &&
    [author, committer].every(({ name, email }) => [name, email].every((text) => PLAIN_IDENT.test(text)))
  );
}

const PLAIN_IDENT = /^[\p{L}\p{N}](?:[\p{L}\p{N} ._@+()-]*[\p{L}\p{N}])?$/u;

function writePlainly(mirror: Mirror, parts: CommitParts): Promise<string> {
  const lines = [
    `tree ${parts.tree}`,
    ...(parts.parent === null ? [] : [`parent ${parts.parent}`]),
    `author ${identOf(parts.author, parts.authoredAt)}`,
    `committer ${identOf(parts.committer, parts.committedAt)}`,
    '',
    withNewline(parts.message),
  ];
  return writeObject(mirror, 'commit', Buffer.from(lines.join('\n')));
}

function askGit(mirror: Mirror, parts: CommitParts): Promise<string> {
  return mirror.text({
    args: ['commit-tree', ...(parts.parent === null ? [] : ['-p', parts.parent]), '-F', '-', parts.tree],
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
