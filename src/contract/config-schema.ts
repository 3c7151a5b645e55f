import { z } from 'zod';
import * as field from './fields.ts';
import { isLoopback } from './tokens.ts';

const exitCode = z.number().int().min(1).max(255);

const breakerSchema = z.strictObject({
  failure_threshold: field.count.default(5),
  cooldown_seconds: field.seconds.default(60),
});

/** The tool never runs without bubblewrap, whatever `sandbox.mode` is. `network` overrides `tool_network`. */
const toolSandboxSchema = z.strictObject({
  kind: z.literal('bubblewrap'),
  network: z.boolean().optional(),
});

/** Limits per process; `processes` counts a whole child, and so does `memory_bytes` in a control group. */
const limitsSchema = z
  .strictObject({
    memory_bytes: z.number().int().min(1_048_576).optional(),
    file_size_bytes: z.number().int().min(4_096).optional(),
    processes: field.count.optional(),
  })
  .refine((limits) => Object.keys(limits).length > 0, 'limits nothing');

const toolSchema = z.strictObject({
  argv: field.argv,
  stdin: z.string().optional(),
  env: z.array(field.variableName).default([]),
  when_unchanged: z.enum(['complete', 'fail']).default('complete'),
  timeout_seconds: field.seconds.default(1_800),
  idle_timeout_seconds: field.seconds.optional(),
  exit_codes: z
    .strictObject({
      fault: z.array(exitCode).optional(),
      fatal: z.array(exitCode).default([]),
      limited: z.array(exitCode).default([75]),
    })
    .prefault({}),
  pool: field.identifier.default('default'),
  /** Keys of a task's `input` that the tool reads from SLUICE_INPUT_FILE, in addition to those of its placeholders. */
  input_keys: z.array(field.name).max(100).default([]),
  concurrency: field.count.optional(),
  rate_limit: z.strictObject({ max: field.count, per_seconds: field.seconds }).optional(),
  budget: z.strictObject({ usd_per_day: field.usd }).optional(),
  sandbox: toolSandboxSchema.optional(),
  limits: limitsSchema.optional(),
  breaker: breakerSchema.prefault({}),
});

const committerSchema = z.strictObject({ name: field.name, email: z.string().min(1).max(320) });

