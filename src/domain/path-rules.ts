import { hasPortableName, namesGitFolder, staysInside } from '../contract/fields.ts';
import { pathMatcher } from '../contract/glob.ts';
import { POLICY_PATH, type Policy } from '../contract/policy.ts';
import type { Reason, ReasonName } from '../contract/reasons.ts';
import type { PatchState } from '../contract/states.ts';
import { pathToBytes } from '../lib/byte-path.ts';

export interface ChangedPath {
  path: string;
  /** Mode after the change; null for a deletion. 120000 is a symbolic link, 160000 an embedded repository. */
  mode: string | null;
  /** Mode before the change; null for a new file. */
  oldMode: string | null;
  /** Target of a symbolic link, once it was read. */
  linkTarget?: string | undefined;
}

export interface ChangeFacts {
  paths: readonly ChangedPath[];
  sizeBytes: number;
  binary: boolean;
  holdsSecret: boolean;
  /** A path that Git LFS tracks (`filter=lfs`) and whose content is not an LFS pointer. */
  lfsPath?: string | undefined;
  /** Why the policy that the change would give the branch is invalid. */
  policyError?: string | undefined;
}

export interface Refusal {
  reason: Reason;
  evidence: Readonly<Record<string, unknown>>;
}

const SUBMODULE = '160000';

/** A path as a change names it; `isNew`: the branch has no file of this name yet. */
export interface NamedPath {
  path: string;
  isNew: boolean;
}

/**
 * Refuses paths outside the tree, paths into `.git`, and names that other systems read differently. A name of the last
 * kind that the branch already has may be changed and removed.
 */
export function unsafePath(paths: readonly NamedPath[]): Refusal | undefined {
  const bad = paths.find(({ path, isNew }) => !staysInside(path) || (isNew && !hasPortableName(path)));
  return bad === undefined ? undefined : { reason: 'unsafe_path', evidence: { path: bad.path } };
}

/** Returns why a change may not be staged, or undefined. The fixed order gives a change always the same reason. */
export function refusalOf(
  change: ChangeFacts,
  rules: { policy: Policy; scope: readonly string[] | null; approved: boolean },
): Refusal | undefined {
  const paths = change.paths.map(({ path }) => path);
  const unsafe = unsafePath(change.paths.map(({ path, oldMode }) => ({ path, isNew: oldMode === null })));
  if (unsafe !== undefined) return unsafe;
  const submodule = change.paths.find(({ oldMode }) => oldMode === SUBMODULE);
  if (submodule !== undefined) return { reason: 'submodule_entry', evidence: { path: submodule.path } };
  const embedded = change.paths.find(({ mode }) => mode === SUBMODULE);
  if (embedded !== undefined) return { reason: 'embedded_repository', evidence: { path: embedded.path } };
  const uncheckable = cannotBeCheckedOut(change.paths);
  if (uncheckable !== undefined) return uncheckable;
  if (change.policyError !== undefined) return { reason: 'policy_invalid', evidence: { messages: change.policyError } };
  if (change.lfsPath !== undefined) return { reason: 'lfs_content', evidence: { path: change.lfsPath } };
  const escaping = change.paths.find(leavesTree);
  if (escaping !== undefined) {
    return { reason: 'link_leaves_tree', evidence: { path: escaping.path, target: escaping.linkTarget } };
  }
  if (change.holdsSecret) return { reason: 'holds_secret', evidence: {} };
  if (rules.scope !== null) {
    const inScope = pathMatcher(rules.scope);
    const outside = paths.filter((path) => !inScope(path));
    if (outside.length > 0) {
      return { reason: 'out_of_scope', evidence: { paths: outside.slice(0, 50), scope: rules.scope } };
    }
  }
  if (rules.approved) return undefined;
  const isProtected = pathMatcher([...rules.policy.protected, POLICY_PATH], { anyCase: true });
  const touched = paths.filter(isProtected);
  if (touched.length > 0) return { reason: 'protected_path', evidence: { paths: touched.slice(0, 50) } };
  return overLimit(change, rules.policy);
}

/** Limits of file systems: one part of a name, a path (512 bytes are left for the slot's folder), a link's target. */
const MAX_PART_BYTES = 255;
const MAX_PATH_BYTES = 4_095 - 512;
const MAX_TARGET_BYTES = 4_095;

/**
 * Refuses names and links that git stores but no checkout can create, because every gate on such a tree would be lost.
 */
function cannotBeCheckedOut(paths: readonly ChangedPath[]): Refusal | undefined {
  for (const { path, mode, linkTarget } of paths) {
    if (mode === null) continue;
    const bytes = pathToBytes(path);
    const longPart = path.split('/').some((part) => pathToBytes(part).length > MAX_PART_BYTES);
    const problem = longPart
      ? `a part of its name has more than ${MAX_PART_BYTES} bytes`
      : bytes.length > MAX_PATH_BYTES
        ? `its path has more than ${MAX_PATH_BYTES} bytes`
        : linkProblem(linkTarget);
    if (problem !== undefined) {
      const shown = path.slice(0, MAX_PART_BYTES);
      return { reason: 'cannot_be_checked_out', evidence: { path: shown, messages: `${shown}: ${problem}` } };
    }
  }
  return undefined;
}

function linkProblem(target: string | undefined): string | undefined {
  if (target === '') return 'it is a link that points to nothing';
  const isLong = target !== undefined && Buffer.byteLength(target) > MAX_TARGET_BYTES;
  return isLong ? `it is a link whose target has more than ${MAX_TARGET_BYTES} bytes` : undefined;
}

/** Reasons that an operator may waive for one patch, by approving it. */
const APPROVABLE_REASONS = [
  'protected_path',
  'too_many_files',
  'too_large',
  'binary_content',
] as const satisfies readonly ReasonName[];

/** The only reason with which a quarantined patch waits for an approval. */
export const WAITS_FOR_APPROVAL = 'protected_path' satisfies ReasonName;

interface StoppedPatch {
  state: PatchState;
  reason?: string | null | undefined;
  commit_id?: string | null | undefined;
}

/**
 * True when an operator may let a quarantined patch land. A patch without a commit was never checked, so there is no
 * content to approve.
 */
export function mayBeApproved({ state, reason, commit_id }: StoppedPatch): boolean {
  const waivable = (APPROVABLE_REASONS as readonly (string | null | undefined)[]).includes(reason);
  return state === 'QUARANTINED' && commit_id != null && waivable;
}

/**
 * True when a patch waits for an operator's approval, and its task with it, because another attempt would change
 * nothing. A patch over a limit is no such wait: its tool is told, and may make a smaller change.
 */
export function awaitsApproval(patch: StoppedPatch): boolean {
  return patch.reason === WAITS_FOR_APPROVAL && mayBeApproved(patch);
}

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
 * True when a link leads out of the tree. Its target must be relative, with `..` only at its start and only up to the
 * top: after a part that is a link itself, `..` would lead elsewhere.
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

/** Returns `patches.file_path`: the only path of a patch, else the folder common to all (`.` for the top). */
export function commonPath(paths: readonly string[]): string | null {
  if (paths.length <= 1) return paths[0] ?? null;
  const folders = paths.map((path) => path.split('/').slice(0, -1));
  const shared = folders.reduce((common, folder) => {
    const until = common.findIndex((part, index) => part !== folder[index]);
    return until === -1 ? common : common.slice(0, until);
  });
  return shared.length === 0 ? '.' : shared.join('/');
}
