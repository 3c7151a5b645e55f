import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import type { OpenAPIV3_1 } from 'openapi-types';
import { DOCUMENT_NAMES, jsonSchemaOf, SCHEMAS_PATH } from '../contract/documents.ts';
import { ERROR_PAGE_PATH, errorPage } from '../contract/error-page.ts';
import type { Api } from './api-deps.ts';
import { describeRoutes } from './operation.ts';

export const DOCS_PATH = '/docs';

const TAGS = {
  runs: 'Runs: what is submitted, made of workstreams and tasks.',
  tasks: 'Tasks: one execution of a tool each, with its attempts and output.',
  patches: 'Patches: the changes of tasks, and the way that they land.',
  gates: 'Gates: executions of tests on the trees that may land.',
  events: 'Events: state transitions in the order of their commits.',
  explain: 'Explanations: why something is where it is.',
  fleet: 'The fleet: workers, targets and statistics.',
  tools: 'Tools, and the circuit breakers that stop them.',
  webhooks: 'Deliveries to webhooks, which the configuration names.',
  health: 'Health of the daemon.',
};

const DESCRIPTION = `Sluice lands machine-made changes only when their tests pass on exactly the tree that lands.

**Authentication.** Send a token as \`Authorization: Bearer …\`. Its scopes (\`read\`, \`submit\`, \`operate\`, \`admin\`)
include those before them.

**Errors** are problem details (RFC 9457). \`type\` leads to the [page of all codes](${ERROR_PAGE_PATH}).

**Lists** come in pages: send \`next_cursor\` as \`cursor\` until it is null.

**Streams.** Events and followed logs are server-sent events. Each has an id: a client that was cut off sends the last one
as \`Last-Event-ID\` (events) or \`after\` (logs) and misses nothing.`;

/** Describes the routes that are added from now on at `/openapi.json`, and shows them at `/docs`. */
export async function describeApi(api: Api, version: string): Promise<void> {
  describeRoutes(api);
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Sluice', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/', description: 'The daemon that serves this document.' }],
      tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          token: { type: 'http', scheme: 'bearer', description: 'A token of `sluice token create`.' },
        },
      },
      security: [{ token: [] }],
    },
    transform: (given) => {
      const body = given.route.config?.body;
      return jsonSchemaTransform(body === undefined ? given : { ...given, schema: { ...given.schema, body } });
    },
    transformObject: (given) => withUsedSchemas(jsonSchemaTransformObject(given) as Partial<OpenAPIV3_1.Document>),
  });
  await api.register(swaggerUi, {
    routePrefix: DOCS_PATH,
    staticCSP: false,
    uiConfig: { persistAuthorization: false, deepLinking: true },
  });
  api.get('/openapi.json', { schema: { hide: true } }, async () => api.swagger());
  for (const document of DOCUMENT_NAMES) {
    const schema = jsonSchemaOf(document);
    // Editors send no token, and the schemas hold nothing of this installation.
    const open = { config: { scope: 'none' }, schema: { hide: true } } as const;
    api.get(`${SCHEMAS_PATH}/${document}.json`, open, async (_request, reply) =>
      reply.type('application/schema+json').send(JSON.stringify(schema)),
    );
  }
  api.get(ERROR_PAGE_PATH, { schema: { hide: true } }, async (_request, reply) =>
    reply.type('text/markdown; charset=utf-8').send(errorPage()),
  );
}

/** Leaves out schemas that nothing refers to: each is generated both as it is sent and as it is received. */
function withUsedSchemas(document: Partial<OpenAPIV3_1.Document>): Partial<OpenAPIV3_1.Document> {
  const { schemas = {}, ...components } = document.components ?? {};
  const used = new Set(referencesIn(document.paths));
  // The set grows while it is walked: a schema may refer to others.
  for (const name of used) for (const further of referencesIn(schemas[name])) used.add(further);
  const kept = Object.entries(schemas).filter(([name]) => used.has(name));
  return { ...document, components: { ...components, schemas: Object.fromEntries(kept) } };
}

function referencesIn(part: unknown): string[] {
  const text = JSON.stringify(part) ?? '';
  return [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name!);
}
