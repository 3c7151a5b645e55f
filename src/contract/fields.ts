import { z } from 'zod';
import { globProblem } from './glob.ts';

/** Limits of what callers may send. */
export const LIMITS = {
  bodyBytes: 64 * 1024 * 1024,
  patchBytes: 32 * 1024 * 1024,
  tasksPerRun: 100_000,
  nameLength: 200,
  messageLength: 20_000,
  timeoutSeconds: 7 * 24 * 3600,
} as const;

export const name = z
  .string()
  .min(1)
  .max(LIMITS.nameLength)
  .regex(/^[^\p{Cc}]*$/u, 'must not hold control characters');

export const identifier = z
  .string()
  .max(100)
  .regex(/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/, 'letters, digits, dot, dash and underscore, starting with a letter or digit');

export const seconds = z.number().int().positive().max(LIMITS.timeoutSeconds);
/** Fits in a column of 4 bytes; the database would refuse a larger number without naming its path. */
export const count = z.number().int().positive().max(1_000_000_000);
export const priority = z.number().int().min(-1_000_000).max(1_000_000);
export const usd = z.number().positive().max(1_000_000);
export const argv = z.array(z.string()).min(1).max(1_000);
export const globs = z
  .array(
    z
      .string()
      .min(1)
      .max(500)
      .superRefine((glob, context) => {
        const problem = glob.length > 500 ? undefined : globProblem(glob);
        if (problem !== undefined) context.addIssue({ code: 'custom', message: problem });
      }),
  )
  .max(1_000);
export const variableName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'not a name of an environment variable');
export const commit = z
  .string()
  .regex(/^[0-9a-f]{40}([0-9a-f]{24})?$/, 'a full commit id, 40 or 64 hexadecimal digits');

/** A name that `git check-ref-format` allows below refs/heads, such as `release/1.x`. It never looks like an option. */
export const branch = z.string().min(1).max(250).refine(isBranchName, 'not a branch name that git allows');

function isBranchName(text: string): boolean {
  if (/[\p{Cc} ~^:?*[\\]|\.\.|@\{|\/\/|^[-/]|[/.]$/u.test(text) || text === '@') return false;
  return text.split('/').every((part) => !part.startsWith('.') && !part.endsWith('.lock'));
}

/** A path inside a repository as callers write it: relative, forward slashes, never leaving, never `.git`. */
export const relativePath = z.string().min(1).max(4_096).refine(isInsidePath, 'not a path inside the repository');

/** True for paths that a change may create: inside the repository, with a name that every system can store. */
export function isInsidePath(text: string): boolean {
  return staysInside(text) && hasPortableName(text);
}

/** True for relative paths without empty parts, `.`, `..` and names that a file system may take for `.git`. */
export function staysInside(text: string): boolean {
  if (text.includes('\0') || text.startsWith('/')) return false;
  return text.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !namesGitFolder(part));
}

/**
 * False for names with a backslash, which is a separator on other systems, or with text that is not UTF-8 (U+FFFD, or a
 * lone surrogate).
 */
export function hasPortableName(text: string): boolean {
  return !/[\\\uFFFD]/.test(text) && text.isWellFormed();
}

/** Longer parts are refused because of their length; examining them here would only cost time. */
const LONGEST_PART = 1_024;

/**
 * True for names that some file system takes for `.git`: any case, trailing dots and spaces, ignorable characters, its
 * short name, and streams of it (`.git:x`).
 */
export function namesGitFolder(part: string): boolean {
  if (part.length > LONGEST_PART) return false;
  const visible = part.replaceAll(/[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g, '');
  const [stream] = visible.split(':', 1);
  let end = stream!.length;
  while (end > 0 && ' .'.includes(stream![end - 1]!)) end -= 1;
  const read = stream!.slice(0, end).toLowerCase();
  return read === '.git' || read === 'git~1';
}
