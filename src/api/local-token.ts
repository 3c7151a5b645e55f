import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { localTokenFile } from '../contract/tokens.ts';
import type { TokenDao } from '../dao/token-dao.ts';
import { hashToken, newTokenSecret } from '../domain/token.ts';
import { newId } from '../lib/id.ts';
import { secretFile } from '../lib/secret-file.ts';

/**
 * The token of this machine, scope admin: made once, in a file that its user alone reads, and known to the database by its hash.
 * One that was revoked is replaced. Gives the secret.
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

/** Names are unique, and other machines have a local token as well. */
function nameHere(): string {
  return `local-${hostname().slice(0, 50)}-${newId('tok').slice(-8)}`;
}
