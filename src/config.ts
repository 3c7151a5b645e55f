import { access, readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parse } from 'yaml';
import { type ConfigFile, configSchema, credentialNames } from './contract/config-schema.ts';
import { SluiceError } from './contract/errors.ts';
import { parseDocument } from './contract/parse.ts';
import { isLoopback } from './contract/tokens.ts';
import { readSecret } from './lib/secret-file.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Values from the command line; they win over the environment. */
export interface Flags {
  config?: string | undefined;
  dataDir?: string | undefined;
  host?: string | undefined;
  port?: number | undefined;
  /**
   * True for `up` and the demo: on loopback, any repository and any command is allowed unless the file says otherwise.
   */
  allowAll?: boolean | undefined;
}

/** Settings of a process, read once at start-up. */
export interface Settings {
  databaseUrl: string | undefined;
  redisUrl: string | undefined;
  dataDir: string;
  /** Key that seals green verdicts; undefined: verdicts are not sealed. */
  verdictKey: string | undefined;
  host: string;
  port: number;
  /** Address at which a role answers health checks and shows its metrics; undefined: none. */
  monitor: { host: string; port: number } | undefined;
  logLevel: string;
  /** Undefined: no file was found, and every setting has its default. */
  configFile: string | undefined;
  /** The folder that relative paths of repositories start from. */
  folder: string;
  file: ConfigFile;
  environment: Environment;
}

const DEFAULT_FILES = ['sluice.config.yaml', 'sluice.config.yml', 'sluice.config.ts', 'sluice.config.js'];
const DEFAULT_PORT = 7_411;

/**
 * Reads flags, the environment and the configuration file, in this order of precedence. Throws `config.invalid` with
 * all problems of the file.
 */
export async function loadSettings(given: Environment, flags: Flags = {}, cwd = process.cwd()): Promise<Settings> {
  const path = await findFile(flags.config ?? given.SLUICE_CONFIG, cwd);
  const document = path === undefined ? {} : await readDocument(path);
  const file = parseDocument(configSchema, document, { code: 'config.invalid', what: path ?? 'configuration' });
  const environment = await withSecretsOfFiles(given, secretNames(file));
  const granted = flags.allowAll === true && isLoopback(flags.host ?? environment.SLUICE_HOST ?? LOOPBACK);
  const said = document as Partial<ConfigFile>;
  const dataDir = resolve(cwd, flags.dataDir ?? nonEmpty(environment.SLUICE_DATA_DIR) ?? '.sluice');
  return {
    databaseUrl: withPassword(address(environment, 'DATABASE_URL', ['postgres:', 'postgresql:']), environment),
    redisUrl: address(environment, 'REDIS_URL', ['redis:', 'rediss:']),
    dataDir,
    verdictKey: verdictKeyOf(environment) ?? (await readSecret(verdictKeyFile(dataDir))),
    host: flags.host ?? nonEmpty(environment.SLUICE_HOST) ?? LOOPBACK,
    port: flags.port ?? parsePort('SLUICE_PORT', environment.SLUICE_PORT) ?? DEFAULT_PORT,
    monitor: monitorAddress(environment),
    logLevel: parseLevel(environment.LOG_LEVEL),
    configFile: path,
    folder: path === undefined ? cwd : dirname(path),
    file: {
      ...file,
      allow_any_repository: said.allow_any_repository ?? granted,
      allow_commands: said.allow_commands ?? granted,
    },
    environment,
  };
}

/** Password for a DATABASE_URL without one. In a URL of its own, a password would need its characters escaped. */
const DATABASE_PASSWORD = 'DATABASE_PASSWORD';

/**
 * Adds the secrets that stand in files, as containers are given them: `NAME_FILE` names the file with the value of
 * `NAME`. A variable that is set wins.
 */
