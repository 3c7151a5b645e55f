import type { ToolDefinition } from '../contract/config-schema.ts';
import { commandInputSchema } from '../contract/run-spec.ts';
import type { ToolLimits } from '../domain/admission.ts';
import { fillPlaceholders, placeholdersIn } from './placeholders.ts';
import type { CommandTool } from './tool.ts';

const DEFAULT_TIMEOUT_SECONDS = 1_800;

/** Tools of this installation: the declared ones and `command`. `patch` has only a name, because it runs no program. */
export class ToolRegistry {
  readonly #tools: ReadonlyMap<string, CommandTool>;

  constructor(definitions: Readonly<Record<string, ToolDefinition>>) {
    const declared = Object.entries(definitions).map(([name, definition]) => declaredTool(name, definition));
    this.#tools = new Map([FREE_COMMAND, ...declared].map((tool) => [tool.name, tool]));
  }

  find(name: string): CommandTool | undefined {
    return this.#tools.get(name);
  }

  names(): string[] {
    return [...this.#tools.keys(), 'patch'];
  }

  all(): CommandTool[] {
    return [...this.#tools.values()];
  }

  /** Returns breaker and limits of the tools that have them. */
  declared(): ({ tool: string } & ToolLimits)[] {
    return this.all().flatMap(({ name, declared }) => (declared === undefined ? [] : [{ tool: name, ...declared }]));
  }
}

/**
 * Built-in `command`: the run spec gives the arguments, where the operator allows it. It has no breaker, because it is
 * a different tool each time.
 */
const FREE_COMMAND: CommandTool = {
  name: 'command',
  pool: 'default',
  timeoutSeconds: DEFAULT_TIMEOUT_SECONDS,
  idleTimeoutSeconds: undefined,
  whenUnchanged: 'complete',
  env: [],
  declared: undefined,
  sandbox: undefined,
  limits: {},
  exitCodes: { fatal: [], limited: [75] },
  placeholders: [],
  inputKeys: [],
  invocation: (input) => commandInputSchema.parse(input) as { argv: string[]; stdin: string | undefined },
};

function declaredTool(name: string, definition: ToolDefinition): CommandTool {
  return {
    name,
    pool: definition.pool,
    timeoutSeconds: definition.timeout_seconds,
    idleTimeoutSeconds: definition.idle_timeout_seconds,
    whenUnchanged: definition.when_unchanged,
    env: definition.env,
    declared: {
      ...definition.breaker,
      concurrency: definition.concurrency ?? null,
      rate_max: definition.rate_limit?.max ?? null,
      rate_per_seconds: definition.rate_limit?.per_seconds ?? null,
      usd_per_day: definition.budget?.usd_per_day ?? null,
    },
    sandbox: definition.sandbox,
    limits: definition.limits ?? {},
    exitCodes: definition.exit_codes,
    placeholders: placeholdersIn([...definition.argv, definition.stdin ?? '']),
    inputKeys: definition.input_keys,
    invocation: (input) => ({
      argv: definition.argv.map((argument) => fillPlaceholders(argument, input)),
      stdin: definition.stdin === undefined ? undefined : fillPlaceholders(definition.stdin, input),
    }),
  };
}
