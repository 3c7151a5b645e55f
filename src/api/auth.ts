import type { FastifyRequest } from 'fastify';
import { SluiceError } from '../contract/errors.ts';
import { allows, type TokenScope } from '../contract/tokens.ts';
import type { TokenDao } from '../dao/token-dao.ts';
import { hashToken } from '../domain/token.ts';

/** Who asks. */
export interface Caller {
  /** The name and the id of the token, as they stand in the audit trail. */
  actor: string;
  scopes: readonly TokenScope[];
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
    actor: string;
  }
  interface FastifyContextConfig {
    /** What a route needs; `read` where nothing is said, `none` for health. */
    scope?: TokenScope | 'none';
  }
}

export const ANONYMOUS: Caller = { actor: 'anonymous', scopes: [] };

/** Checks the token of each request against the scope of its route. Nothing but health is open to a caller without one. */
export class Auth {
  readonly #tokens: TokenDao;

  constructor(tokens: TokenDao) {
    this.#tokens = tokens;
  }

  async check(request: FastifyRequest): Promise<void> {
    const needed = request.routeOptions.config.scope ?? 'read';
    if (needed === 'none') return;
    const secret = bearer(request.headers.authorization);
    if (secret === undefined) {
      throw new SluiceError(
        'auth.missing',
        'send a token, Authorization: Bearer …; the one of this machine stands in local.token of the data folder',
      );
    }
    const token = await this.#tokens.findByHash(hashToken(secret));
    if (token === undefined) throw new SluiceError('auth.missing', 'the token is not known');
    if (!allows(token.scopes, needed)) {
      throw new SluiceError('auth.refused', `the token ${token.name} does not have the scope ${needed}`, {
        facts: { needed, scopes: token.scopes },
      });
    }
    request.caller = { actor: `${token.name} ${token.token_id}`, scopes: token.scopes };
    request.actor = request.caller.actor;
  }
}

/** True of callers whose runs may go ahead of those of others, and end them. */
export function mayOutrank({ scopes }: Caller): boolean {
  return allows(scopes, 'operate');
}

/** Throws `auth.refused` where a caller may only do to its own what it asks for. */
export function assertOwn(caller: Caller, owner: string | null | undefined, what: string): void {
  if (mayOutrank(caller) || owner === caller.actor) return;
  throw new SluiceError('auth.refused', `${what} of others needs the scope operate`, { facts: { needed: 'operate' } });
}

/** `Bearer …`, or the password of Basic for browsers at the board. */
function bearer(header: string | undefined): string | undefined {
  const [scheme, value] = (header ?? '').split(' ');
  if (value === undefined || value === '') return undefined;
  if (scheme?.toLowerCase() === 'bearer') return value;
  if (scheme?.toLowerCase() !== 'basic') return undefined;
  const decoded = Buffer.from(value, 'base64').toString('utf8');
  return decoded.slice(decoded.indexOf(':') + 1);
}
