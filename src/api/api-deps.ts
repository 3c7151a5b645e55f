import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Daos } from '../dao/all.ts';
import type { Database } from '../database/database.ts';
import type { NamedRepositories } from '../domain/repository-book.ts';
import type { VerdictSeal } from '../domain/verdict-seal.ts';
import type { Mirrors } from '../git/mirrors.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Log } from '../lib/log.ts';
import type { SubmitRunDeps } from '../pipeline/submit-run/submit-run.ts';
import type { QueueBackend } from '../queues/queue-backend.ts';
import type { EventFeed } from './event-feed.ts';

export interface ApiDeps {
  database: Database;
  daos: Daos;
  ledger: Ledger;
  submit: SubmitRunDeps;
  repositories: NamedRepositories;
  mirrors: Mirrors;
  seal: VerdictSeal;
  queueBackend: QueueBackend;
  feed: EventFeed;
  log: Log;
}

export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;
