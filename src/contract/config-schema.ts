import { z } from 'zod';
import * as field from './fields.ts';
import { isLoopback } from './tokens.ts';

const exitCode = z.number().int().min(1).max(255);

const breakerSchema = z.strictObject({
  failure_threshold: field.count.default(5).describe('Faults of the tool in a row that stop it.'),
  cooldown_seconds: field.seconds.default(60).describe('Time until one task tries the tool again.'),
});

/** The tool never runs without bubblewrap, whatever `sandbox.mode` is. `network` overrides `tool_network`. */
const toolSandboxSchema = z.strictObject({
  kind: z.literal('bubblewrap').describe('The only kind there is.'),
  network: z.boolean().optional().describe('Overrides `tool_network`.'),
});

/** Limits per process; `processes` counts a whole child, and so does `memory_bytes` in a control group. */
const limitsSchema = z
  .strictObject({
    memory_bytes: z
      .number()
      .int()
      .min(1_048_576)
      .optional()
      .describe('Of a process, or of the whole child in a control group.'),
    file_size_bytes: z.number().int().min(4_096).optional().describe('Of one file.'),
    processes: field.count.optional().describe('Of the whole child.'),
  })
  .refine((limits) => Object.keys(limits).length > 0, 'limits nothing');

const toolSchema = z.strictObject({
  argv: field.argv.describe('The words of the command. `{input.key}` takes a value of the input; no shell reads them.'),
  stdin: z.string().optional().describe('Text for standard input, with placeholders.'),
  env: z
    .array(field.variableName)
    .default([])
    .describe(
      'Variables of the worker that the tool gets. Their values are removed from logs, and a patch that holds one is quarantined.',
    ),
  when_unchanged: z
    .enum(['complete', 'fail'])
    .default('complete')
    .describe('Whether a task without a change is COMPLETED or fails.'),
  timeout_seconds: field.seconds.default(1_800).describe('An attempt that takes longer is ended.'),
  idle_timeout_seconds: field.seconds
    .optional()
    .describe('An attempt without output and without a change in the worktree for so long is ended.'),
  exit_codes: z
    .strictObject({
      fault: z.array(exitCode).optional().describe('The tool is broken: counts for its breaker. Default: all others.'),
      fatal: z.array(exitCode).default([]).describe('No further attempt can help.'),
      limited: z.array(exitCode).default([75]).describe('The tool has reached a limit of its service: the task waits.'),
    })
    .prefault({})
    .describe('What exit statuses other than 0 mean.'),
  pool: field.identifier.default('default').describe('Pool of workers that run it.'),
  input_keys: z
    .array(field.name)
    .max(100)
    .default([])
    .describe('Keys of `input` that it reads from SLUICE_INPUT_FILE, in addition to its placeholders.'),
  concurrency: field.count.optional().describe('Tasks of the tool at once, over all workers.'),
  rate_limit: z
    .strictObject({
      max: field.count.describe('Starts at most.'),
      per_seconds: field.seconds.describe('Length of the window.'),
    })
    .optional()
    .describe('Starts within a time.'),
  budget: z
    .strictObject({ usd_per_day: field.usd.describe('US dollars.') })
    .optional()
    .describe('Limit for what the tool reports as its cost in a day (UTC).'),
  sandbox: toolSandboxSchema
    .optional()
    .describe('The tool never runs without this sandbox, whatever `sandbox.mode` is.'),
  limits: limitsSchema.optional().describe('Limits for each attempt.'),
  breaker: breakerSchema.prefault({}).describe('When the tool is stopped for the whole fleet.'),
});

const committerSchema = z.strictObject({
  name: field.name.describe('As git shows it.'),
  email: z.string().min(1).max(320).describe('As git shows it.'),
});

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
  url: z
    .string()
    .min(1)
    .max(2_000)
    .refine(holdsNoPassword, 'holds a password: name it in credentials')
    .describe('https, ssh, git, file or a path. Holds no password.'),
  credentials: credentialsSchema
    .optional()
    .describe('`token_env`, `token_command`, or `ssh_key_file` with `known_hosts_file`.'),
  committer: committerSchema.optional().describe('Committer of the commits that land.'),
  gate_network: z.boolean().default(false).describe('True: a gate of its policy that asks for a network gets one.'),
  gate_env: z
    .array(field.variableName)
    .max(100)
    .default([])
    .describe('Variables that its gates and `prepare` steps may name.'),
  concurrency: field.count.optional().describe('Tasks at once, over all its branches.'),
});

/** Refuses a user name over HTTP as well, because it may be a token. */
export function holdsNoPassword(url: string): boolean {
  if (!URL.canParse(url)) return true;
  const { protocol, username, password } = new URL(url);
  return password === '' && (username === '' || !/^https?:$/.test(protocol));
}

