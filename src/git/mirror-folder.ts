import { randomUUID } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ObjectFormat } from './object-store.ts';
import { TRACKING, trackingRef } from './remote.ts';
import type { Git } from './run-git.ts';

/**
 * Files in a slot are the blobs, byte for byte, whatever the repository's attributes ask for. A conversion on checkout
 * that is not undone on capture would be a change that no tool made (docs/decisions/0004).
 */
const EXACT_BYTES = '* -text -eol -ident -filter -working-tree-encoding\n';

/** Returns the folder for Sluice's own files in a mirror: private indexes, the generation, marks and locks. */
export function scratchOf(mirrorDir: string): string {
  return join(mirrorDir, 'sluice-tmp');
}

/** Returns the folder of the objects that the remote's branches hold. Each slot's own repository may read it. */
export function landedObjects(mirrorDir: string): string {
  return join(mirrorDir, 'objects');
}

/**
 * Returns the folder that Sluice writes objects to: tool changes, candidates, and everything that never lands. No child
 * sees it. The landed objects are its alternates.
 */
export function unlandedObjects(mirrorDir: string): string {
  return join(mirrorDir, 'unlanded');
}

/** Returns an id that changes each time the mirror is rebuilt; undefined when there is no mirror. */
export async function readGeneration(mirrorDir: string): Promise<string | undefined> {
  if (!(await isThere(unlandedObjects(mirrorDir)))) return undefined;
  return readFile(generationFile(mirrorDir), 'utf8').catch(() => undefined);
}

export function generationFile(mirrorDir: string): string {
  return join(scratchOf(mirrorDir), 'generation');
}

/**
 * Builds an empty mirror under a temporary name and renames it, so that no process sees an incomplete one. Several
 * processes may do this at once.
 */
export async function makeMirrorFolder(git: Git, mirrorDir: string, format: ObjectFormat): Promise<void> {
  if ((await readGeneration(mirrorDir)) !== undefined) return;
  // An older Sluice kept landed and unlanded objects in one folder.
  const isOld = (await isThere(scratchOf(mirrorDir))) && !(await isThere(unlandedObjects(mirrorDir)));
  if (isOld) await removeMirrorFolder(mirrorDir);
  const half = `${mirrorDir}.${randomUUID()}`;
  await mkdir(join(half, '..'), { recursive: true });
  await git.run({ args: ['init', '--bare', '--quiet', `--object-format=${format}`, half] });
  await writeFile(join(half, 'info', 'attributes'), EXACT_BYTES);
  await mkdir(unlandedObjects(half), { mode: 0o700 });
  await mkdir(join(unlandedObjects(half), 'info'));
  await writeFile(join(unlandedObjects(half), 'info', 'alternates'), '../objects\n');
  await mkdir(scratchOf(half), { mode: 0o700 });
  await writeFile(generationFile(half), randomUUID());
  try {
    await rename(half, mirrorDir);
  } catch {
    // Another process made the mirror first; its mirror is equally good.
    await rm(half, { recursive: true, force: true });
  }
}

/** Renames before it removes, so that a mirror that another process makes meanwhile is not touched. */
export async function removeMirrorFolder(mirrorDir: string): Promise<void> {
  const aside = `${mirrorDir}.${randomUUID()}`;
  await rename(mirrorDir, aside).catch(() => {});
  await rm(aside, { recursive: true, force: true });
}

export async function readObjectFormat(mirrorDir: string): Promise<ObjectFormat> {
  const config = await readFile(join(mirrorDir, 'config'), 'utf8').catch(() => '');
  return /^\s*objectformat\s*=\s*sha256\s*$/im.test(config) ? 'sha256' : 'sha1';
}

/** Marks a branch as in use; maintenance removes the tracking references of unused branches. */
export async function markBranchUsed(mirrorDir: string, branch: string): Promise<void> {
  const mark = join(branchMarks(mirrorDir), basename(trackingRef(branch)));
  const now = new Date();
  try {
    await utimes(mark, now, now);
  } catch {
    await mkdir(branchMarks(mirrorDir), { recursive: true });
    await writeFile(mark, branch);
  }
}

/**
 * Lists the references that fetches have made, one for each branch. Nothing packs them, so the folder lists them all.
 */
export async function trackingRefs(mirrorDir: string): Promise<string[]> {
  const names = await readdir(join(mirrorDir, TRACKING)).catch(() => []);
  return names.filter((name) => /^[0-9a-f]+$/.test(name)).map((name) => `${TRACKING}/${name}`);
}

export function branchMarks(mirrorDir: string): string {
  return join(scratchOf(mirrorDir), 'branches');
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
