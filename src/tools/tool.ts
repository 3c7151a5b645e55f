import type { ToolDefinition } from '../contract/config-schema.ts';
import type { Reason } from '../contract/reasons.ts';
import type { ToolLimits } from '../domain/admission.ts';
import type { FailureClass } from '../domain/retry.ts';

/** Evidence of one attempt about the health of its tool. */
export type ToolFact = 'success' | 'fault' | 'neutral';

/** How a tool ended, in the form that the ledger stores. */
export type ToolEnding =
  | { kind: 'done'; exitCode: 0; fact: 'success' }
  | {
      kind: 'failed';
      failure: FailureClass;
      reason: Reason;
      exitCode: number | null;
      fact: ToolFact;
      retryAfterMs?: number | undefined;
      evidence: Readonly<Record<string, unknown>>;
    };

/** One program that tasks may name. */
export interface CommandTool {
  readonly name: string;
  readonly pool: string;
  readonly timeoutSeconds: number;
  readonly idleTimeoutSeconds: number | undefined;
  readonly whenUnchanged: 'complete' | 'fail';
  /** Names of variables whose values the child gets. */
  readonly env: readonly string[];
  /** Breaker and limits; undefined for the built-in `command`. */
  readonly declared: ToolLimits | undefined;
  readonly sandbox: ToolDefinition['sandbox'];
  readonly limits: NonNullable<ToolDefinition['limits']>;
  readonly exitCodes: { fault?: readonly number[] | undefined; fatal: readonly number[]; limited: readonly number[] };
  /** Paths below `input` that fill its arguments and standard input: `prompt`, `a.b`. */
  readonly placeholders: readonly string[];
  /** Further keys of `input` that the tool reads from its input file. */
  readonly inputKeys: readonly string[];
  /** Returns arguments and standard input for one task. */
  invocation(input: Readonly<Record<string, unknown>>): { argv: string[]; stdin: string | undefined };
}
