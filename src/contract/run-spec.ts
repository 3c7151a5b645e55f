import { z } from 'zod';
import * as field from './fields.ts';
import { checkGateNames, gateSchema } from './policy.ts';

const budget = z.strictObject({ usd: field.usd.describe('US dollars.') });

const taskSchema = z.strictObject({
  name: field.identifier.describe('Unique in its workstream.'),
  tool: field.identifier.describe('A tool of the configuration, or the built-in `command` or `patch`.'),
  input: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('Values for the placeholders of the tool; the whole is in SLUICE_INPUT_FILE.'),
  depends_on: z.array(field.identifier).default([]).describe('Tasks of the workstream that must have landed first.'),
  scope: field.globs.optional().describe('Files that its patch may touch; all that are not protected by default.'),
  timeout_seconds: field.seconds.optional().describe('Instead of that of the tool.'),
  queue_timeout_seconds: field.seconds.optional().describe('How long the task may wait in the queue before it FAILS.'),
  budget: budget
    .optional()
    .describe('Limit for the cost of all attempts together. When it is spent, no further attempt starts.'),
  max_retries: z.number().int().min(0).max(100).default(3).describe('Further attempts after a failure that may pass.'),
  message: z
    .string()
    .max(field.LIMITS.messageLength)
    .optional()
    .describe('Commit message; the tool may write its own to SLUICE_MESSAGE_FILE.'),
});

const workstreamSchema = z.strictObject({
  name: field.identifier.describe('Unique in the run.'),
  critical: z.boolean().default(true).describe('True: its failure fails the run.'),
  depends_on: z.array(field.identifier).default([]).describe('Workstreams that must be complete first.'),
  tasks: z
    .array(taskSchema)
    .min(1, 'a workstream needs at least one task')
    .describe('Tasks that may run at the same time, as their `depends_on` allows.'),
});

const EXAMPLE = {
  name: 'nightly',
  repository: 'app',
  workstreams: [{ name: 'lint', tasks: [{ name: 'format', tool: 'formatter', scope: ['src/**'] }] }],
};

/** A run as callers submit it. `domain/spec-graph.ts` checks cross references, submit-run checks tools and targets. */
export const runSpecSchema = z
  .strictObject({
    name: field.name.describe('For people; need not be unique.'),
    labels: z
      .record(field.identifier, z.string().max(200))
      .refine((labels) => Object.keys(labels).length <= 50, 'at most 50 labels')
      .default({})
      .describe('Words to find runs by.'),
    repository: z
      .string()
      .min(1)
      .max(2_000)
      .describe('A name of the configuration, or a path or URL where `allow_any_repository` is on.'),
    branch: field.branch.default('main').describe('Branch that the patches land on.'),
    priority: field.priority.default(0).describe('Higher runs and lands first. Above 0 needs the scope operate.'),
    concurrency: z
      .strictObject({
        key: field.name.describe('Runs with the same key count together.'),
        max: z
          .number()
          .int()
          .positive()
          .max(10_000)
          .default(1)
          .describe('Runs of the key that dispatch at a time, the oldest first.'),
        supersede: z.boolean().default(false).describe('True: cancels older runs of the key.'),
      })
      .optional()
      .describe('Limits how many runs of one kind are at work.'),
    budget: budget.optional().describe('Limit for the cost of all tasks. When it is spent, the remaining ones wait.'),
    expires_in_seconds: field.count.optional().describe('A patch that has not landed by then is EXPIRED.'),
    land: z.boolean().default(true).describe('False: run the gates, land nothing.'),
    extra_gates: z
      .array(gateSchema)
      .default([])
      .describe('Gates in addition to those of the branch, where commands are allowed.'),
    workstreams: z.array(workstreamSchema).min(1, 'a run needs at least one workstream').describe('At least one.'),
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
