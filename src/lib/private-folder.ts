import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Makes a folder, and folders inside it, that no other user can read. Under root, other users may traverse the outer
 * one, because a server that runs as its own user must reach its folder by path.
 */
export async function makePrivate(folder: string, inner: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // A writable folder of another user keeps its mode: only its owner may change it.
  await chmod(folder, process.getuid?.() === 0 ? 0o711 : 0o700).catch(() => {});
  for (const name of inner) {
    await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    await chmod(join(folder, name), 0o700);
  }
}
