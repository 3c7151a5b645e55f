import type { EntitySchema } from '@mikro-orm/postgresql';
import { CircuitBreaker } from './circuit-breaker.ts';
import { TaskDependency, WorkstreamDependency } from './dependency.ts';
import { GateVerdict } from './gate-verdict.ts';
import { Installation } from './installation.ts';
import { LandingIntent } from './landing-intent.ts';
import { Lease } from './lease.ts';
import { LogChunk } from './log-chunk.ts';
import { Patch } from './patch.ts';
import { Repository } from './repository.ts';
import { Run } from './run.ts';
import { StateTransition } from './state-transition.ts';
import { Target } from './target.ts';
import { Task } from './task.ts';
import { TestGate } from './test-gate.ts';
import { Token } from './token.ts';
import { ToolCost, ToolStart } from './tool-use.ts';
import { WebhookCursor, WebhookDelivery } from './webhook.ts';
import { Worker } from './worker.ts';
import { Workstream } from './workstream.ts';

/** Every table, in the order in which rows may be created. */
export const ENTITIES: EntitySchema[] = [
  Run,
  Workstream,
  Worker,
  Task,
  Patch,
  TestGate,
  CircuitBreaker,
  StateTransition,
  Target,
  TaskDependency,
  WorkstreamDependency,
  GateVerdict,
  LandingIntent,
  Lease,
  LogChunk,
  Token,
  Installation,
  Repository,
  ToolStart,
  ToolCost,
  WebhookCursor,
  WebhookDelivery,
];
