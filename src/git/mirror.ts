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
 * A bare copy of one remote repository, with Sluice's configuration only. Fetched objects and objects that Sluice wrote
 * are in two folders, because slots borrow only the first. Several processes of a host may share a mirror: except for
 * maintenance and `mend`, objects are only added, and a locked reference is retried.
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
  /** Changes each time any process rebuilds the mirror; facts known about its objects are then invalid. */
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

  /** Runs a call to the remote with its credentials, which are redacted from stderr. */
  askRemote(call: CallHere): Promise<GitAnswer> {
    return this.#remote.ask({ ...call, ...this.#place });
  }

  /** Time since this process last ran a foreground `run`, a fetch or a pack here. */
  idleForMs(): number {
    return performance.now() - this.#usedAtMs;
  }

  objectFormat(): Promise<ObjectFormat> {
    this.#format ??= readObjectFormat(this.dir);
    return this.#format;
  }

  /** Returns a folder with the `.gitattributes` files of a commit or tree; undefined when it has none. */
  attributesOf(name: string): Promise<string | undefined> {
    return this.#attributes.folderFor(name);
  }

  /**
   * Merges two commits under the merge attributes of `ours`. The tree of a conflicting merge holds conflict markers.
   */
  async merge(ours: string, theirs: string): Promise<{ clean: boolean; tree: string }> {
    return this.longLived.merge({ ours, theirs, attributes: await this.attributesOf(ours) });
  }

  /** Repeats a merge in a process of its own, for git's messages to people. Conflicts are rare. */
  async explainMerge(ours: string, theirs: string): Promise<GitAnswer> {
    const args = ['merge-tree', '--write-tree', '-z', '--messages', ours, theirs];
    const workTree = await this.attributesOf(ours);
    return this.ask(workTree === undefined ? { args } : { args, workTree });
  }

  /** Returns the branches of the remote and its default one. Throws `repository.unreadable`. */
  branches(): Promise<{ names: string[]; default: string | null }> {
    return this.#remote.branches();
  }

  /**
   * Returns the branch's current commit and tree at the remote and fetches its objects. With `maxAgeMs`, an answer up
   * to that age is reused. Throws `branch.missing` and `repository.unreadable`.
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
    // A push between the question and the fetch moves the tip: the fetched commit is the tip.
    const fetched = (await this.#fetchedTip(branch)) ?? commit;
    return { commit: fetched, tree: await this.treeOf(fetched) };
  }

  /** Moves a commit that Sluice pushed or tested, and so has, to the landed objects in place of a fetch. */
  async #haveLanded(branch: string, commit: string): Promise<boolean> {
    if (!(await this.has(commit))) return false;
    try {
      await this.packUnlanded(commit, landedObjects(this.dir));
      await this.longLived.moveReference(trackingRef(branch), commit);
      return true;
    } catch {
      // Some of its objects are missing, or the reference is locked.
      return false;
    }
  }

  /**
   * Packs the objects that a commit needs and no fetched branch holds into a folder of objects; writes nothing when a
   * branch holds them all. git writes its temporary files there too, because a rename from another file system would
   * fail.
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

  /**
   * Makes the mirror if it is missing. Throws `repository.unreadable` when the remote cannot be asked for its format.
   */
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

  /** True when `ancestor` is `commit` or one of its ancestors. Both must be in the mirror. */
  async isAncestor(ancestor: string, commit: string): Promise<boolean> {
    const known = this.#ancestry.find(ancestor, commit);
    if (known !== undefined) return known;
    const { exitCode, stderr } = await this.ask({ args: ['merge-base', '--is-ancestor', ancestor, commit] });
    // A fault is no answer: taken for a no, it would give up what has landed.
    if (exitCode > 1) throw new SluiceError('git.failed', `git merge-base: ${stderr}`);
    this.#ancestry.note({ ancestor, commit, below: exitCode === 0 });
    return exitCode === 0;
  }

  /** Records the parent of a commit that was just made, so that `isAncestor` needs no git call for it. */
  noteParent(commit: string, parent: string): void {
    this.#ancestry.noteParent(commit, parent);
  }

  async treeOf(commit: string): Promise<string> {
    const tree = await this.longLived.info(`${commit}^{tree}`);
    if (tree === undefined) throw new SluiceError('git.failed', `there is no commit ${commit}`);
    return tree.id;
  }

  /** True when the mirror has `commit` and it is `tip` or one of its ancestors. */
  async contains(tip: string, commit: string): Promise<boolean> {
    return (await this.has(commit)) && (await this.isAncestor(commit, tip));
  }

  /** Returns the content of a file in a commit; undefined when there is none or it is not a blob. */
  async readFile(commit: string, path: string): Promise<Buffer | undefined> {
    const found = await this.longLived.content(`${commit}:${path}`);
    return found?.type === 'blob' ? found.content : undefined;
  }

  /** Checks that every object that the branches need is present; if not, removes the mirror and returns true. */
  async mend(): Promise<boolean> {
    const args = ['fsck', '--connectivity-only', '--no-dangling', '--no-progress'];
    // An fsck that fails to run or times out proves nothing, so the mirror is kept.
    const { exitCode } = await this.ask({ args }).catch(() => ({ exitCode: 0 }));
    if (exitCode === 0) return false;
    this.longLived.close();
    this.#seen.clear();
    await removeMirrorFolder(this.dir);
    return true;
  }

  /** Returns the path of a submodule in a commit; undefined when there is none. */
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

  /**
   * Returns the commit of the last complete fetch of the branch. The presence of a commit object alone proves nothing,
   * because its trees may be missing.
   */
  async #fetchedTip(branch: string): Promise<string | undefined> {
    return (await this.longLived.info(`${trackingRef(branch)}^{commit}`))?.id;
  }
}

function formatOf(id: string): ObjectFormat {
  return id.length === SHA256_LENGTH ? 'sha256' : 'sha1';
}
