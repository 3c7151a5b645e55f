import { z } from 'zod';
import * as field from './fields.ts';

export const gateSchema = z.strictObject({
  name: field.identifier.describe('Unique in the policy.'),
  command: field.argv.describe('The words of the command. No shell reads them; exit status 0 is green.'),
  timeout_seconds: field.seconds.default(600).describe('A run that takes longer is red.'),
  depends_on: z.array(field.identifier).default([]).describe('Earlier gates that must be green first.'),
  paths: field.globs
    .default([])
    .describe('The gate applies to patches that change one of these files; to all without any.'),
  env: z
    .array(field.variableName)
    .default([])
    .describe('Variables of the worker that the command gets, of those that `gate_env` of the repository allows.'),
  pool: field.identifier.default('default').describe('Pool of workers that run it.'),
  advisory: z.boolean().default(false).describe('True: its result is shown and stops no patch.'),
  network: z.boolean().optional().describe('Asks for a network; the operator allows it by repository.'),
});

export const prepareSchema = z.strictObject({
  name: field.identifier.describe('Unique among the steps.'),
  command: field.argv.describe('The words of the command, which must end with exit status 0.'),
  key_files: z
    .array(field.relativePath)
    .default([])
    .describe('Files whose content decides whether a cached result is still valid.'),
  kept_paths: z
    .array(field.relativePath)
    .default([])
    .describe('Results of the command that are cached. They are never part of a captured change.'),
  env: z
    .array(field.variableName)
    .default([])
    .describe('Variables of the worker that the command gets, of those that `gate_env` of the repository allows.'),
  timeout_seconds: field.seconds.default(900).describe('A step that takes longer fails.'),
});

/** `.sluice.yaml` at the tip of the target branch. */
export const policySchema = z
  .strictObject({
    gates: z
      .array(gateSchema)
      .default([])
      .describe('Commands that every patch must pass on exactly the tree that lands.'),
    prepare: z
      .array(prepareSchema)
      .default([])
      .describe('Commands that run before tools and gates in a fresh check-out.'),
    pinned: field.globs
      .default([])
      .describe('A patch that changes one of these files must also pass with the files of the branch.'),
    protected: field.globs
      .default([])
      .describe('A patch that touches one of these files waits for an approval. `.sluice.yaml` always is one.'),
    landing: z
      .strictObject({
        prove: z
          .enum(['every_commit', 'batch'])
          .default('every_commit')
          .describe('Whether every commit of a push is proven by itself, or the last one for all.'),
        max_batch: z.number().int().positive().max(1_000).default(20).describe('Most patches in one push.'),
        slots: z.number().int().positive().max(256).default(4).describe('Candidates under test at once.'),
      })
      .prefault({})
      .describe('How patches are proven and pushed.'),
    flakes: z
      .strictObject({
        allow: z
          .boolean()
          .default(true)
          .describe('False: a tree that was red needs more greens than it had reds, however flaky its gate is.'),
      })
      .prefault({})
      .describe('What a green beside reds means.'),
    limits: z
      .strictObject({
        max_files: field.count.default(200).describe('Files that one patch may change.'),
        max_bytes: z
          .number()
          .int()
          .positive()
          .max(Number.MAX_SAFE_INTEGER)
          .default(1_048_576)
          .describe('Size of one patch.'),
        allow_binary: z.boolean().default(false).describe('True: patches may hold binary files.'),
      })
      .prefault({})
      .describe('Limits for one patch. A larger one is quarantined; an operator may approve it.'),
  })
  .superRefine((policy, context) => checkGateNames(policy.gates, context));

export type GateDefinition = z.output<typeof gateSchema>;
export type PrepareDefinition = z.output<typeof prepareSchema>;
/** Whether every commit of a push is proven by itself, or the last one for all. */
export type Prove = Policy['landing']['prove'];
export type Policy = z.output<typeof policySchema>;

/** This file is protected in every repository, whatever it lists as `protected`. */
export const POLICY_PATH = '.sluice.yaml';

/** Requires unique names, and earlier gates in `depends_on`, which also excludes cycles. */
export function checkGateNames(gates: readonly GateDefinition[], context: z.RefinementCtx, key = 'gates'): void {
  const known = new Set<string>();
  for (const [index, gate] of gates.entries()) {
    if (known.has(gate.name)) {
      context.addIssue({ code: 'custom', path: [key, index, 'name'], message: `used twice: ${gate.name}` });
    }
    for (const dependency of gate.depends_on) {
      if (!known.has(dependency)) {
        const message = `names no earlier gate: ${dependency}`;
        context.addIssue({ code: 'custom', path: [key, index, 'depends_on'], message });
      }
    }
    known.add(gate.name);
  }
}
