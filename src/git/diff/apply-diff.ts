import type { ObjectFormat } from '../object-store.ts';
import type { TreeDraft } from '../tree-draft.ts';
import { applySection, type SectionNotes, type SectionProblem } from './apply-section.ts';
import type { FileSection } from './diff-model.ts';
import { withoutFirstFolder } from './header-name.ts';
import { namesOf, prefixEvidence, resolvePaths } from './section-paths.ts';

export interface ApplyOptions {
  /** Number of leading folders to strip; undefined to decide as git and patch do. */
  strip: number | undefined;
  /** True when the caller named the base, so that line numbers are exact. */
  exact: boolean;
  format: ObjectFormat;
}

export type AppliedDiffs =
  | { ok: true; draft: TreeDraft; strip: number; notes: SectionNotes[] }
  | { ok: false; reason: SectionProblem['reason'] | 'ambiguous_paths'; evidence: Record<string, unknown> };

const MAX_CONTENT_BYTES = 128 * 1024 * 1024;

type Attempt =
  | { ok: true; draft: TreeDraft; strip: number; notes: SectionNotes[] }
  | { ok: false; problem: SectionProblem };

/**
 * Applies diffs to a draft in order, each to the result of the one before. All use one strip level: 1, unless only the
 * unstripped (bare) paths fit. When both levels fit and the headers do not decide, the diff is refused.
 */
export async function applyDiffs(
  base: TreeDraft,
  diffs: readonly (readonly FileSection[])[],
  options: ApplyOptions,
): Promise<AppliedDiffs> {
  if (options.strip !== undefined) return answer(await attempt(base, diffs, { ...options, strip: options.strip }));
  const stripped = await attempt(base, diffs, { ...options, strip: 1 });
  const sections = diffs.flat();
  const evidence = prefixEvidence(sections);
  if (evidence === 'prefixed' || !mayBeBare(sections, base, evidence)) return answer(stripped);
  const bare = await attempt(base, diffs, { ...options, strip: 0 });
  if (stripped.ok && bare.ok) return evidence === 'bare' ? answer(bare) : bothFit(stripped, bare);
  if (stripped.ok) return answer(stripped);
  if (bare.ok) return answer(evidence === 'bare' || !followsConvention(sections) ? bare : stripped);
  return answer(stripped.problem.stage === 'paths' && bare.problem.stage === 'content' ? bare : stripped);
}

function bothFit(stripped: Extract<Attempt, { ok: true }>, bare: Extract<Attempt, { ok: true }>): AppliedDiffs {
  const [with1, with0] = [stripped, bare].map(({ draft }) => draft.touched().toSorted()) as [string[], string[]];
  if (JSON.stringify(with1) === JSON.stringify(with0)) return answer(stripped);
  const messages = `the file names fit the branch with 1 folder stripped (${with1[0]}) and with none (${with0[0]}): set strip to 1 or 0`;
  return { ok: false, reason: 'ambiguous_paths', evidence: { messages, stripped: with1, bare: with0 } };
}

/**
 * True for `b/x` or `a/x` against /dev/null. These are git's prefixes, even when the branch has a folder of that name.
 */
function followsConvention(sections: readonly FileSection[]): boolean {
  return sections.some((section) => {
    const { old, fresh } = namesOf(section);
    return (old === undefined && fresh?.startsWith('b/')) || (fresh === undefined && old?.startsWith('a/'));
  });
}

/**
 * A new file with a bare name must go into a folder that the branch has, unless other evidence says that names are
 * bare: the headers, another file of the diff that exists by its bare name, or equal names on both sides.
 */
function mayBeBare(sections: readonly FileSection[], base: TreeDraft, evidence: 'bare' | undefined): boolean {
  if (evidence === 'bare') return true;
  const exists = (path: string): boolean => base.find(path) !== undefined;
  const bare = sections.map((section) => ({ section, paths: resolvePaths(section, 0, exists) }));
  if (bare.some(({ paths }) => !('problem' in paths) && paths.kind !== 'new')) return true;
  return bare.every(({ section, paths }) => {
    if ('problem' in paths || paths.kind !== 'new') return true;
    const { old, fresh } = { old: section.oldName?.name, fresh: namesOf(section).fresh ?? '' };
    return withoutFirstFolder(fresh) === undefined || old === fresh || base.hadFolder(paths.path.split('/')[0]!);
  });
}

async function attempt(
  base: TreeDraft,
  diffs: readonly (readonly FileSection[])[],
  { strip, exact, format }: { strip: number; exact: boolean; format: ObjectFormat },
): Promise<Attempt> {
  const draft = base.copy();
  const notes: SectionNotes[] = [];
  const budget = { bytes: MAX_CONTENT_BYTES };
  for (const sections of diffs) {
    const before = draft.copy();
    const scene = {
      draft,
      before,
      vacated: vacatedBy(sections, strip, before),
      written: new Set<string>(),
      modified: new Set<string>(),
      budget,
      strip,
      exact,
      format,
    };
    for (const section of sections) {
      const applied = await applySection(section, scene);
      if (!applied.ok) return applied;
      notes.push(applied.notes);
    }
  }
  const both = draft.collision();
  if (both === undefined) return { ok: true, draft, strip, notes };
  const messages = `${both} would be both a file and a folder`;
  return {
    ok: false,
    problem: { stage: 'content', reason: 'does_not_apply', evidence: { messages, line: 1, path: both } },
  };
}

function vacatedBy(sections: readonly FileSection[], strip: number, before: TreeDraft): Set<string> {
  const vacated = new Set<string>();
  for (const section of sections) {
    const paths = resolvePaths(section, strip, (path) => before.find(path) !== undefined);
    if ('problem' in paths) continue;
    if (paths.kind === 'renamed') vacated.add(paths.from);
  }
  return vacated;
}

function answer(made: Attempt): AppliedDiffs {
  return made.ok ? made : { ok: false, reason: made.problem.reason, evidence: made.problem.evidence };
}
