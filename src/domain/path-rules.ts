import picomatch from 'picomatch';
import { isInsidePath, namesGitFolder } from '../contract/fields.ts';
import { POLICY_PATH, type Policy } from '../contract/policy.ts';

export interface ChangedPath {
  path: string;
  /** Mode after the change; null for a deletion. 120000 is a symbolic link, 160000 an embedded repository. */
  mode: string | null;
  /** Where a symbolic link points, once known. */
  linkTarget?: string;
}

export interface ChangeFacts {
  paths: readonly ChangedPath[];
  sizeBytes: number;
  binary: boolean;
  holdsSecret: boolean;
}

export interface Refusal {
  reason: string;
  evidence: Readonly<Record<string, unknown>>;
}

export type PathMatcher = (path: string) => boolean;

/** `**` crosses folders, dot files count, matching is by the whole path, line breaks in it included. */
export function matcher(globs: readonly string[]): PathMatcher {
  if (globs.length === 0) return () => false;
  return picomatch(globs.map(withoutGroups), { dot: true, nonegate: true, noextglob: true, flags: 's' });
}

/** Parentheses, bars and pluses stand for themselves: picomatch would hand them to the regular expression as they are. */
function withoutGroups(glob: string): string {
  return glob.replaceAll(/[()|+]/g, (character) => `\\${character}`);
}

/** The path rules that hold before git sees anything: inside the tree, no `.git`, nothing odd. */
export function unsafePath(paths: readonly string[]): Refusal | undefined {
  const bad = paths.find((path) => !isInsidePath(path));
  return bad === undefined ? undefined : { reason: 'unsafe_path', evidence: { path: bad } };
}

/** Why a change may not wait to land, or undefined. The order is fixed, so that one change always gets one reason. */
export function refusalOf(
  change: ChangeFacts,
  rules: { policy: Policy; scope: readonly string[] | null; approved: boolean },
): Refusal | undefined {
  const paths = change.paths.map(({ path }) => path);
  const unsafe = unsafePath(paths);
  if (unsafe !== undefined) return unsafe;
  const embedded = change.paths.find(({ mode }) => mode === '160000');
  if (embedded !== undefined) return { reason: 'embedded_repository', evidence: { path: embedded.path } };
  const escaping = change.paths.find(leavesTree);
  if (escaping !== undefined) {
    return { reason: 'link_leaves_tree', evidence: { path: escaping.path, target: escaping.linkTarget } };
  }
  if (change.holdsSecret) return { reason: 'holds_secret', evidence: {} };
  if (rules.scope !== null) {
    const inScope = matcher(rules.scope);
    const outside = paths.filter((path) => !inScope(path));
    if (outside.length > 0) {
      return { reason: 'out_of_scope', evidence: { paths: outside.slice(0, 50), scope: rules.scope } };
    }
  }
  if (rules.approved) return undefined;
  const isProtected = matcher([...rules.policy.protected, POLICY_PATH]);
  const touched = paths.filter(isProtected);
  if (touched.length > 0) return { reason: 'protected_path', evidence: { paths: touched.slice(0, 50) } };
  return overLimit(change, rules.policy);
}

/** Reasons that an operator may waive for one patch, by approving it. */
export const APPROVABLE_REASONS = ['protected_path', 'too_many_files', 'too_large', 'binary_content'] as const;

function overLimit(change: ChangeFacts, { limits }: Policy): Refusal | undefined {
  if (change.paths.length > limits.max_files) {
    return { reason: 'too_many_files', evidence: { files: change.paths.length, max_files: limits.max_files } };
  }
  if (change.sizeBytes > limits.max_bytes) {
    return { reason: 'too_large', evidence: { size_bytes: change.sizeBytes, max_bytes: limits.max_bytes } };
  }
  if (change.binary && !limits.allow_binary) return { reason: 'binary_content', evidence: {} };
  return undefined;
}

/**
 * A link may point anywhere inside the tree: relative, going up first and only as far as the top. Going up later would mean
 * something else when a part on the way is a link itself.
 */
function leavesTree({ path, mode, linkTarget }: ChangedPath): boolean {
  if (mode !== '120000' || linkTarget === undefined) return false;
  if (linkTarget.startsWith('/') || linkTarget.includes('\0')) return true;
  const parts = linkTarget.split('/').filter((part) => part !== '' && part !== '.');
  const ups = parts.findIndex((part) => part !== '..');
  const climbs = ups === -1 ? parts.length : ups;
  const rest = parts.slice(climbs);
  return climbs > path.split('/').length - 1 || rest.includes('..') || rest.some(namesGitFolder);
}

/** `patches.file_path`: the one path a patch touches, else the folder that all have in common (`.` for the top). */
export function commonPath(paths: readonly string[]): string | null {
  if (paths.length <= 1) return paths[0] ?? null;
  const folders = paths.map((path) => path.split('/').slice(0, -1));
  const shared = folders.reduce((common, folder) => {
    const until = common.findIndex((part, index) => part !== folder[index]);
    return until === -1 ? common : common.slice(0, until);
  });
  return shared.length === 0 ? '.' : shared.join('/');
}
