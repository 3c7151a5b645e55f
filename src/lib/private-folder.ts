import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Makes a folder, and folders in it, that no other user can look into. Under root others may pass through the outer one, for
 * servers that run as a user of their own and know where they are going.
 */
export async function makePrivate(folder: string, inner: readonly string[]): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Somebody else's folder that we may write to is theirs to close.
  await chmod(folder, process.getuid?.() === 0 ? 0o711 : 0o700).catch(() => {});
  for (const name of inner) {
    await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    await chmod(join(folder, name), 0o700);
  }
}
