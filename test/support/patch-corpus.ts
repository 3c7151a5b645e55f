import { contentOf, type Entry, isBinary, isSameTree, isText, type Tree, textOf } from './corpus-tree.ts';

/** `text`: only changes that every diff format can express; `git`: also modes, links, binary and empty files. */
export type Flavour = 'text' | 'git';

/** A seeded source of numbers (mulberry32): one seed always gives one corpus. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0;
  }
}

/** A block that occurs several times in a file, which makes the place of a hunk ambiguous. */
const BLOCK = ['if (ready) {', '  return next();', '}', ''];
/** Lines that look like a part of a diff or of a mail. */
const ODD_LINES = [
  ...['-- a comment', '++ counter', '--- a/src/alpha.ts', '+++ b/src/alpha.ts', '@@ -1,2 +1,2 @@', '-- ', '! bang'],
  ...['diff --git a/x b/x', 'Index: x', '*** 1,2 ****', '***************', '--- 1,2 ----', 'Only in a: b', '---'],
  ...['\\ No newline at end of file', '\t', '  ', 'trailing  ', 'page\fbreak', 'lone\rreturn', 'GIT binary patch'],
  ...['From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001', 'Subject: none', '>From here', ''],
];
const LATIN_1 = ['caf\u00e9 \u00fcber', 'na\u00efve'];
const UTF_8 = ['größe = „viel“', '日本語 ✓'].map((text) => Buffer.from(text).toString('latin1'));

/** Makes base trees and changes of them. */
export class ChangeMaker {
  readonly #dice: Dice;
  readonly #flavour: Flavour;
  #count = 0;
  /** Actions are used in turn, so that a small corpus has each of them. */
  #actions: number;

  constructor(dice: Dice, flavour: Flavour) {
    this.#dice = dice;
    this.#flavour = flavour;
    this.#actions = dice.below(100);
  }

