/** One line of a hunk. `text` holds its bytes as Latin-1, and its newline unless the file ends there without one. */
export interface HunkLine {
  kind: 'context' | 'removed' | 'added';
  text: string;
}

export interface Hunk {
  /** Line of the input at which the hunk starts, from 1. */
  line: number;
  /** Line of the old file in the hunk header, from 1. For a hunk without old lines, the line that it inserts after. */
  oldStart: number;
  lines: HunkLine[];
}

/** A file name from a header line, before folders are stripped. */
export interface HeaderName {
  /** Bytes as Latin-1. */
  name: string;
  /** True when the date after it is the epoch: GNU diff writes that for a file that does not exist. */
  epoch: boolean;
  /** True for svn's "(nonexistent)", which other tools do not understand. */
  nonexistent: boolean;
}

export interface BinaryContent {
  kind: 'literal' | 'delta';
  sizeBytes: number;
  /** Base85 lines as in the input. */
  lines: string[];
}

/** The part of a diff that concerns one file. */
export interface FileSection {
  /** Line of the input at which its header starts, from 1. */
  line: number;
  /** Names of a `diff --git` line; `unclear` when that line cannot be split; undefined for a plain or context diff. */
  gitNames: { old: string; new: string } | 'unclear' | undefined;
  /** Kinds of lines that an extended git header has; each may occur once. */
  headerLines: Set<string>;
  /** Names of the `--- ` and `+++ ` lines (`*** ` and `--- ` in a context diff). */
  oldName: HeaderName | undefined;
  newName: HeaderName | undefined;
  /** Name of the `Index: ` line before a plain diff. */
  indexName: string | undefined;
  moved: { kind: 'rename' | 'copy'; from: string; to: string } | undefined;
  /** From `new file mode` or `deleted file mode` of a git header. */
  declared: 'new' | 'deleted' | undefined;
  oldMode: string | undefined;
  newMode: string | undefined;
  /** Object ids of the `index` line, often abbreviated. */
  blobs: { old: string; new: string } | undefined;
  hunks: Hunk[];
  binary: BinaryContent | undefined;
  /** True when its header lines end in a carriage return because a system that writes CRLF converted the diff. */
  carriageReturns: boolean;
}

/** Repairs that made a diff readable; each is recorded in the patch's evidence. */
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

/** Thrown for a diff that breaks its own format. The message names the line and what was expected there. */
export class MalformedDiff extends Error {
  readonly line: number;

  constructor(line: number, expected: string) {
    super(`line ${line}: ${expected}`);
    this.line = line;
  }
}

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

  /** Returns the current line or one further on; undefined beyond the end. */
  peek(ahead = 0): string | undefined {
    return this.lines[this.at + ahead];
  }

  /** Takes a header line. All of them must end alike, because a conversion to CRLF changes every line. */
  takeHeader(): string {
    const { number } = this;
    const line = this.take();
    const carriageReturn = line.endsWith('\r');
    this.#carriageReturns ??= carriageReturn;
    if (this.#carriageReturns !== carriageReturn) {
      throw new MalformedDiff(number, 'this header line ends differently (CRLF or LF) from the header lines before it');
    }
    return line;
  }

  take(): string {
    const line = this.lines[this.at] ?? '';
    this.at += 1;
    return line;
  }
}
