import { z } from 'zod';
import * as field from './fields.ts';

export const gateSchema = z.strictObject({
  name: field.identifier,
  command: field.argv,
  timeout_seconds: field.seconds.default(600),
  depends_on: z.array(field.identifier).default([]),
  paths: field.globs.default([]),
  env: z.array(field.variableName).default([]),
  pool: field.identifier.default('default'),
  advisory: z.boolean().default(false),
  /** Asks for a network; the operator allows it by repository. */
  network: z.boolean().optional(),
});

export const prepareSchema = z.strictObject({
  name: field.identifier,
  command: field.argv,
  /** Files whose content decides whether a cached result is still valid. */
  key_files: z.array(field.relativePath).default([]),
  /** Results of the command that are cached; never part of a captured change. */
  kept_paths: z.array(field.relativePath).default([]),
  /** Variables of the daemon's environment. The operator lists the allowed ones in `gate_env` of the repository. */
  env: z.array(field.variableName).default([]),
  timeout_seconds: field.seconds.default(900),
});

/** `.sluice.yaml` at the tip of the target branch. */
export const policySchema = z
  .strictObject({
    gates: z.array(gateSchema).default([]),
    prepare: z.array(prepareSchema).default([]),
    pinned: field.globs.default([]),
    protected: field.globs.default([]),
    landing: z
      .strictObject({
        prove: z.enum(['every_commit', 'batch']).default('every_commit'),
        max_batch: z.number().int().positive().max(1_000).default(20),
        slots: z.number().int().positive().max(256).default(4),
      })
      .prefault({}),
    /** `allow: false`: a tree that was red needs more greens than it had reds. */
    flakes: z.strictObject({ allow: z.boolean().default(true) }).prefault({}),
    limits: z
      .strictObject({
        max_files: field.count.default(200),
        max_bytes: z.number().int().positive().max(Number.MAX_SAFE_INTEGER).default(1_048_576),
        allow_binary: z.boolean().default(false),
      })
      .prefault({}),
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