const filePath = z
  .string()
  .min(1)
  .max(4_096)
  .regex(/^[^"\p{Cc}]*$/u, 'must hold no quotation mark');
const username = z.string().min(1).max(200).optional();

/** Names the place that holds the secret; never the secret itself. */
const credentialsSchema = z.union(
  [
    z.strictObject({ token_env: field.variableName, username }),
    z.strictObject({ token_command: field.argv, username }),
    z.strictObject({ ssh_key_file: filePath, known_hosts_file: filePath }),
  ],
  { error: 'give token_env, token_command, or ssh_key_file with known_hosts_file' },
);

const repositorySchema = z.strictObject({
  url: z.string().min(1).max(2_000).refine(holdsNoPassword, 'holds a password: name it in credentials'),
  credentials: credentialsSchema.optional(),
  committer: committerSchema.optional(),
  /** True: a gate of its policy that asks for a network gets one. */
  gate_network: z.boolean().default(false),
  /**
   * Variables that its gates and `prepare` steps may name; beside PATH they get no other of the daemon's environment.
   */
  gate_env: z.array(field.variableName).max(100).default([]),
  /** How many tasks may run on it at once, over all its branches. */
  concurrency: field.count.optional(),
});

/** Refuses a user name over HTTP as well, because it may be a token. */
export function holdsNoPassword(url: string): boolean {
  if (!URL.canParse(url)) return true;
  const { protocol, username, password } = new URL(url);
  return password === '' && (username === '' || !/^https?:$/.test(protocol));
}

/** How tools, gates and `prepare` steps are isolated from the machine and from each other. */
const confinementSchema = z.strictObject({
  mode: z.enum(['auto', 'require', 'none']).default('auto'),
  /** User of unconfined children when the daemon runs as root: a separate one for each slot, or root. */
  run_as: z.enum(['other_user', 'daemon']).default('other_user'),
  tool_network: z.boolean().default(true),
  prepare_network: z.boolean().default(true),
  /** True: every gate gets a network. False: only gates that ask for one, in repositories with `gate_network`. */
  gate_network: z.boolean().default(false),
  /** Files and folders that children may read in addition to those of the system and the programs of PATH. */
  readable: z.array(filePath).max(100).default([]),
  gate_limits: limitsSchema.optional(),
  prepare_limits: limitsSchema.optional(),
});

/** Names of built-in tools, which the configuration must not declare. */
export const BUILT_IN_TOOLS = ['command', 'patch'] as const;

const days = z.int().min(1).max(36_500).nullable();

/** Days after which ended runs, output and audit rows are deleted; null keeps them for ever. */
const retentionSchema = z.strictObject({
  runs_days: days.default(90),
  logs_days: days.default(30),
  events_days: days.default(180),
});

const webhookSchema = z.strictObject({
  /** Default: the host of the URL. Deliveries are stored under this name. */
  name: field.identifier.optional(),
  url: z
    .url({ protocol: /^https?$/ })
    .max(2_000)
    .refine(holdsNoPassword, 'holds a password: use secret_env'),
  /** Types of event: `patch.blocked`, all of a kind (`run.*`) or all (`*`). */
  events: z
    .array(z.string().regex(/^(\*|[a-z]+\.(\*|[a-z_]+))$/, 'expected a type such as run.failed, run.* or *'))
    .min(1),
  /** Variable that holds the secret of the signature. */
  secret_env: field.variableName.optional(),
  /** `standard`: type, time and data of the event. `slack`: one sentence, as chat services take it. */
  format: z.enum(['standard', 'slack']).default('standard'),
  /** True: the URL may lead to this machine or to a private network. */
  allow_private: z.boolean().default(false),
});

/** Limits for what a worker keeps on its disk. */
const diskSchema = z.strictObject({
  /** Cached results of `prepare` steps together; the longest unused ones are removed. */
  prepared_max_bytes: z
    .int()
    .positive()
    .default(20 * 1_024 ** 3),
  prepared_unused_days: z.int().min(1).max(3_650).default(14),
});

/** `sluice.config.yaml`, or the default export of `sluice.config.ts`. */
export const configSchema = z
  .strictObject({
    repositories: z.record(field.identifier, repositorySchema).default({}),
    allow_any_repository: z.boolean().default(false),
    allow_commands: z.boolean().default(false),
    sandbox: confinementSchema.prefault({}),
    retention: retentionSchema.prefault({}),
    disk: diskSchema.prefault({}),
    webhooks: z.array(webhookSchema).max(50).default([]),
    tools: z
      .record(field.identifier, toolSchema)
      .default({})
      .refine((tools) => BUILT_IN_TOOLS.every((name) => !(name in tools)), 'command and patch are built in'),
  })
  .superRefine(({ repositories, tools, webhooks }, context) => {
    for (const [index, webhook] of webhooks.entries()) {
      if (webhooks.findIndex((other) => webhookName(other) === webhookName(webhook)) === index) continue;
      const message = `used twice: ${webhookName(webhook)}`;
      context.addIssue({ code: 'custom', path: ['webhooks', index, 'name'], message });
    }
    const kept = new Set([...credentialNames(repositories), ...Object.values(tools).flatMap(({ env }) => env)]);
    for (const [name, { url, credentials, gate_env }] of Object.entries(repositories)) {
      if (credentials !== undefined && !('ssh_key_file' in credentials) && isReadable(url)) {
        const message = 'the token would be sent unencrypted: use https';
        context.addIssue({ code: 'custom', path: ['repositories', name, 'url'], message });
      }
      for (const [index, variable] of gate_env.entries()) {
        if (!kept.has(variable)) continue;
        const message = `${variable} is a credential or belongs to a tool: code under test must not get it`;
        context.addIssue({ code: 'custom', path: ['repositories', name, 'gate_env', index], message });
      }
    }
  });

/** True for unencrypted HTTP to another machine. */
function isReadable(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLoopback(hostname.replace(/^\[|\]$/g, ''));
}

/**
 * Returns the variables that hold tokens of repositories. Only git as run by the daemon gets them, whatever a policy or
 * a tool asks for.
 */
export function credentialNames(
  repositories: Readonly<Record<string, { credentials?: z.output<typeof credentialsSchema> | undefined }>>,
): string[] {
  return Object.values(repositories).flatMap(({ credentials }) =>
    credentials !== undefined && 'token_env' in credentials ? [credentials.token_env] : [],
  );
}

export type ConfigFile = z.output<typeof configSchema>;
export type ConfigFileInput = z.input<typeof configSchema>;
export type WebhookDefinition = z.output<typeof webhookSchema>;
export type Retention = z.output<typeof retentionSchema>;
export type Credentials = z.output<typeof credentialsSchema>;
export type ChildLimits = z.output<typeof limitsSchema>;
export type ConfinementDefinition = z.output<typeof confinementSchema>;
export type ToolDefinition = z.output<typeof toolSchema>;

/** Returns the name under which deliveries of a webhook are stored. */
export function webhookName({ name, url }: Pick<WebhookDefinition, 'name' | 'url'>): string {
  return name ?? new URL(url).host;
}

/** Typed helper for `sluice.config.ts`. */
export function defineConfig(config: ConfigFileInput): ConfigFileInput {
  return config;
}
