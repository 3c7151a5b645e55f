import { randomUUID } from 'node:crypto';
import { SluiceError } from '../contract/errors.ts';
import { Conversation, type Reading } from '../lib/conversation.ts';
import type { Git, GitCall } from './run-git.ts';

export interface ObjectInfo {
  id: string;
  type: string;
}

const TIMEOUT_MS = 60_000;
const NUL = 0;
const MERGE = ['merge-tree', '--write-tree', '--stdin', '--messages'];

/**
 * Long-running git processes of one repository: look up objects, merge, compare trees and move references without
 * starting a process for each call.
 */
export class LongLivedGit {
  readonly #objects: Conversation;
  readonly #talk: (args: readonly string[], workTree?: string) => Conversation;
  #merges: { attributes: string | undefined; conversation: Conversation };
  readonly #diffs: Conversation;
  readonly #references: Conversation;

  constructor(git: Git, place: Pick<GitCall, 'gitDir' | 'objectDir'>) {
    this.#talk = (args, workTree) =>
      new Conversation({
        ...git.commandOf({ args, ...place, ...(workTree === undefined ? {} : { workTree }) }),
        timeoutMs: TIMEOUT_MS,
      });
    this.#objects = this.#talk(['cat-file', '--batch-command']);
    this.#merges = { attributes: undefined, conversation: this.#talk(MERGE) };
    this.#diffs = this.#talk(['diff-tree', '--stdin', '-r', '-z', '--raw', '--no-renames']);
    this.#references = this.#talk(['update-ref', '--stdin']);
  }

  /** Returns undefined when there is no such object. */
  async info(name: string): Promise<ObjectInfo | undefined> {
    const line = await ask(this.#objects, `info ${oneLine(name)}\n`, (answer) => {
      const end = answer.indexOf('\n');
      return end === -1 ? undefined : { value: answer.toString('utf8', 0, end) };
    });
    return parseInfo(line);
  }

  /** Returns the content of an object; undefined when there is no such object. */
  async content(name: string): Promise<{ type: string; content: Buffer } | undefined> {
    return ask(this.#objects, `contents ${oneLine(name)}\n`, (answer) => {
      const end = answer.indexOf('\n');
      if (end === -1) return undefined;
      const head = answer.toString('utf8', 0, end);
      const known = parseInfo(head);
      if (known === undefined) return { value: undefined };
      const start = end + 1;
      const size = Number(head.split(' ')[2]);
      if (answer.length < start + size + 1) return { neededBytes: start + size + 1 };
      return { value: { type: known.type, content: Buffer.from(answer.subarray(start, start + size)) } };
    });
  }

  /**
   * Merges two commits. `attributes` is a folder with the `.gitattributes` files that apply, because a bare repository
   * has no work tree to read them from.
   */
  async merge({
    ours,
    theirs,
    attributes,
  }: {
    ours: string;
    theirs: string;
    attributes: string | undefined;
  }): Promise<{ clean: boolean; tree: string }> {
    if (this.#merges.attributes !== attributes) {
      // git caches the attributes that it has read, so other attributes need a new process.
      this.#merges.conversation.close();
      this.#merges = { attributes, conversation: this.#talk(MERGE, attributes) };
    }
    // git flushes an answer only when it has messages to look for, and then without the last byte. A merge of `ours`
    // with itself has a known answer, which marks where the messages of the first merge end.
    const end = Buffer.from(`1\0${await this.#treeOf(ours)}\0\0`);
    return ask(this.#merges.conversation, `${ours} ${theirs}\n${ours} ${ours}\n`, (answer) => {
      const start = answer[0] === NUL ? 1 : 0;
      const tail = answer.subarray(start);
      const complete = tail.length > 2 * end.length && (endsWith(tail, end) || endsWith(tail.subarray(0, -1), end));
      if (!complete) return undefined;
      const [status, tree] = tail.toString('utf8').split('\0');
      // git-merge-tree, OUTPUT: the status is the opposite of the exit status, 1 is clean.
      return { value: { clean: status === '1', tree: tree! } };
    });
  }

  /** Compares two trees or commits. Returns `:oldmode newmode oldblob newblob status NUL path NUL`, repeated. */
  async compare(from: string, to: string): Promise<Buffer> {
    const [fromTree, toTree] = await Promise.all([this.#treeOf(from), this.#treeOf(to)]);
    // git echoes a line that is no pair of trees, so this line marks the end of the answer.
    const end = Buffer.from(`end-${randomUUID()}\n`);
    const header = Buffer.from(`${fromTree} ${toTree}\n`);
    const bytes = await ask(this.#diffs, `${header}${end}`, (answer) =>
      endsWith(answer, end) ? { value: Buffer.from(answer.subarray(0, -end.length)) } : undefined,
    );
    return bytes.subarray(0, header.length).equals(header) ? bytes.subarray(header.length) : bytes;
  }

  /** Throws `git.failed` when another git process holds the lock of the reference. */
  async moveReference(name: string, commit: string): Promise<void> {
    const end = Buffer.from('commit: ok\n');
    await ask(this.#references, `start\nupdate ${oneLine(name)} ${oneLine(commit)}\ncommit\n`, (answer) =>
      endsWith(answer, end) ? { value: undefined } : undefined,
    );
  }

  async #treeOf(name: string): Promise<string> {
    const tree = await this.info(`${name}^{tree}`);
    if (tree === undefined) throw new SluiceError('git.failed', `there is no tree ${name}`);
    return tree.id;
  }

  close(): void {
    for (const each of [this.#objects, this.#merges.conversation, this.#diffs, this.#references]) each.close();
  }
}

async function ask<T>(conversation: Conversation, text: string, read: (answer: Buffer) => Reading<T>): Promise<T> {
  try {
    return await conversation.ask(text, read);
  } catch (cause) {
    throw new SluiceError('git.failed', `git: ${(cause as Error).message}`, { cause });
  }
}

/** `<id> <type> <size>`, or `<name> missing`. */
function parseInfo(line: string): ObjectInfo | undefined {
  const match = /^([0-9a-f]{40,64}) (commit|tree|blob|tag) \d+$/.exec(line);
  return match === null ? undefined : { id: match[1]!, type: match[2]! };
}

function endsWith(text: Buffer, end: Buffer): boolean {
  return text.length >= end.length && text.subarray(-end.length).equals(end);
}

function oneLine(name: string): string {
  if (!/[\n\0]/.test(name)) return name;
  throw new SluiceError('internal.error', 'the name of a git object contains a line break');
}
