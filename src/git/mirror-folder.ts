import { randomUUID } from 'node:crypto';
import { access, mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { trackingRef } from './remote.ts';
import type { Git } from './run-git.ts';
import type { ObjectFormat } from './write-object.ts';

/**
 * Files in a slot are the blobs, byte for byte, whatever the repository's attributes ask for: a conversion on the way in
 * that is not undone on the way out would be a change that no tool made (docs/decisions/0004).
 */
const EXACT_BYTES = '* -text -eol -ident -filter -working-tree-encoding\n';

/** Where a mirror keeps what is Sluice's own: private indexes, its generation, marks and locks. */
export function scratchOf(mirrorDir: string): string {
  return join(mirrorDir, 'sluice-tmp');
}

/** The objects that a slot's own repository may read. */
export function borrowedObjects(mirrorDir: string): string {
  return join(mirrorDir, 'objects');
}

/** Another one each time the mirror was made anew; undefined when there is no mirror. */
export function readGeneration(mirrorDir: string): Promise<string | undefined> {
  return readFile(join(scratchOf(mirrorDir), 'generation'), 'utf8').catch(() => undefined);
}

/** Makes an empty mirror aside and renames it: a half-made one has another name. Several processes may do so at once. */
export async function makeMirrorFolder(git: Git, mirrorDir: string, format: ObjectFormat): Promise<void> {
  const scratch = scratchOf(mirrorDir);
  if (await isThere(scratch)) {
    // Another process was faster, or an older Sluice made it, which gave it no name.
    await writeFile(join(scratch, 'generation'), randomUUID(), { flag: 'wx' }).catch(() => {});
    return;
  }
  const half = `${mirrorDir}.${randomUUID()}`;
  await mkdir(join(half, '..'), { recursive: true });
  await git.run({ args: ['init', '--bare', '--quiet', `--object-format=${format}`, half] });
  await writeFile(join(half, 'info', 'attributes'), EXACT_BYTES);
  await mkdir(scratchOf(half));
  await writeFile(join(scratchOf(half), 'generation'), randomUUID());
  try {
    await rename(half, mirrorDir);
  } catch {
    // Another process was faster: its mirror is as good.
    await rm(half, { recursive: true, force: true });
  }
}

export async function readObjectFormat(mirrorDir: string): Promise<ObjectFormat> {
  const config = await readFile(join(mirrorDir, 'config'), 'utf8').catch(() => '');
  return /^\s*objectformat\s*=\s*sha256\s*$/im.test(config) ? 'sha256' : 'sha1';
}

/** Notes that a branch is in use; maintenance removes the tracking references of the others. */
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

export function branchMarks(mirrorDir: string): string {
  return join(scratchOf(mirrorDir), 'branches');
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
