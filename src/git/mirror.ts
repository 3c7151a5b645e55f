import { createHash, randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SluiceError } from '../contract/errors.ts';
import { Ancestry } from './ancestry.ts';
import { LongLivedGit } from './long-lived.ts';
import { MergeAttributes } from './merge-attributes.ts';
import {
  landedObjects,
  makeMirrorFolder,
  markBranchUsed,
  readGeneration,
  readObjectFormat,
  removeMirrorFolder,
  scratchOf,
  trackingRefs,
  unlandedObjects,
} from './mirror-folder.ts';
import type { CallHere, ObjectFormat, ObjectStore } from './object-store.ts';
import { Remote, SHA256_LENGTH, trackingRef } from './remote.ts';
import { OPEN_ACCESS, type RemoteAccess } from './remote-access.ts';
import type { Git, GitAnswer } from './run-git.ts';
import { listTree } from './tree-changes.ts';
import { TreeFact } from './tree-fact.ts';

export interface Tip {
  commit: string;
  tree: string;
}

const SUBMODULE = '160000';

export interface MirrorOptions {
  git: Git;
  root: string;
  url: string;
  access?: RemoteAccess;
}

/**
 * A bare copy of one remote repository, with our configuration only. What was fetched and what Sluice wrote itself lie in two
 * folders, because slots borrow the first alone. Several processes of a machine may share a mirror: objects are only ever added,
 * and a reference that another process holds locked is tried again.
 */
export class Mirror implements ObjectStore {
  readonly git: Git;
  readonly dir: string;
  readonly url: string;
  readonly longLived: LongLivedGit;
  readonly #place: { gitDir: string; objectDir: string };
  readonly #remote: Remote;
  readonly #attributes: MergeAttributes;
  readonly #submodules: TreeFact<string | undefined>;
  readonly #ancestry = new Ancestry();
  readonly #seen = new Map<string, { tip: Tip; atMs: number }>();
  /** Another one each time the mirror was made anew, by whomever: what was known of its objects holds no more. */
  generation = '';
  #making: Promise<void> | undefined;
  #format: Promise<ObjectFormat> | undefined;
  #usedAtMs = Number.NEGATIVE_INFINITY;

