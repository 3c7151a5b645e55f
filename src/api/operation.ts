import type { FastifyRequest, RouteOptions } from 'fastify';
import type { z } from 'zod';
import { problemDetails } from '../contract/answers.ts';
import { ERROR_CODES, type ErrorCode } from '../contract/errors.ts';
import type { TokenScope } from '../contract/tokens.ts';
import type { Api } from './api-deps.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Scope that the route requires: `read` by default, `none` for routes that need no token. */
    scope?: TokenScope | 'none';
    /** Schema of a body that the handler parses by itself, for the description. */
    body?: z.ZodType;
    /** Errors of this route, beside those of every route. */
    problems?: readonly ErrorCode[];
  }
}

const OF_EVERY_ROUTE = ['body.invalid', 'database.unreachable', 'internal.error'] as const;
const OF_TOKENS = ['auth.missing', 'auth.refused'] as const;
const OF_WRITES = ['auth.foreign_origin', 'body.unsupported_type', 'body.too_large'] as const;

/** Errors of a call that reads a repository. */
export const OF_MIRRORS = [
  'repository.unreadable',
  'branch.missing',
  'policy.invalid',
  'git.failed',
  'machine.fault',
] as const satisfies readonly ErrorCode[];

interface Described {
  operationId?: string;
  summary?: string;
  description?: string;
  hide?: boolean;
  security?: readonly Record<string, never>[];
  response?: Record<string, unknown>;
}

/**
 * Completes the description of each route that is added from now on: its summary, and an answer for each of its errors.
 * A route that is described without a name or a text is a defect and throws.
 */
export function describeRoutes(api: Api): void {
  api.addHook('onRoute', (route) => {
    const schema = route.schema as Described | undefined;
    if (schema === undefined || schema.hide || route.method === 'HEAD') return;
    if (schema.operationId === undefined || schema.description === undefined) {
      throw new Error(`${route.method} ${route.url} has no operationId or no description`);
    }
    schema.summary = /^.*?(?=[.:;,](\s|$)|$)/s.exec(schema.description)![0];
    if (route.config?.scope === 'none') schema.security = [];
    const answers = Map.groupBy(problemsOf(route), (code) => ERROR_CODES[code][0]);
    schema.response = { ...schema.response, ...Object.fromEntries([...answers].map(answerOf)) };
  });
}

/** Returns the errors that a route is described with. */
export function declares(request: FastifyRequest, code: ErrorCode): boolean {
  return problemsOf(request.routeOptions as unknown as RouteOptions).includes(code);
}

function problemsOf({ method, url, config }: Pick<RouteOptions, 'method' | 'url' | 'config'>): ErrorCode[] {
  const codes: ErrorCode[] = [...OF_EVERY_ROUTE, ...(config?.problems ?? [])];
  if (config?.scope !== 'none') codes.push(...OF_TOKENS);
  if (method !== 'GET') codes.push(...OF_WRITES);
  if (url.includes('/:id')) codes.push('entity.ambiguous');
  return codes;
}

function answerOf([status, codes]: [number, ErrorCode[]]): [number, object] {
  const lines = codes.map((code) => `- \`${code}\`: ${ERROR_CODES[code][1]}.`);
  const content = { 'application/problem+json': { schema: problemDetails } };
  return [status, { description: lines.join('\n'), content }];
}
