import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GitSandbox } from '../../harness/git-sandbox.ts';
import { pathToBytes } from '../../src/lib/byte-path.ts';
import { runChild } from '../../src/lib/process.ts';
import { changedPaths, contentOf, type Entry, isText, type Tree, textOf } from './corpus-tree.ts';
import { ChangeMaker, Dice } from './patch-corpus.ts';

/** A change in the repository, with its expected trees. */
export interface Change {
  name: string;
  /** The files on the base, and after each commit. */
  trees: readonly Tree[];
  /** The commit that the change was made on, and its last one. */
  base: string;
  last: string;
  /** Tree of the last commit. */
  result: string;
  /** A later commit of the branch, with lines inserted above the change, and the tree that is expected there. */
  later: { tip: string; result: string };
}

interface PlannedChange {
  name: string;
  trees: Tree[];
  marks: { base: number; last: number; tip: number; result: number };
}

const MESSAGES = [
  'Change a few lines',
  'Größe ändern: ein langer Betreff, der in einer Mail gewiss auf mehr als eine Zeile umbrochen werden muss',
  'Fix [core] things\n\nWith a body:\n\n- an item\n- another\n\n  @@ -1,2 +1,2 @@ quoted\n\nSigned-off-by: Ada <ada@example.com>',
  'Say more\n\n    --- a/src/alpha.ts\n    +++ b/src/alpha.ts\n\n日本語.',
];

/**
 * Writes histories into the sandbox's remote, all reachable from `main`, and fetches them. Changes of two to four
 * commits are series.
 */
export async function makeChanges(
  git: GitSandbox,
  { seed, histories }: { seed: number; histories: number },
): Promise<Change[]> {
  const dice = new Dice(seed);
  const stream = new CommitStream();
  const planned: PlannedChange[] = [];
  for (let n = 0; n < histories; n += 1) planned.push(...planHistory({ dice, stream, n }));
  stream.mergeAll();
  const ids = await stream.send(git);
  const listed = await git.git(['rev-list', '--no-commit-header', '--format=%H %T', 'main'], git.remote);
  const treeOf = new Map(listed.split('\n').map((line) => line.split(' ') as [string, string]));
  await git.mirror.fetchTip('main');
  return planned.map(({ name, trees, marks }) => {
    const [base, last, tip] = [ids.get(marks.base)!, ids.get(marks.last)!, ids.get(marks.tip)!];
    const later = { tip, result: treeOf.get(ids.get(marks.result)!)! };
    return { name, trees, base, last, result: treeOf.get(last)!, later };
  });
}

function planHistory({ dice, stream, n }: { dice: Dice; stream: CommitStream; n: number }): PlannedChange[] {
  const maker = new ChangeMaker(dice, n % 2 === 0 ? 'text' : 'git');
  const trees = [maker.baseTree()];
  const commits = [stream.commit(trees[0]!, { parents: [], message: 'Begin' })];
  for (let step = 2 + dice.below(3); step > 0; step -= 1) {
    const tree = maker.change(trees.at(-1)!);
    commits.push(stream.commit(tree, { parents: [commits.at(-1)!], message: dice.pick(MESSAGES) }));
    trees.push(tree);
  }
  const singles = trees.slice(1).map((_, step) => [step, step + 1] as const);
  return [...singles, [0, trees.length - 1] as const].map(([from, to]) => {
    const ofChange = trees.slice(from, to + 1);
    let [drifted, tip] = [ofChange, commits[from]!];
    for (let further = 1 + dice.below(2); further > 0; further -= 1) {
      drifted = drift(dice, drifted);
      tip = stream.commit(drifted[0]!, { parents: [tip], message: 'Go on' });
    }
    const result = stream.commit(drifted.at(-1)!, { parents: [tip], message: 'Meant' });
    const marks = { base: commits[from]!, last: commits[to]!, tip, result };
    return { name: `history ${n}, commits ${from} to ${to}`, trees: ofChange, marks };
  });
}

