import type { LongLivedGit } from './long-lived.ts';
import type { GitCall } from './run-git.ts';

/** How a repository names its objects; both are names of hashes. */
export type ObjectFormat = 'sha1' | 'sha256';
export type CallHere = Omit<GitCall, 'gitDir' | 'objectDir' | 'alsoReads'>;

/** A repository as those see it that read and write its objects. A mirror is one. */
export interface ObjectStore {
  readonly dir: string;
  readonly longLived: LongLivedGit;
  run(call: CallHere): Promise<Buffer>;
  /** Of a commit or a tree. */
  treeOf(name: string): Promise<string>;
  objectFormat(): Promise<ObjectFormat>;
}
