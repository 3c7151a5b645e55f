import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/**
 * Returns the first bytes of a file that an untrusted process wrote; '' when there is none. Links, pipes and devices
 * give '' too, because they may lead anywhere or block.
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
