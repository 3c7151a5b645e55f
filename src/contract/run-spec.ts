import { z } from 'zod';
import * as field from './fields.ts';
import { checkGateNames, gateSchema } from './policy.ts';

const budget = z.strictObject({ usd: field.usd });

const taskSchema = z.strictObject({
  name: field.identifier,
  tool: field.identifier,
  input: z.record(z.string(), z.unknown()).default({}),
  depends_on: z.array(field.identifier).default([]),
  scope: field.globs.optional(),
  timeout_seconds: field.seconds.optional(),
  /** How long the task may wait in the queue before it FAILS. */
  queue_timeout_seconds: field.seconds.optional(),
  /** Limit for the cost of all attempts together. When it is spent, no further attempt starts. */
  budget: budget.optional(),
  max_retries: z.number().int().min(0).max(100).default(3),
  message: z.string().max(field.LIMITS.messageLength).optional(),
});

const workstreamSchema = z.strictObject({
  name: field.identifier,
  critical: z.boolean().default(true),
  depends_on: z.array(field.identifier).default([]),
  tasks: z.array(taskSchema).min(1, 'a workstream needs at least one task'),
});

const EXAMPLE = {
  name: 'nightly',
  repository: 'app',
  workstreams: [{ name: 'lint', tasks: [{ name: 'format', tool: 'formatter', scope: ['src/**'] }] }],
};

/** A run as callers submit it. `domain/spec-graph.ts` checks cross references, submit-run checks tools and targets. */
export const runSpecSchema = z
  .strictObject({
    name: field.name,
    labels: z
      .record(field.identifier, z.string().max(200))
      .refine((labels) => Object.keys(labels).length <= 50, 'at most 50 labels')
      .default({}),
    repository: z.string().min(1).max(2_000),
    branch: field.branch.default('main'),
    priority: field.priority.default(0),
    /** At most `max` runs with the same key dispatch at a time, the oldest first. */
    concurrency: z
      .strictObject({
        key: field.name,
        max: z.number().int().positive().max(10_000).default(1),
        supersede: z.boolean().default(false),
      })
      .optional(),
    budget: budget.optional(),
    expires_in_seconds: field.count.optional(),
    /** False: run the gates, land nothing. */
    land: z.boolean().default(true),
    extra_gates: z.array(gateSchema).default([]),
    workstreams: z.array(workstreamSchema).min(1, 'a run needs at least one workstream'),
  })
  .superRefine((spec, context) => checkGateNames(spec.extra_gates, context, 'extra_gates'))
  .meta({ id: 'RunSpec', examples: [EXAMPLE] });

export type RunSpec = z.output<typeof runSpecSchema>;
export type RunSpecInput = z.input<typeof runSpecSchema>;
export type TaskSpec = z.output<typeof taskSchema>;

export const commandInputSchema = z.looseObject({
  argv: field.argv,
  stdin: z.string().optional(),
});

/**
 * Reads what it can from an invalid document, so that references and form are checked together. Unreadable parts are
 * left out or take their defaults; paths stay those of the document.
 */
export function readableSpec(document: unknown): RunSpec {
  const root = recordOf(document);
  const workstreams = arrayOf(root.workstreams).map((part, w) => {
    const workstream = recordOf(part);
    const tasks = arrayOf(workstream.tasks).map((task, t) => readableTask(task, `${w}.${t}`));
    return {
      name: textOf(workstream.name, `#${w}`),
      critical: true,
      depends_on: textsOf(workstream.depends_on),
      tasks,
    };
  });
  const empty = { labels: {}, branch: 'main', priority: 0, land: true, extra_gates: [] };
  return { ...empty, name: '', repository: textOf(root.repository, ''), workstreams };
}

function readableTask(part: unknown, place: string): TaskSpec {
  const parsed = taskSchema.safeParse(part);
  if (parsed.success) return parsed.data;
  const task = recordOf(part);
  const message = typeof task.message === 'string' ? { message: task.message } : {};
  const known = { input: recordOf(task.input) as TaskSpec['input'], max_retries: 0, ...message };
  return {
    ...known,
    name: textOf(task.name, `#${place}`),
    tool: textOf(task.tool, ''),
    depends_on: textsOf(task.depends_on),
  };
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function arrayOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function textOf(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise;
}

function textsOf(value: unknown): string[] {
  return arrayOf(value).filter((item) => typeof item === 'string');
}