  constructor({ git, root, url, access: remote = OPEN_ACCESS }: MirrorOptions) {
    this.git = git;
    this.url = url;
    this.dir = join(root, `${createHash('sha256').update(url).digest('hex').slice(0, 24)}.git`);
    this.#remote = new Remote({ git, url, access: remote });
    this.#place = { gitDir: this.dir, objectDir: unlandedObjects(this.dir) };
    this.longLived = new LongLivedGit(git, this.#place);
    this.#attributes = new MergeAttributes(this);
    this.#submodules = new TreeFact(this, {
      decides: ({ mode, oldMode }) => [mode, oldMode].includes(SUBMODULE),
      read: async (tree) => (await listTree(this, tree)).find(({ mode }) => mode === SUBMODULE)?.path,
    });
  }

  run(call: CallHere): Promise<Buffer> {
    if (!call.background) this.#usedAtMs = performance.now();
    return this.git.run({ ...call, ...this.#place });
  }

  text(call: CallHere): Promise<string> {
    return this.git.text({ ...call, ...this.#place });
  }

  ask(call: CallHere): Promise<GitAnswer> {
    return this.git.ask({ ...call, ...this.#place });
  }

  /** Asks the remote, with its credentials; they are redacted from the answer. */
  askRemote(call: CallHere): Promise<GitAnswer> {
    return this.#remote.ask({ ...call, ...this.#place });
  }

  /** Since something was last fetched, merged or written here by this process. */
  idleForMs(): number {
    return performance.now() - this.#usedAtMs;
  }

  /** How objects are named here. */
  objectFormat(): Promise<ObjectFormat> {
    this.#format ??= readObjectFormat(this.dir);
    return this.#format;
  }

  /** A folder with the `.gitattributes` files of a commit or tree; undefined when it has none. */
  attributesOf(name: string): Promise<string | undefined> {
    return this.#attributes.folderFor(name);
  }

  /** Merges two commits under the merge attributes of `ours`. The tree of a merge that is not clean holds conflict markers. */
  async merge(ours: string, theirs: string): Promise<{ clean: boolean; tree: string }> {
    return this.longLived.merge({ ours, theirs, attributes: await this.attributesOf(ours) });
  }

  /** The same with words, for people: conflicts are rare. */
  async explainMerge(ours: string, theirs: string): Promise<GitAnswer> {
    const args = ['merge-tree', '--write-tree', '-z', '--messages', ours, theirs];
    const workTree = await this.attributesOf(ours);
    return this.ask(workTree === undefined ? { args } : { args, workTree });
  }

  /**
   * The branch's commit and tree at the remote now, its objects here; with `maxAgeMs` what was seen so long ago will do.
   * `branch.missing`, `repository.unreadable`.
   */
  async fetchTip(branch: string, { maxAgeMs = 0 }: { maxAgeMs?: number } = {}): Promise<Tip> {
    const seen = this.#seen.get(branch);
    if (seen !== undefined && performance.now() - seen.atMs < maxAgeMs) return seen.tip;
    const atMs = performance.now();
    this.#usedAtMs = atMs;
    const tip = await this.#lookAtTip(branch);
    this.#seen.set(branch, { tip, atMs });
    return tip;
  }

  async #lookAtTip(branch: string): Promise<Tip> {
    const commit = await this.#remote.tipOf(branch);
    await this.ensure(formatOf(commit));
    await markBranchUsed(this.dir, branch);
    if ((await this.#fetchedTip(branch)) === commit) return { commit, tree: await this.treeOf(commit) };
    if (!(await this.#haveLanded(branch, commit))) await this.#remote.fetch(branch, this.dir);
    // Somebody may have pushed between the question and the fetch: what was brought is the tip.
    const fetched = (await this.#fetchedTip(branch)) ?? commit;
    return { commit: fetched, tree: await this.treeOf(fetched) };
  }

  /** What we pushed, or a gate tested, is here already: it moves to the landed objects as a fetch would bring it. */
  async #haveLanded(branch: string, commit: string): Promise<boolean> {
    if (!(await this.has(commit))) return false;
    try {
      await this.packUnlanded(commit, landedObjects(this.dir));
      await this.longLived.moveReference(trackingRef(branch), commit);
      return true;
    } catch {
      // Half of it is missing, or the reference is locked.
      return false;
    }
  }

  /**
   * Packs what a commit needs and no fetched branch holds into a folder of objects; nothing where a branch holds it all. git
   * writes there from the start: it may be another file system.
   */
  async packUnlanded(commit: string, objectDir: string): Promise<void> {
    this.#usedAtMs = performance.now();
    await this.git.run({
      gitDir: this.dir,
      objectDir,
      alsoReads: [unlandedObjects(this.dir), landedObjects(this.dir)],
      args: ['pack-objects', '-q', '--non-empty', '--revs', join(objectDir, 'pack', 'pack')],
      stdin: [commit, '--not', ...(await trackingRefs(this.dir)), ''].join('\n'),
    });
  }

  /** Makes the mirror if it is not there (any more). Throws `repository.unreadable` when the remote must be asked and cannot be. */
  async ensure(format?: ObjectFormat): Promise<void> {
    let generation = await readGeneration(this.dir);
    if (generation === undefined) {
      this.#making ??= this.#make(format).finally(() => {
        this.#making = undefined;
      });
      await this.#making;
      generation = (await readGeneration(this.dir)) ?? '';
    }
    if (generation === this.generation) return;
    this.generation = generation;
    this.#format = undefined;
    this.longLived.close();
    this.#seen.clear();
  }

  async #make(format: ObjectFormat | undefined): Promise<void> {
    await makeMirrorFolder(this.git, this.dir, format ?? (await this.#remote.objectFormat()));
  }

  async has(commit: string): Promise<boolean> {
    return (await this.longLived.info(`${commit}^{commit}`)) !== undefined;
  }

  /** True when `ancestor` is `commit` or lies below it. Both must be here. */
  async isAncestor(ancestor: string, commit: string): Promise<boolean> {
    const known = this.#ancestry.find(ancestor, commit);
    if (known !== undefined) return known;
    const { exitCode, stderr } = await this.ask({ args: ['merge-base', '--is-ancestor', ancestor, commit] });
    // A fault is no answer: taken for a no, it would give up what has landed.
    if (exitCode > 1) throw new SluiceError('git.failed', `git merge-base: ${stderr}`);
    this.#ancestry.note({ ancestor, commit, below: exitCode === 0 });
    return exitCode === 0;
  }

  /** For a commit that was just made: spares the question whether its parent is below it. */
  noteParent(commit: string, parent: string): void {
    this.#ancestry.noteParent(commit, parent);
  }

  async treeOf(commit: string): Promise<string> {
    const tree = await this.longLived.info(`${commit}^{tree}`);
    if (tree === undefined) throw new SluiceError('git.failed', `there is no commit ${commit}`);
    return tree.id;
  }

  /** True when the commit is here and is `tip` or lies below it. */
  async contains(tip: string, commit: string): Promise<boolean> {
    return (await this.has(commit)) && (await this.isAncestor(commit, tip));
  }

  /** Content of a file in a commit; undefined when there is none (or no plain file). */
  async readFile(commit: string, path: string): Promise<Buffer | undefined> {
    const found = await this.longLived.content(`${commit}:${path}`);
    return found?.type === 'blob' ? found.content : undefined;
  }

  /** Looks whether all of what the branches need is here and whole; if not, throws it away. True when it did. */
  async mend(): Promise<boolean> {
    const args = ['fsck', '--connectivity-only', '--no-dangling', '--no-progress'];
    // One that does not end says nothing.
    const { exitCode } = await this.ask({ args }).catch(() => ({ exitCode: 0 }));
    if (exitCode === 0) return false;
    this.longLived.close();
    this.#seen.clear();
    await removeMirrorFolder(this.dir);
    return true;
  }

  /** Where a commit holds a submodule; undefined: nowhere. */
  submoduleIn(commit: string): Promise<string | undefined> {
    return this.#submodules.of(commit);
  }

  close(): void {
    this.longLived.close();
  }

  /** Runs `use` with the path of a private index that is removed afterwards. */
  async withIndex<T>(use: (indexFile: string) => Promise<T>): Promise<T> {
    const indexFile = join(scratchOf(this.dir), `index-${randomUUID()}`);
    try {
      return await use(indexFile);
    } finally {
      await rm(indexFile, { force: true });
      await rm(`${indexFile}.lock`, { force: true });
    }
  }

  /** What the last whole fetch of the branch brought. A commit object alone proves nothing: its trees may be missing. */
  async #fetchedTip(branch: string): Promise<string | undefined> {
    return (await this.longLived.info(`${trackingRef(branch)}^{commit}`))?.id;
  }
}

function formatOf(id: string): ObjectFormat {
  return id.length === SHA256_LENGTH ? 'sha256' : 'sha1';
}
