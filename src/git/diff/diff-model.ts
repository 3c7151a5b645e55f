/** One line of a hunk. `text` holds its bytes as Latin-1, with the newline unless the file ends there without one. */
export interface HunkLine {
  kind: 'context' | 'removed' | 'added';
  text: string;
}

export interface Hunk {
  /** Line of the input at which the hunk begins, from 1. */
  line: number;
  /** Line of the old file that the header names, from 1; with no old lines, the line after which it inserts. */
  oldStart: number;
  lines: HunkLine[];
}

/** A file name as a header line gives it, before folders are stripped. */
export interface HeaderName {
  /** Bytes as Latin-1. */
  name: string;
  /** True when the date behind it is the epoch: GNU diff writes that for a file that does not exist. */
  epoch: boolean;
  /** True for svn's "(nonexistent)", which other tools do not read. */
  nonexistent: boolean;
}

export interface BinaryContent {
  kind: 'literal' | 'delta';
  sizeBytes: number;
  /** Base85 lines as they stand in the input. */
  lines: string[];
}

/** Everything that a diff says of one file. */
export interface FileSection {
  /** Line of the input at which its header begins, from 1. */
  line: number;
  /** Names of a `diff --git` line; undefined for a plain or context diff. Empty where that line cannot be split. */
  gitNames: { old: string; new: string } | 'unclear' | undefined;
  /** Of an extended git header, the kinds of lines that it has: each may stand there once. */
  headerLines: Set<string>;
  /** `--- ` and `+++ ` (`*** ` and `--- ` in a context diff). */
  oldName: HeaderName | undefined;
  newName: HeaderName | undefined;
  /** `Index: ` before a plain diff. */
  indexName: string | undefined;
  moved: { kind: 'rename' | 'copy'; from: string; to: string } | undefined;
  /** `new file mode` and `deleted file mode` of a git header. */
  declared: 'new' | 'deleted' | undefined;
  oldMode: string | undefined;
  newMode: string | undefined;
  /** Object ids of the `index` line, as far as they are spelled out. */
  blobs: { old: string; new: string } | undefined;
  hunks: Hunk[];
  binary: BinaryContent | undefined;
  /** True when its header lines end in a carriage return: the diff went through a system that writes CRLF. */
  carriageReturns: boolean;
}

/** What was changed in a diff so that it could be read; each is told in the patch's evidence. */
export interface RepairNotes {
  newline_added?: true;
  blank_lines_added?: number;
  byte_order_mark_removed?: true;
}

export interface ReadDiff {
  sections: FileSection[];
  repairs: RepairNotes;
}

export const DEV_NULL = '/dev/null';

/** The diff breaks its own form. The message names the line and what was expected there. */
export class MalformedDiff extends Error {
  readonly line: number;

  constructor(line: number, expected: string) {
    super(`line ${line}: ${expected}`);
    this.line = line;
  }
}

/** A cursor over the lines of a diff. */
export class DiffLines {
  readonly lines: readonly string[];
  at = 0;
  #carriageReturns: boolean | undefined;

  constructor(lines: readonly string[]) {
    this.lines = lines;
  }

  get done(): boolean {
    return this.at >= this.lines.length;
  }

  /** Number of the current line, from 1. */
  get number(): number {
    return this.at + 1;
  }

  /** The current line or one further on; undefined beyond the end. */
  peek(ahead = 0): string | undefined {
    return this.lines[this.at + ahead];
  }

  /** Takes a line that names a file or its kind. All of them must end alike: what wrote CRLF wrote it everywhere. */
  takeHeader(): string {
    const { number } = this;
    const line = this.take();
    const carriageReturn = line.endsWith('\r');
    this.#carriageReturns ??= carriageReturn;
    if (this.#carriageReturns !== carriageReturn) {
      throw new MalformedDiff(number, 'this header line ends in another way (CRLF or LF) than those before it');
    }
    return line;
  }

  take(): string {
    const line = this.lines[this.at] ?? '';
    this.at += 1;
    return line;
  }
}