/** Inserts lines above the change in every file that it edits, in all trees alike. */
function drift(dice: Dice, trees: readonly Tree[]): Tree[] {
  const drifted = trees.map((tree) => new Map(tree));
  for (const path of changedPaths(trees[0]!, trees.at(-1)!)) {
    const entries = trees.map((tree) => tree.get(path));
    if (!entries.every(isDriftable)) continue;
    const texts = entries.map(({ content }) => textOf(content));
    const lines = texts[0]!.lines;
    const shortest = Math.min(...texts.map((text) => text.lines.length));
    let same = 0;
    while (same < shortest - 1 && texts.every((text) => text.lines[same] === lines[same])) same += 1;
    const isCopy = dice.oneIn(6);
    const fresh = Array.from({ length: 1 + dice.below(5) }, () => `inserted ${dice.below(100_000)}`);
    const end = lines[0]!.endsWith('\r') ? '\r' : '';
    // A copy of what surrounds the change gives its hunk another place to fit.
    const inserted = isCopy ? lines.slice(Math.max(0, same - 4), same + 8) : fresh.map((line) => `${line}${end}`);
    const at = dice.oneIn(3) ? dice.below(Math.max(1, same - 3)) : 0;
    for (const [index, { lines: own, lastIsWhole }] of texts.entries()) {
      const content = contentOf({ lines: own.toSpliced(at, 0, ...inserted), lastIsWhole });
      drifted[index]!.set(path, { ...entries[index]!, content });
    }
  }
  const note = { mode: '100644', content: Buffer.from(`note ${dice.below(100_000)}\n`) } as const;
  return drifted.map((tree) => tree.set('notes/later.txt', note));
}

function isDriftable(entry: Entry | undefined): entry is Entry {
  return entry !== undefined && isText(entry);
}

/** Commits for `git fast-import`. */
class CommitStream {
  readonly #parts: Buffer[] = [];
  readonly #tips = new Set<number>();
  #marks = 0;

  commit(tree: Tree, { parents, message }: { parents: readonly number[]; message: string }): number {
    const mark = this.#begin({ parents, message });
    this.#parts.push(Buffer.from('deleteall\n'));
    for (const [path, { mode, content }] of tree) {
      this.#parts.push(Buffer.from(`M ${mode} inline ${quoted(path)}\n`), data(content));
    }
    return mark;
  }

  /** Adds a last commit from which all others are reachable. */
  mergeAll(): void {
    this.#begin({ parents: [...this.#tips], message: 'All' });
  }

  /** Imports the commits and returns the commit of each mark. */
  async send(git: GitSandbox): Promise<Map<number, string>> {
    const marksFile = join(git.folder, 'marks');
    const { ending, stderr } = await runChild({
      argv: ['git', 'fast-import', '--quiet', '--force', `--export-marks=${marksFile}`],
      cwd: git.remote,
      env: { PATH: process.env.PATH! },
      stdin: Buffer.concat(this.#parts),
      timeoutMs: 60_000,
    });
    if (ending.kind !== 'exited' || ending.exitCode !== 0) throw new Error(`git fast-import: ${stderr.toString()}`);
    const lines = (await readFile(marksFile, 'utf8')).trim().split('\n');
    return new Map(lines.map((line) => [Number(line.slice(1).split(' ')[0]), line.split(' ')[1]!]));
  }

  #begin({ parents, message }: { parents: readonly number[]; message: string }): number {
    this.#marks += 1;
    const isUmlaut = this.#marks % 3 === 0;
    const person = isUmlaut ? 'Zoë Ångström <zoe@example.com>' : 'Ada <ada@example.com>';
    const when = 1_700_000_000 + this.#marks;
    // A ref of its own: fast-import would take the last commit of a ref as the parent.
    const head = `commit refs/heads/${parents.length > 2 ? 'main' : `corpus/${this.#marks}`}\nmark :${this.#marks}\n`;
    const by = `author ${person} ${when} +0200\ncommitter ${person} ${when} +0200\n`;
    const [from, ...merged] = parents.map((parent) => `:${parent}\n`);
    const above = from === undefined ? '' : `from ${from}${merged.map((parent) => `merge ${parent}`).join('')}`;
    this.#parts.push(Buffer.from(head + by), data(Buffer.from(message)), Buffer.from(above));
    for (const parent of parents) this.#tips.delete(parent);
    this.#tips.add(this.#marks);
    return this.#marks;
  }
}

function data(content: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`data ${content.length}\n`), content, Buffer.from('\n')]);
}

function quoted(path: string): string {
  const bytes = pathToBytes(path).toString('latin1');
  const escaped = bytes.replaceAll(/[^ -~]|["\\]/g, (byte) => `\\${byte.charCodeAt(0).toString(8).padStart(3, '0')}`);
  return `"${escaped}"`;
}
