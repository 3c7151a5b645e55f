import { fastify } from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { SluiceError } from '../contract/errors.ts';
import { LIMITS } from '../contract/fields.ts';
import type { NamedKind } from '../dao/name-dao.ts';
import { idFor } from '../inspect/find-by-name.ts';
import { newId } from '../lib/id.ts';
import type { QueueBoard } from '../queues/board.ts';
import { actionRoutes } from './actions.ts';
import type { Api, ApiDeps } from './api-deps.ts';
import { ANONYMOUS, type Auth, type Caller } from './auth.ts';
import { assertOwnOrigin, setSafetyHeaders } from './browser-safety.ts';
import { DOCS_PATH, describeApi } from './openapi.ts';
import { declares } from './operation.ts';
import { sendProblem, toSluiceError } from './problem.ts';
import { eventRoutes } from './routes/events.ts';
import { explainRoutes } from './routes/explain.ts';
import { fleetRoutes } from './routes/fleet.ts';
import { gateRoutes } from './routes/gates.ts';
import { healthRoutes } from './routes/health.ts';
import { patchRoutes } from './routes/patches.ts';
import { repositoryRoutes } from './routes/repositories.ts';
import { runRoutes } from './routes/runs.ts';
import { statsRoutes } from './routes/stats.ts';
import { taskRoutes } from './routes/tasks.ts';
import { toolRoutes } from './routes/tools.ts';
import { webhookRoutes } from './routes/webhooks.ts';

export const BOARD_PATH = '/board';

/** Builds the HTTP application; the caller makes it listen. */
export async function createApp(
  deps: ApiDeps,
  { auth, board, version }: { auth: Auth; board: QueueBoard; version: string },
): Promise<Api> {
  const app = fastify({
    bodyLimit: LIMITS.bodyBytes,
    forceCloseConnections: true,
    requestIdHeader: 'x-request-id',
    genReqId: () => newId('req'),
    frameworkErrors: (error, _request, reply) => sendProblem(reply, toSluiceError(error)),
    routerOptions: { maxParamLength: 2_000 },
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  const api: Api = app.withTypeProvider<ZodTypeProvider>();
  acceptEmptyJson(api);
  api.decorateRequest('actor', ANONYMOUS.actor);
  api.decorateRequest('caller', null as unknown as Caller);
  // Errors are answered here instead of thrown, because the board has an error handler of its own.
  api.addHook('onRequest', async (request, reply) => {
    request.caller = ANONYMOUS;
    void reply.header('x-request-id', request.id);
    setSafetyHeaders(reply, { isPage: isPage(request.url) });
    if (/%00/.test(request.url))
      return sendProblem(reply, new SluiceError('body.invalid', 'the address holds a NUL character (%00)'));
    try {
      assertOwnOrigin(request);
      await auth.check(request);
    } catch (error) {
      const coded = toSluiceError(error);
      if (coded.code === 'auth.missing') void reply.header('www-authenticate', challengeFor(request.url));
      return sendProblem(reply, coded);
    }
  });
  api.addHook('onResponse', async (request, reply) => {
    const { id: request_id, method, url, actor } = request;
    const ms = Math.round(reply.elapsedTime);
    // Reads are logged at a lower level, because pages and scripts ask many times a second.
    const level = method === 'GET' || method === 'HEAD' ? 'debug' : 'info';
    deps.log[level]({ request_id, method, url, actor, status: reply.statusCode, ms }, 'api.called');
  });
  api.setNotFoundHandler((request, reply) =>
    sendProblem(
      reply,
      new SluiceError('route.unknown', `${request.method} ${request.url} is not an address of this API`),
    ),
  );
  api.setErrorHandler((error, request, reply) => {
    const coded = toSluiceError(error);
    const call = { request_id: request.id, method: request.method, url: request.url };
    if (coded.httpStatus >= 500) deps.log.error({ err: error, ...call }, 'api.fault');
    if (!declares(request, coded.code)) deps.log.error({ code: coded.code, ...call }, 'api.undeclared_problem');
    return sendProblem(reply, coded);
  });
  await describeApi(api, version);
  await api.register(async (routes: Api) => {
    acceptNames(routes, deps);
    const pipeline = [runRoutes, eventRoutes, taskRoutes, patchRoutes, gateRoutes, explainRoutes];
    const fleet = [fleetRoutes, repositoryRoutes, toolRoutes, statsRoutes, webhookRoutes];
    for (const add of [healthRoutes, ...pipeline, ...fleet, actionRoutes]) add(routes, deps);
  });
  await api.register(async (boardApp) => {
    boardApp.addHook('onRequest', async (_request, reply) => {
      try {
        // The queue is checked first, because Bull Board would wait for an unreachable one.
        await deps.queueBackend.ping();
        board.show(await poolsOf(deps));
      } catch (error) {
        return sendProblem(reply, toSluiceError(error));
      }
    });
    await boardApp.register(board.plugin, { prefix: BOARD_PATH });
  });
  return api;
}

/** Returns `default` and the pools that living workers serve. */
async function poolsOf({ daos }: ApiDeps): Promise<string[]> {
  const workers = await daos.workers.findBy({ state: { $in: ['IDLE', 'BUSY', 'UNHEALTHY'] } });
  return [...new Set(['default', ...workers.flatMap(({ pools }) => pools)])];
}

/** Accepts an empty body, because clients send `content-type: application/json` without one on calls that need none. */
function acceptEmptyJson(api: Api): void {
  api.removeContentTypeParser('application/json');
  api.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    if (body === '') return done(null, undefined);
    try {
      done(null, JSON.parse(body as string));
    } catch (cause) {
      done(new SluiceError('body.invalid', `the body is not JSON: ${(cause as Error).message}`, { cause }));
    }
  });
}

/** True for addresses that people open in a browser. */
function isPage(url: string): boolean {
  return url.startsWith(BOARD_PATH) || url.startsWith(DOCS_PATH);
}

/** Collections whose objects have names, or ids of which the beginning will do. */
const NAMED: Readonly<Record<string, NamedKind>> = {
  runs: 'run',
  tasks: 'task',
  patches: 'patch',
  gates: 'gate',
  workers: 'worker',
};

/** Replaces what stands for an id in an address by the id. A deletion wants the whole id. */
function acceptNames(routes: Api, { daos }: ApiDeps): void {
  routes.addHook('preHandler', async (request) => {
    const [, collection = ''] = /^\/v1\/([a-z]+)\/:id/.exec(request.routeOptions.url ?? '') ?? [];
    const kind = NAMED[collection];
    const params = request.params as { id?: string };
    if (kind === undefined || params.id === undefined || request.method === 'DELETE') return;
    params.id = await idFor(daos.names, [kind], params.id);
  });
}

/** Asks for Basic at pages, so that browsers prompt for a password, and for Bearer elsewhere. */
function challengeFor(url: string): string {
  return isPage(url) ? 'Basic realm="sluice"' : 'Bearer';
}
