import type { FastifyRequest } from 'fastify';
import { isLoopback } from '../config.ts';
import { SluiceError } from '../contract/errors.ts';
import { allows, type TokenScope } from '../contract/tokens.ts';
import type { TokenDao } from '../dao/token-dao.ts';
import { hashToken } from '../domain/token.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks: a token's name, or `local` where no token is needed. */
    actor: string;
  }
  interface FastifyContextConfig {
    /** What a route needs; `read` where nothing is said, `none` for health. */
    scope?: TokenScope | 'none';
  }
}

export interface AuthOptions {
  tokens: TokenDao;
  /** Until the first token is made, everybody who reaches the loopback address may do everything. */
  openOnLoopback: boolean;
}

const CACHE_MS = 2_000;

/** Checks the token of each request against the scope of its route. */
export class Auth {
  readonly #options: AuthOptions;
  #anyToken: { known: boolean; untilMs: number } = { known: false, untilMs: 0 };

  constructor(options: AuthOptions) {
    this.#options = options;
  }

  async check(request: FastifyRequest): Promise<void> {
    const needed = request.routeOptions.config.scope ?? 'read';
    request.actor = 'anonymous';
    if (needed === 'none') return;
    const secret = bearer(request.headers.authorization);
    if (secret === undefined) {
      if (!(await this.#isOpen(request)))
        throw new SluiceError('auth.missing', 'send a token: Authorization: Bearer …');
      request.actor = 'local';
      return;
    }
    const token = await this.#options.tokens.findByHash(hashToken(secret));
    if (token === undefined) throw new SluiceError('auth.missing', 'the token is not known');
    if (!allows(token.scopes, needed)) {
      throw new SluiceError('auth.refused', `the token ${token.name} does not have the scope ${needed}`, {
        facts: { needed, scopes: token.scopes },
      });
    }
    request.actor = token.name;
  }

  /** A page in a browser must not reach an open daemon under a name of its own (DNS rebinding): the host must be ours. */
  async #isOpen(request: FastifyRequest): Promise<boolean> {
    if (!this.#options.openOnLoopback || (await this.#hasTokens())) return false;
    return isLoopback(request.hostname.replace(/^\[|\]$/g, ''));
  }

  async #hasTokens(): Promise<boolean> {
    if (this.#anyToken.known && performance.now() < this.#anyToken.untilMs) return true;
    const known = (await this.#options.tokens.count({ revoked_at: null })) > 0;
    this.#anyToken = { known, untilMs: performance.now() + CACHE_MS };
    return known;
  }
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
