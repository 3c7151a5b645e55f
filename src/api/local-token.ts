import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { localTokenFile } from '../contract/tokens.ts';
import type { TokenDao } from '../dao/token-dao.ts';
import { hashToken, newTokenSecret } from '../domain/token.ts';
import { newId } from '../lib/id.ts';
import { secretFile } from '../lib/secret-file.ts';

/**
 * Returns the admin token of this machine. Creates it on first use in a file that only the daemon's user may read; the
 * database stores its hash. Replaces a revoked token.
 */
export async function ensureLocalToken(tokens: TokenDao, dataDir: string): Promise<string> {
  const path = localTokenFile(dataDir);
  while (true) {
    const secret = await secretFile(path, newTokenSecret);
    const hash = hashToken(secret);
    const [known] = await tokens.findBy({ token_hash: hash });
    if (known === undefined) {
      const made = await tokens.createUnlessTaken({ name: nameHere(), token_hash: hash, scopes: ['admin'] });
      if (made) return secret;
    } else if (known.revoked_at === null) {
      return secret;
    } else {
      await rm(path, { force: true });
    }
  }
}

/** The name has a random part, because token names are unique in the database and every machine has a local token. */
function nameHere(): string {
  return `local-${hostname().slice(0, 50)}-${newId('tok').slice(-8)}`;
}
