import { type Seal, sealFolder } from './seal.ts';

/** Returns a function that tells whether the folder has changed since its last call, at first since it was signed. */
export function folderActivity(folder: string, signed: Seal | undefined): () => Promise<boolean> {
  let before: ReadonlyMap<string, string> = new Map(signed ?? []);
  return async () => {
    const now = await sealFolder(folder).catch((): Seal => new Map());
    const changed = now.size !== before.size || [...now].some(([path, signature]) => before.get(path) !== signature);
    before = now;
    return changed;
  };
}
