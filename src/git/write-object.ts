import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { unlandedObjects } from './mirror-folder.ts';
import type { ObjectFormat, ObjectStore } from './object-store.ts';

export type ObjectType = 'blob' | 'commit' | 'tree';

const compress = promisify(deflate);
/** Most objects written here are small and read again within seconds, so speed matters more than size. */
const LEVEL = { level: 1 };
const MAX_TRIES = 10;

/** Writes a loose object as git would, without starting a process. Writing is idempotent. */
export async function writeObject(mirror: ObjectStore, type: ObjectType, body: Buffer): Promise<string> {
  const object = Buffer.concat([Buffer.from(`${type} ${body.length}\0`), body]);
  const id = createHash(await mirror.objectFormat())
    .update(object)
    .digest('hex');
  const file = join(unlandedObjects(mirror.dir), id.slice(0, 2), id.slice(2));
  const half = join(dirname(file), `tmp_obj_${randomUUID()}`);
  await writeInto(dirname(file), half, await compress(object, LEVEL));
  await rename(half, file);
  return id;
}

/** Retries, because maintenance may remove an emptied folder between `mkdir` and the write into it. */
async function writeInto(folder: string, file: string, content: Buffer): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    await mkdir(folder, { recursive: true });
    try {
      await writeFile(file, content, { mode: 0o444 });
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries === MAX_TRIES) throw error;
    }
  }
}

/** Returns the id of a blob with this content, without writing it. */
export function blobId(content: Buffer, format: ObjectFormat): string {
  return createHash(format).update(`blob ${content.length}\0`).update(content).digest('hex');
}