  baseTree(): Tree {
    const texts = [
      ...['top.txt', 'src/alpha.ts', 'src/deep/nested/beta.py', 'src/deep/gamma.c', 'src/-dash.txt', 'docs/odd.sql'],
      ...['docs/with space.md', 'docs/it\'s "quoted".txt', 'docs/tab\there.txt', 'ümläut/ñame.txt', 'docs/b/a/x.txt'],
    ];
    const tree = new Map<string, Entry>();
    for (const path of texts) tree.set(path, { mode: '100644', content: this.#text({ odd: path.endsWith('.sql') }) });
    tree.set('crlf/windows.txt', { mode: '100644', content: this.#text({ end: '\r' }) });
    tree.set('src/no-newline.txt', { mode: '100644', content: this.#text({ lastIsWhole: false }) });
    tree.set('docs/short.txt', { mode: '100644', content: Buffer.from('only\n') });
    tree.set('docs/hollow.txt', { mode: '100644', content: Buffer.alloc(0) });
    tree.set('run.sh', { mode: '100755', content: this.#text() });
    tree.set('src/link', { mode: '120000', content: Buffer.from('alpha.ts') });
    tree.set('bin/data.bin', { mode: '100644', content: this.#bytes() });
    return tree;
  }

  /** Applies one to four actions, each on another file. Never returns an equal tree. */
  change(before: Tree): Tree {
    const tree = new Map(before);
    const used = new Set<string>();
    const target = 1 + this.#dice.below(4);
    for (let done = 0; done < target; done += 1) {
      const isGit = this.#flavour === 'git' && !this.#dice.oneIn(3);
      const actions = isGit ? GIT_ACTIONS : TEXT_ACTIONS;
      actions[this.#actions++ % actions.length]!.call(this, tree, used);
    }
    return isSameTree(before, tree) ? this.change(before) : tree;
  }

  edit(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, isText);
    if (path === undefined) return;
    const { mode, content } = tree.get(path)!;
    tree.set(path, { mode, content: this.#edited(content) });
  }

  create(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#freshName(used);
    const content = this.#text({ lastIsWhole: !this.#dice.oneIn(4), end: this.#dice.oneIn(5) ? '\r' : '' });
    tree.set(path, { mode: '100644', content });
  }

  delete(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, isText);
    if (path !== undefined) tree.delete(path);
  }

  rename(tree: Map<string, Entry>, used: Set<string>): void {
    this.#move(tree, used, (entry) => isText(entry) && entry.mode === '100644');
  }

  /** Renames links and binary, empty or executable files. */
  renameAny(tree: Map<string, Entry>, used: Set<string>): void {
    this.#move(tree, used, (entry) => !isText(entry) || entry.mode === '100755');
  }

  /** Adds or removes the newline at the end, or the carriage returns. */
  convert(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, isText);
    if (path === undefined) return;
    const { mode, content } = tree.get(path)!;
    const { lines, lastIsWhole } = textOf(content);
    const isCrlf = lines[0]!.endsWith('\r');
    const other = lines.map((line) => (isCrlf ? line.replace(/\r$/, '') : `${line}\r`));
    const changed = this.#dice.oneIn(3) ? { lines: other, lastIsWhole } : { lines, lastIsWhole: !lastIsWhole };
    tree.set(path, { mode, content: contentOf(changed) });
  }

  emptyOut(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, (entry) => entry.mode !== '120000' && !isBinary(entry.content));
    if (path === undefined) return;
    const { mode, content } = tree.get(path)!;
    tree.set(path, { mode, content: content.length === 0 ? this.#text() : Buffer.alloc(0) });
  }

  changeMode(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, isText);
    if (path === undefined) return;
    const { mode, content } = tree.get(path)!;
    const other = mode === '100644' ? '100755' : '100644';
    tree.set(path, { mode: other, content: this.#dice.oneIn(2) ? content : this.#edited(content) });
  }

  /** Makes, renames or deletes an empty file, or makes an executable one. */
  changeHollow(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, ({ content }) => content.length === 0);
    const kind = this.#dice.below(4);
    if (kind === 0 || path === undefined) tree.set(this.#freshName(used), { mode: '100644', content: Buffer.alloc(0) });
    else if (kind === 1) tree.set(this.#freshName(used), { mode: '100755', content: this.#text() });
    else tree.delete(path);
    if (kind === 2) tree.set(this.#freshName(used), { mode: '100644', content: Buffer.alloc(0) });
  }

  changeLink(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, ({ mode }) => mode === '120000');
    const kind = this.#dice.below(4);
    const link = (target: string): Entry => ({ mode: '120000', content: Buffer.from(target) });
    if (kind === 0 || path === undefined) tree.set(this.#freshName(used), link('no/such file'));
    else if (kind === 1) tree.delete(path);
    else if (kind === 2) tree.set(path, link(this.#dice.pick(['deep/gamma.c', 'no-newline.txt', 'ü'])));
    else tree.set(path, { mode: '100644', content: this.#text() });
  }

  changeBinary(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, ({ content }) => isBinary(content));
    const kind = this.#dice.below(4);
    if (kind === 0 || path === undefined) {
      tree.set(this.#freshName(used), { mode: '100644', content: this.#bytes() });
      return;
    }
    const { mode, content } = tree.get(path)!;
    if (kind < 3) tree.set(path, { mode, content: Buffer.concat([content, this.#bytes().subarray(0, 40)]) });
    else tree.delete(path);
  }

  /** Copies a file, turns one into a link or into a folder of its name, or swaps two files. */
  reshape(tree: Map<string, Entry>, used: Set<string>): void {
    const path = this.#take(tree, used, isText);
    const other = this.#take(tree, used, isText);
    if (path === undefined || other === undefined) return;
    const [entry, second] = [tree.get(path)!, tree.get(other)!];
    const kind = this.#dice.below(4);
    if (kind === 0) tree.set(this.#freshName(used), { ...entry, content: this.#edited(entry.content) });
    else if (kind === 1) tree.set(path, { mode: '120000', content: Buffer.from('short.txt') });
    else if (kind === 2) tree.delete(path) && tree.set(`${path}/inside.txt`, entry);
    else tree.set(path, second).set(other, entry);
  }

  #move(tree: Map<string, Entry>, used: Set<string>, fits: (entry: Entry) => boolean): void {
    const path = this.#take(tree, used, fits);
    if (path === undefined) return;
    const entry = tree.get(path)!;
    tree.delete(path);
    const content = isText(entry) && this.#dice.oneIn(2) ? this.#edited(entry.content) : entry.content;
    const isElsewhere = this.#dice.oneIn(3);
    tree.set(isElsewhere ? `lib${this.#count++}/${path.split('/').at(-1)}` : this.#freshName(used), {
      ...entry,
      content,
    });
  }

  #take(tree: Tree, used: Set<string>, fits: (entry: Entry) => boolean): string | undefined {
    const free = [...tree].filter(([path, entry]) => !used.has(path) && fits(entry)).map(([path]) => path);
    const path = free.length === 0 ? undefined : this.#dice.pick(free);
    if (path !== undefined) used.add(path);
    return path;
  }

  #freshName(used: Set<string>): string {
    const n = this.#count++;
    const names = [`new-${n}.txt`, `src/fresh-${n}.ts`, `docs/fresh ${n}.md`, `src/deep/nested/more/f${n}.py`];
    const odd = [`docs/"${n}".txt`, `docs/tab\t${n}.txt`, `ümläut/ß${n}.txt`, `brand new ${n}/x.txt`, `fresh${n}/y.c`];
    const name = this.#dice.pick(this.#dice.oneIn(3) ? odd : names);
    used.add(name);
    return name;
  }

  #text({ end = '', lastIsWhole = true, odd = false } = {}): Buffer {
    const lines: string[] = [];
    const target = 12 + this.#dice.below(50);
    while (lines.length < target) lines.push(...(this.#dice.oneIn(6) ? BLOCK : [this.#line(odd)]));
    return contentOf({ lines: lines.map((line) => `${line}${end}`), lastIsWhole });
  }

  #line(odd = false): string {
    if (odd && this.#dice.oneIn(2)) return this.#dice.pick(ODD_LINES);
    if (this.#dice.oneIn(12)) return this.#dice.pick([...ODD_LINES, ...LATIN_1, ...UTF_8]);
    return `${' '.repeat(2 * this.#dice.below(3))}value ${this.#dice.below(100_000)} = ${this.#dice.below(10)};`;
  }

  #edited(content: Buffer): Buffer {
    const { lines, lastIsWhole } = textOf(content);
    const end = lines[0]?.endsWith('\r') ? '\r' : '';
    for (let edits = 1 + this.#dice.below(4); edits > 0; edits -= 1) {
      const fresh = Array.from({ length: this.#dice.below(4) }, () => `${this.#line(this.#dice.oneIn(4))}${end}`);
      const at = this.#dice.below(lines.length + 1);
      lines.splice(at, this.#dice.below(4), ...(this.#dice.oneIn(8) ? BLOCK.map((line) => `${line}${end}`) : fresh));
    }
    const edited = contentOf({ lines, lastIsWhole });
    return edited.length === 0 || edited.equals(content) ? this.#edited(content) : edited;
  }

  #bytes(): Buffer {
    return Buffer.from(
      Array.from({ length: 40 + this.#dice.below(400) }, (_, n) => (n === 3 ? 0 : this.#dice.below(256))),
    );
  }
}

type Action = (this: ChangeMaker, tree: Map<string, Entry>, used: Set<string>) => void;
const { edit, create, rename, convert, emptyOut } = ChangeMaker.prototype;
const { changeMode, changeHollow, changeLink, changeBinary, reshape, renameAny } = ChangeMaker.prototype;
const TEXT_ACTIONS: readonly Action[] = [
  ...[edit, create, edit, edit, rename, edit, convert, edit, create, emptyOut, edit, ChangeMaker.prototype.delete],
];
const GIT_ACTIONS: readonly Action[] = [changeMode, changeHollow, changeLink, changeBinary, reshape, renameAny];