/** How tools, gates and `prepare` steps are isolated from the machine and from each other. */
const confinementSchema = z.strictObject({
  mode: z
    .enum(['auto', 'require', 'none'])
    .default('auto')
    .describe('`require` refuses to work without bubblewrap; `none` does not look for it.'),
  run_as: z
    .enum(['other_user', 'daemon'])
    .default('other_user')
    .describe('User of unconfined children when the daemon runs as root: one for each slot, or root.'),
  tool_network: z.boolean().default(true).describe('Whether tools have a network.'),
  prepare_network: z.boolean().default(true).describe('Whether `prepare` steps have a network.'),
  gate_network: z
    .boolean()
    .default(false)
    .describe('True: every gate gets a network. False: those that ask for one, in repositories with `gate_network`.'),
  readable: z
    .array(filePath)
    .max(100)
    .default([])
    .describe('Files and folders that children may read in addition to the system and the programs of PATH.'),
  gate_limits: limitsSchema.optional().describe('Limits for each gate.'),
  prepare_limits: limitsSchema.optional().describe('Limits for each `prepare` step.'),
});

/** Names of built-in tools, which the configuration must not declare. */
export const BUILT_IN_TOOLS = ['command', 'patch'] as const;

const days = z.int().min(1).max(36_500).nullable();

/** Days after which ended runs, output and audit rows are deleted; null keeps them for ever. */
const retentionSchema = z.strictObject({
  runs_days: days.default(90).describe('Ended runs with all their parts; null keeps them for ever.'),
  logs_days: days.default(30).describe('Output of tools and gates.'),
  events_days: days.default(180).describe('Audit rows, except those that prove what landed.'),
  keep_landed_proofs: z.literal(true).default(true).describe('The proof of what landed is always kept.'),
});

const webhookSchema = z.strictObject({
  name: field.identifier.optional().describe('Default: the host of the URL. Deliveries are stored under this name.'),
  url: z
    .url({ protocol: /^https?$/ })
    .max(2_000)
    .refine(holdsNoPassword, 'holds a password: use secret_env')
    .describe('Where events are sent by POST.'),
  events: z
    .array(z.string().regex(/^(\*|[a-z]+\.(\*|[a-z_]+))$/, 'expected a type such as run.failed, run.* or *'))
    .min(1)
    .describe('Types of event: `patch.blocked`, all of a kind (`run.*`) or all (`*`).'),
  secret_env: field.variableName.optional().describe('Variable that holds the secret of the signature.'),
  format: z
    .enum(['standard', 'slack'])
    .default('standard')
    .describe('`standard`: type, time and data of the event. `slack`: one sentence, as chat services take it.'),
  allow_private: z.boolean().default(false).describe('True: the URL may lead to this machine or to a private network.'),
});

/** Limits for what a worker keeps on its disk. */
const diskSchema = z.strictObject({
  max_bytes: z
    .int()
    .min(1_048_576)
    .optional()
    .describe('Mirrors, slots and caches of a machine: over it, caches are removed, then its workers take no work.'),
  prepared_max_bytes: z
    .int()
    .positive()
    .default(20 * 1_024 ** 3)
    .describe('Cached results of `prepare` steps together; the longest unused ones are removed.'),
  prepared_unused_days: z
    .int()
    .min(1)
    .max(3_650)
    .default(14)
    .describe('Cached results unused for so long are removed.'),
});

/** `sluice.config.yaml`, or the default export of `sluice.config.ts`. */
export const configSchema = z
  .strictObject({
    repositories: z.record(field.identifier, repositorySchema).default({}).describe('Repositories by name.'),
    allow_any_repository: z.boolean().default(false).describe('True: run specs may bring paths and URLs.'),
    allow_commands: z.boolean().default(false).describe('True: run specs may bring commands and gates of their own.'),
    sandbox: confinementSchema.prefault({}).describe('How tools, gates and `prepare` steps are isolated.'),
    retention: retentionSchema.prefault({}).describe('Days after which things are deleted.'),
    disk: diskSchema.prefault({}).describe('What a worker keeps on its disk.'),
    webhooks: z.array(webhookSchema).max(50).default([]).describe('Addresses that are told of events.'),
    tools: z
      .record(field.identifier, toolSchema)
      .default({})
      .refine((tools) => BUILT_IN_TOOLS.every((name) => !(name in tools)), 'command and patch are built in')
      .describe('Commands that tasks may name.'),
  })
  .superRefine(({ repositories, tools, webhooks }, context) => {
    for (const [index, webhook] of webhooks.entries()) {
      if (webhooks.findIndex((other) => webhookName(other) === webhookName(webhook)) === index) continue;
      const message = `used twice: ${webhookName(webhook)}`;
      context.addIssue({ code: 'custom', path: ['webhooks', index, 'name'], message });
    }
    const ofWebhooks = webhooks.flatMap(({ secret_env }) => secret_env ?? []);
    const kept = new Set([
      ...credentialNames(repositories),
      ...ofWebhooks,
      ...Object.values(tools).flatMap(({ env }) => env),
    ]);
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
export type Retention = Omit<z.output<typeof retentionSchema>, 'keep_landed_proofs'>;
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
