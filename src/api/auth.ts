import type { FastifyRequest } from 'fastify';
import { SluiceError } from '../contract/errors.ts';
import { allows, type TokenScope } from '../contract/tokens.ts';
import type { TokenDao } from '../dao/token-dao.ts';
import { hashToken } from '../domain/token.ts';

export interface Caller {
  /** Name and id of the token, as recorded in the audit trail. */
  actor: string;
  scopes: readonly TokenScope[];
}

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
    actor: string;
  }
}

export const ANONYMOUS: Caller = { actor: 'anonymous', scopes: [] };

/** Checks the token of each request against the scope of its route. Only the health routes need no token. */
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
        'send a token as "Authorization: Bearer …"; the token of this machine is in local.token in the data folder',
      );
    }
    const token = await this.#tokens.findByHash(hashToken(secret));
    if (token === undefined) throw new SluiceError('auth.missing', 'the token is unknown or revoked');
    if (!allows(token.scopes, needed)) {
      throw new SluiceError('auth.refused', `the token ${token.name} does not have the scope ${needed}`, {
        facts: { needed, scopes: token.scopes },
      });
    }
    request.caller = { actor: `${token.name} ${token.token_id}`, scopes: token.scopes };
    request.actor = request.caller.actor;
  }
}

/** True for callers that may submit with a priority above 0, and whose runs may supersede runs of other callers. */
export function mayOutrank({ scopes }: Caller): boolean {
  return allows(scopes, 'operate');
}

/** Throws `auth.refused` when the caller neither owns the object nor has the scope `operate`. */
export function assertOwn(caller: Caller, owner: string | null | undefined, what: string): void {
  if (mayOutrank(caller) || owner === caller.actor) return;
  throw new SluiceError('auth.refused', `${what} that another token submitted needs the scope operate`, {
    facts: { needed: 'operate' },
  });
}

/** Reads the token from `Bearer …`, or from the password of `Basic …`, which browsers send at the board. */
function bearer(header: string | undefined): string | undefined {
  const [scheme, value] = (header ?? '').split(' ');
  if (value === undefined || value === '') return undefined;
  if (scheme?.toLowerCase() === 'bearer') return value;
  if (scheme?.toLowerCase() !== 'basic') return undefined;
  const decoded = Buffer.from(value, 'base64').toString('utf8');
  return decoded.slice(decoded.indexOf(':') + 1);
}
