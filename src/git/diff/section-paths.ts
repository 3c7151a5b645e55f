import { pathFromBytes } from '../../lib/byte-path.ts';
import { DEV_NULL, type FileSection } from './diff-model.ts';
import { differInPrefix, stripFolders } from './header-name.ts';

/** The effect of a section on paths of the repository. */
export type SectionPaths =
  | { kind: 'modified'; path: string }
  | { kind: 'new'; path: string }
  | { kind: 'deleted'; path: string }
  | { kind: 'renamed' | 'copied'; from: string; to: string };

export type ResolvedPaths = SectionPaths | { problem: string; path: string };

/**
 * Returns the paths of a section after `strip` leading folders are removed. When a plain diff gives several names, GNU
 * patch's rule decides: names that exist first, then the shortest.
 */
export function resolvePaths(section: FileSection, strip: number, exists: (path: string) => boolean): ResolvedPaths {
  const { moved } = section;
  if (moved !== undefined) return movedPaths(moved, strip, exists);
  const { old, fresh } = namesOf(section);
  const [oldPath, newPath] = [stripped(old, strip), stripped(fresh, strip)];
  const shown = pathOf(fresh ?? old ?? '');
  if (isNew(section)) {
    if (newPath === undefined) return { problem: `has no ${strip} folders to strip`, path: shown };
    return { kind: 'new', path: newPath };
  }
  const candidates = [oldPath, newPath, stripped(section.indexName, strip)].filter((path) => path !== undefined);
  if (candidates.length === 0) return { problem: `has no ${strip} folders to strip`, path: shown };
  const path = shortest(candidates.filter(exists));
  if (path !== undefined) return { kind: isDeleted(section) ? 'deleted' : 'modified', path };
  // GNU patch creates a file from a hunk without old lines.
  if (showsNoOldLine(section) && newPath !== undefined && !isDeleted(section)) return { kind: 'new', path: newPath };
  return { problem: 'does not exist', path: oldPath ?? newPath ?? shown };
}

/** Returns every name in a header, to show which paths a refused patch would have touched. */
export function namesIn(section: FileSection): string[] {
  const { old, fresh } = namesOf(section);
  const { moved } = section;
  const names = moved === undefined ? [old, fresh] : [moved.from, moved.to];
  return names.filter((name) => name !== undefined && name !== '').map((name) => pathOf(name!));
}

function movedPaths(
  { kind, from, to }: NonNullable<FileSection['moved']>,
  strip: number,
  exists: (path: string) => boolean,
): ResolvedPaths {
  // Names of a rename or copy never carry the prefixes `a/` and `b/`.
  const [source, target] = [from, to].map((name) => stripped(name, Math.max(strip - 1, 0)));
  if (source === undefined || target === undefined) {
    return { problem: `has no ${strip} folders to strip`, path: pathOf(source === undefined ? from : to) };
  }
  if (!exists(source)) return { problem: 'does not exist', path: source };
  return { kind: kind === 'rename' ? 'renamed' : 'copied', from: source, to: target };
}

/** Returns the names before stripping; undefined where the header says that there is no such file. */
export function namesOf({ gitNames, oldName, newName, declared }: FileSection): {
  old: string | undefined;
  fresh: string | undefined;
} {
  const git = gitNames === undefined || gitNames === 'unclear' ? undefined : gitNames;
  const old = oldName?.name ?? (declared === 'new' ? undefined : git?.old);
  const fresh = newName?.name ?? (declared === 'deleted' ? undefined : git?.new);
  return { old: old === DEV_NULL ? undefined : old, fresh: fresh === DEV_NULL ? undefined : fresh };
}

function isNew(section: FileSection): boolean {
  const { declared, oldName } = section;
  if (declared === 'new' || oldName?.name === DEV_NULL) return true;
  return oldName?.epoch === true && showsNoOldLine(section);
}

function isDeleted(section: FileSection): boolean {
  const { declared, newName, hunks } = section;
  if (declared === 'deleted' || newName?.name === DEV_NULL) return true;
  const keepsNothing = hunks.length === 1 && hunks[0]!.lines.every(({ kind }) => kind === 'removed');
  return newName?.epoch === true && keepsNothing;
}

function showsNoOldLine({ hunks }: FileSection): boolean {
  return hunks.length === 1 && hunks[0]!.oldStart === 0 && hunks[0]!.lines.every(({ kind }) => kind === 'added');
}

/** Returns what the headers alone say about prefixes, independent of the branch. */
export function prefixEvidence(sections: readonly FileSection[]): 'prefixed' | 'bare' | undefined {
  const told = sections.map(prefixOf);
  return told.find((evidence) => evidence === 'prefixed') ?? told.find((evidence) => evidence === 'bare');
}

function prefixOf(section: FileSection): 'prefixed' | 'bare' | undefined {
  const { gitNames, moved } = section;
  const { old, fresh } = namesOf(section);
  // `rename from` never carries a prefix, so an equal name has none either.
  if (moved !== undefined) return old === undefined ? undefined : old === moved.from ? 'bare' : 'prefixed';
  if (old !== undefined && fresh !== undefined && differInPrefix({ old, new: fresh })) return 'prefixed';
  if (typeof gitNames !== 'object') return undefined;
  // git writes two different prefixes, or none.
  return gitNames.old === gitNames.new ? 'bare' : 'prefixed';
}

/** GNU patch's order: fewest folders, then the shortest file name, then the shortest path. */
function shortest(paths: readonly string[]): string | undefined {
  const rank = (path: string): [number, number, number] => {
    const parts = path.split('/');
    return [parts.length, parts.at(-1)!.length, path.length];
  };
  return paths.toSorted((a, b) => {
    const [left, right] = [rank(a), rank(b)];
    return left[0] - right[0] || left[1] - right[1] || left[2] - right[2];
  })[0];
}

function stripped(name: string | undefined, strip: number): string | undefined {
  const left = name === undefined ? undefined : stripFolders(name, strip);
  return left === undefined ? undefined : pathOf(left);
}

function pathOf(name: string): string {
  return pathFromBytes(Buffer.from(name, 'latin1'));
}
