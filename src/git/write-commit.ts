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

export async function writeCommit(mirror: Mirror, parts: CommitParts): Promise<string> {
  return mirror.text({
    args: ['commit-tree', '-p', parts.parent, '-F', '-', parts.tree],
    stdin: parts.message.endsWith('\n') ? parts.message : `${parts.message}\n`,
    env: {
      GIT_AUTHOR_NAME: parts.author.name,
      GIT_AUTHOR_EMAIL: parts.author.email,
      GIT_AUTHOR_DATE: gitDate(parts.authoredAt),
      GIT_COMMITTER_NAME: parts.committer.name,
      GIT_COMMITTER_EMAIL: parts.committer.email,
      GIT_COMMITTER_DATE: gitDate(parts.committedAt),
    },
  });
}

function gitDate(instant: string): string {
  return `@${Math.floor(Date.parse(instant) / 1_000)} +0000`;
}
