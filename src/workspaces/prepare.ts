import { createHash } from 'node:crypto';
import { access, lstat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { ConfigFile } from '../contract/config-schema.ts';
import type { PrepareDefinition } from '../contract/policy.ts';
import type { Mirror } from '../git/mirror.ts';
import { foldersAbove } from '../git/tree-draft.ts';
import type { ChildResult } from '../lib/process.ts';
import { removeTree } from '../lib/remove-tree.ts';
import { giveFiles, giveFolder } from './give-to.ts';
import { type CacheLimits, PreparedCache } from './prepared-cache.ts';
import { forgetBelow, sealFolder, signAgain } from './seal.ts';
import { forgetKept, type Slot } from './slot.ts';

export interface PrepareCall {
  mirror: Mirror;
  slot: Slot;
  steps: readonly PrepareDefinition[];
  /** The commit whose files are checked out. */
  commit: string;
  /** True when that commit is on the branch: only then may its results be cached for others. */
  landed: boolean;
  /** Runs a step's command in the slot. */
  runStep: (step: PrepareDefinition) => Promise<ChildResult>;
}

/** Returns the limits of the cache as configured. */
export function cacheLimits({ disk }: ConfigFile): CacheLimits {
  return { maxBytes: disk.prepared_max_bytes, unusedDays: disk.prepared_unused_days };
}

export type Prepared = { ok: true } | { ok: false; step: string; result: ChildResult };

/**
 * Runs the steps that the policy asks for. Kept paths are cached by the step's command and the content of its key
 * files.
 */
export class Preparation {
  readonly #cache: PreparedCache;

  constructor({ dataDir, searchPath, limits }: { dataDir: string; searchPath: string; limits: CacheLimits }) {
    this.#cache = new PreparedCache(resolve(dataDir, 'prepared'), { searchPath, limits });
  }

  /** Frees so many bytes of cached results, as far as there are any. */
  makeRoom(bytes: number): Promise<void> {
    return this.#cache.makeRoom(bytes);
  }

  /**
   * True when the result of some step is not cached yet and would be the same for the tip and the candidate: then it is
   * made from the tip, so that it can be cached for all.
   */
  async isWorthMaking(
    { mirror, steps }: Pick<PrepareCall, 'mirror' | 'steps'>,
    { tip, commit }: { tip: string; commit: string },
  ): Promise<boolean> {
    for (const step of steps.filter(({ kept_paths }) => kept_paths.length > 0)) {
      const key = await keyOf({ mirror, commit: tip }, step);
      if (key === (await keyOf({ mirror, commit }, step)) && !(await this.#cache.has(key))) return true;
    }
    return false;
  }

  async run(call: PrepareCall): Promise<Prepared> {
    for (const step of call.steps) {
      const key = await keyOf(call, step);
      const mayKeep =
        step.kept_paths.length > 0 && !(await holdsTracked(call, step)) && (await staysInside(call.slot, step));
      if (mayKeep && isInPlace(call.slot, step, key)) continue;
      if (mayKeep) await clearKept(call.slot, step);
      if (mayKeep && (await this.#cache.copyOut(key, step.kept_paths, call.slot.work))) {
        await giveKept(call.slot, step);
        await signKept(call.slot, step, key);
        continue;
      }
      const result = await call.runStep(step);
      const done = result.ending.kind === 'exited' && result.ending.exitCode === 0;
      if (!done) return { ok: false, step: step.name, result };
      // The step itself may have replaced a folder above a kept path by a link.
      if (mayKeep && !(await staysInside(call.slot, step))) {
        call.slot.content = undefined;
        continue;
      }
      if (mayKeep && call.landed) await this.#cache.keep(key, step.kept_paths, call.slot.work);
      if (mayKeep) await signKept(call.slot, step, call.landed ? key : `${key} of ${call.commit}`);
    }
    return { ok: true };
  }
}

/** True when the kept paths were made from the same key files and no child has touched them since. */
function isInPlace({ content }: Slot, step: PrepareDefinition, key: string): boolean {
  return content !== undefined && step.kept_paths.every((path) => content.kept.get(path) === key);
}

async function giveKept(slot: Slot, { kept_paths }: PrepareDefinition): Promise<void> {
  await giveFiles(slot, kept_paths);
  for (const path of kept_paths) if (await exists(join(slot.work, path))) await giveFolder(slot, join(slot.work, path));
}

async function signKept(slot: Slot, step: PrepareDefinition, key: string): Promise<void> {
  try {
    await signAll(slot, step, key);
  } catch {
    // Without a signature a child's changes could not be detected: the next check-out starts from an empty folder.
    slot.content = undefined;
  }
}

async function signAll({ content, work }: Slot, step: PrepareDefinition, key: string): Promise<void> {
  if (content === undefined) return;
  for (const path of step.kept_paths) {
    forgetBelow(content.seal, path);
    if (!(await exists(join(work, path)))) continue;
    signAgain(content.seal, work, [path]);
    const isFolder = (await lstat(join(work, path))).isDirectory();
    const below = isFolder ? await sealFolder(work, path) : [];
    for (const [inside, signature] of below) content.seal.set(inside, signature);
    content.kept.set(path, key);
  }
  content.signedAtMs = Date.now();
}

/** Removes another candidate's kept paths: a step must not build on them, nor the cache be mixed with them. */
async function clearKept({ content, work }: Slot, step: PrepareDefinition): Promise<void> {
  for (const path of step.kept_paths) {
    await removeTree(join(work, path));
    if (content !== undefined) forgetKept(content, path);
  }
}

/** False when a child replaced a folder by a link: removing, copying and chown below it would leave the slot. */
async function staysInside({ work }: Slot, { kept_paths }: PrepareDefinition): Promise<boolean> {
  for (const folder of kept_paths.flatMap(foldersAbove)) {
    const stats = await lstat(join(work, folder)).catch(() => undefined);
    if (stats !== undefined && !stats.isDirectory()) return false;
  }
  return true;
}

/** True when the commit has files at a kept path: a cached copy would be tested in their place. */
async function holdsTracked({ mirror, commit }: PrepareCall, step: PrepareDefinition): Promise<boolean> {
  const known = await Promise.all(step.kept_paths.map((path) => mirror.longLived.info(`${commit}:${path}`)));
  return known.some((object) => object !== undefined);
}

async function keyOf(
  { mirror, commit }: Pick<PrepareCall, 'mirror' | 'commit'>,
  step: PrepareDefinition,
): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([mirror.url, step.command, step.kept_paths]));
  for (const file of step.key_files) {
    const content = await mirror.readFile(commit, file);
    hash.update(`\0${file}\0${content === undefined ? 'absent' : content.length}\0`).update(content ?? '');
  }
  return hash.digest('hex');
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