async function withSecretsOfFiles(environment: Environment, names: readonly string[]): Promise<Environment> {
  const read = names.map(async (name): Promise<[string, string][]> => {
    const path = nonEmpty(environment[`${name}_FILE`]);
    if (path === undefined || nonEmpty(environment[name]) !== undefined) return [];
    try {
      // Editors end a file with a line feed.
      return [[name, (await readFile(path, 'utf8')).replace(/\r?\n$/, '')]];
    } catch (cause) {
      const why = (cause as Error).message;
      throw new SluiceError('config.invalid', `${name}_FILE: ${path} cannot be read: ${why}`, { cause });
    }
  });
  return { ...environment, ...Object.fromEntries((await Promise.all(read)).flat()) };
}

function withPassword(databaseUrl: string | undefined, environment: Environment): string | undefined {
  const password = nonEmpty(environment[DATABASE_PASSWORD]);
  if (databaseUrl === undefined || password === undefined) return databaseUrl;
  const url = new URL(databaseUrl);
  if (url.password === '') url.password = encodeURIComponent(password);
  if (url.password === '') {
    throw new SluiceError('config.invalid', 'DATABASE_PASSWORD needs a DATABASE_URL with a user and a host');
  }
  return url.href;
}

/** Returns the variables whose values only the daemon may see, and the tools and gates that name them. */
export function secretNames({ repositories, tools, webhooks }: ConfigFile): string[] {
  return [
    ...['DATABASE_URL', DATABASE_PASSWORD, 'REDIS_URL', 'SLUICE_TOKEN', 'SLUICE_VERDICT_KEY'],
    ...credentialNames(repositories),
    ...webhooks.flatMap(({ secret_env }) => secret_env ?? []),
    ...Object.values(tools).flatMap(({ env }) => env),
    ...Object.values(repositories).flatMap(({ gate_env }) => gate_env),
  ];
}

export function verdictKeyFile(dataDir: string): string {
  return join(dataDir, 'verdict.key');
}

const MIN_KEY_LENGTH = 32;

function verdictKeyOf(environment: Environment): string | undefined {
  const key = nonEmpty(environment.SLUICE_VERDICT_KEY);
  if (key === undefined || key.length >= MIN_KEY_LENGTH) return key;
  throw new SluiceError('config.invalid', `SLUICE_VERDICT_KEY has fewer than ${MIN_KEY_LENGTH} characters`);
}

const LOOPBACK = '127.0.0.1';

async function findFile(named: string | undefined, cwd: string): Promise<string | undefined> {
  if (named !== undefined && named !== '') return resolve(cwd, named);
  for (const name of DEFAULT_FILES) {
    const path = join(cwd, name);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  return undefined;
}

async function readDocument(path: string): Promise<unknown> {
  try {
    if (/\.[cm]?[jt]s$/.test(path)) return (await import(pathToFileURL(path).href)).default ?? {};
    return parse(await readFile(path, 'utf8')) ?? {};
  } catch (cause) {
    throw new SluiceError('config.invalid', `${path}: ${(cause as Error).message.split('\n')[0]}`, { cause });
  }
}

function monitorAddress(environment: Environment): Settings['monitor'] {
  const port = parsePort('SLUICE_MONITOR_PORT', environment.SLUICE_MONITOR_PORT);
  return port === undefined ? undefined : { host: nonEmpty(environment.SLUICE_MONITOR_HOST) ?? LOOPBACK, port };
}

function parsePort(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new SluiceError('config.invalid', `${name}: ${text} is not a port (0 to 65535)`);
}

function address(environment: Environment, name: string, protocols: readonly string[]): string | undefined {
  const text = nonEmpty(environment[name]);
  if (text === undefined || (URL.canParse(text) && protocols.includes(new URL(text).protocol))) return text;
  throw new SluiceError(
    'config.invalid',
    `${name} is not an address of the form ${protocols.map((p) => `${p}//…`).join(' or ')}`,
  );
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

function parseLevel(text: string | undefined): string {
  const level = nonEmpty(text) ?? 'info';
  if (LEVELS.includes(level)) return level;
  throw new SluiceError('config.invalid', `LOG_LEVEL: ${level} is none of ${LEVELS.join(', ')}`);
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
