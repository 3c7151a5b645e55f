import type { LongLivedGit } from './long-lived.ts';
import type { GitCall } from './run-git.ts';

/** The hash that names a repository's objects; both names are also valid for `createHash`. */
export type ObjectFormat = 'sha1' | 'sha256';
export type CallHere = Omit<GitCall, 'gitDir' | 'objectDir' | 'alsoReads'>;

/** The part of a repository that reading and writing objects needs. `Mirror` implements it. */
export interface ObjectStore {
  readonly dir: string;
  readonly longLived: LongLivedGit;
  run(call: CallHere): Promise<Buffer>;
  /** Accepts a commit or a tree. */
  treeOf(name: string): Promise<string>;
  objectFormat(): Promise<ObjectFormat>;
}
