import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/**
 * The first bytes of a file that somebody else made: '' where there is none, and where a link, a pipe or a device stands in
 * its place (which might lead anywhere, or never end).
 */
export async function readHead(file: string, maxBytes: number): Promise<string> {
  try {
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    if (!(await handle.stat()).isFile()) return '';
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(maxBytes), 0, maxBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch {
    return '';
  }
}
